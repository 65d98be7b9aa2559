"""Watch-lists as they should never come, and what becomes of them: `python -m scripts.bad_lists [--json]`.

Each file is imported over an active list of a thousand plates, then put in the place of a list that a running hub uses.
The active list must stay as it is, or take exactly the file's good rows. The files are made here, and thrown away.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from anpr.clock import ManualClock
from anpr.config.site import Listed
from anpr.engine.lists import ListKeeper
from anpr.errors import WatchListError
from anpr.metrics import Counters
from anpr.watch.install import install
from anpr.watch.lists import WatchList, load_list
from anpr.watch.matcher import Matcher

PLATES = tuple(f"30A{number:05}" for number in range(1, 1001))
"""Of the active list."""
NOW_SECONDS = 1_767_225_600.0
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    """One bad file."""

    name: str
    make: Callable[[Path], None]
    """Writes it."""
    told: str
    """Part of what is said of it; of a file that is taken, of a row that was left out, or empty."""
    taken: bool = False
    plates: frozenset[str] = frozenset(PLATES)
    """Of the active list afterwards."""
    suffix: str = ".csv"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it."""

    name: str
    import_: str
    """`refused` or `taken`."""
    reload: str
    """The same, or `nothing`."""
    left_out: int
    harmed: bool
    """Whether the active list is not what it should be, or something else was said than should be."""
    seconds: float
    told: str


class RunningHub:
    """What a list keeper asks of the hub."""

    def __init__(self, matcher: Matcher) -> None:
        self.matcher = matcher
        self.counters = Counters()

    def replace_matcher(self, matcher: Matcher) -> None:
        self.matcher = matcher


def csv_of(*rows: str, header: str = "plate,reason,valid_from", base: Sequence[str] = PLATES) -> str:
    """A good file of the active plates, with more rows in the middle."""
    lines = [f"{plate},stolen," for plate in base]
    return "\n".join([header, *lines[: len(lines) // 2], *rows, *lines[len(lines) // 2 :], ""])


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _encodings()
    yield from _rows()
    yield from _plates()
    yield from _sizes()
    yield from _json()
    yield from _workbooks()


def _text(text: str, encoding: str = "utf-8") -> Callable[[Path], None]:
    return lambda path: _write(path, text.encode(encoding))


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _binary(data: bytes) -> Callable[[Path], None]:
    return lambda path: _write(path, data)


def _encodings() -> Iterator[Case]:
    yield Case("byte order mark", _text(csv_of(), "utf-8-sig"), "", taken=True)
    yield Case("CRLF line ends", _text(csv_of().replace("\n", "\r\n")), "", taken=True)
    yield Case("CR line ends", _text(csv_of().replace("\n", "\r")), "", taken=True)
    yield Case("UTF-16 with a mark", _text(csv_of(), "utf-16"), "the file is UTF-16")
    yield Case("UTF-16 without a mark", _text(csv_of(), "utf-16-le"), "NUL byte")
    yield Case("UTF-32", _text(csv_of(), "utf-32"), "the file is UTF-16")
    yield Case("Windows-1258", _text(csv_of("30A-999.99,xe ô tô,"), "cp1258"), "is not UTF-8")
    yield Case("NUL in a row", _text(csv_of("30A-9\x0099.99,,")), "line 502: the line holds a NUL byte")
    yield Case("random bytes", _binary(random.Random(1).randbytes(100_000)), "line 1: ")
    yield Case("empty file", _binary(b""), "the file is empty")
    yield Case("blank lines only", _binary(b"\n ,,\n\t\n" * 100), "the file is empty")


def _rows() -> Iterator[Case]:
    more = frozenset(PLATES) | {"30A99999"}
    yield Case("stray quote", _text(csv_of('30A-888.88,"taken,', "30A-999.99,,")), "broken quoting", True, more)
    yield Case("quote inside a field", _text(csv_of('30A-888.88,2" pipe,', "30A-999.99,,")), "stray quote", True, more)
    quotes = [f'30B-{number:03}.11,"taken,' for number in range(50)]
    yield Case("a stray quote in 5 % of the rows", _text(csv_of(*quotes)), "50 of 1050 rows are bad")
    yield Case("header only", _text("plate\n"), "1000 of 1000 active plates would vanish")
    yield Case("half-written", _text(csv_of()[: len(csv_of()) // 2]), "active plates would vanish")
    yield Case("last row cut off", _text(csv_of()[:-14]), "fields where the header has", True, frozenset(PLATES[:-1]))
    yield Case("header missing", _text("\n".join(PLATES)), "the header is missing")
    yield Case("misspelt header", _text(csv_of(header="palte,reason,valid_from")), "did you mean 'plate'?")
    yield Case("unknown column", _text(csv_of(header="plate,reason,colour")), "unknown column 'colour'")
    yield Case("a column twice", _text(csv_of(header="plate,reason,reason")), "there twice")
    yield Case("swapped columns", _text(csv_of(header="reason,plate,valid_from")), "1000 of 1000 rows are bad")
    yield Case("a field too many", _text(csv_of("30A-888.88,a,b,c", "30A-999.99,,")), "4 fields", True, more)
    yield Case("a duplicate", _text(csv_of("30a 000.01,again,", "30A-999.99,,")), "is already on line 2", True, more)
    yield Case("all rows twice", _text(csv_of(*csv_of().splitlines()[1:])), "1000 of 2000 rows are bad")
    yield Case("no such day", _text(csv_of("30A-888.88,,2026-02-30", "30A-999.99,,")), "no date", True, more)
    yield Case("control character", _text(csv_of("30A-888.88,\x1b[2J,", "30A-999.99,,")), "control char", True, more)
    yield Case("endless field", _text(csv_of("30A-888.88," + "x" * 5000 + ",", "30A-999.99,,")), "too many", True, more)
    yield Case("a folder", lambda path: path.mkdir(), "is no file")
    yield Case("no file", lambda path: None, "No such file")


def _plates() -> Iterator[Case]:
    def plate(name: str, written: str, told: str, listed: str = "") -> Case:
        expected = frozenset(PLATES) | ({listed} if listed else set())
        return Case(name, _text(csv_of(f"{written},,")), told, True, expected)

    yield plate("51E12345", "51E12345", "", "51E12345")
    yield plate("51E12345 as a spreadsheet saves it", "5.1E+12346", "a spreadsheet turned the plate into a number")
    yield plate("Cyrillic letters", "51А-999.99", "", "51A99999")
    yield plate("full-width characters", "５１Ａ－９９９．９９", "", "51A99999")
    yield plate("Đ", "51Đ-999.99", "", "51D99999")
    yield plate("Icelandic Ð", "51Ð-999.99", "", "51D99999")
    yield plate("letter O for a 0", "51A-9999O", "is it the digit 0?")
    yield plate("accent", "51Á-999.99", "did you mean A?")
    yield plate("Arabic digits", "51A-٩٩٩٩٩", "did you mean 9?")
    yield plate("province that never was", "13A-999.99", "never assigned")
    yield plate("zero-width space", "51A\u200b-999.99", "", "51A99999")
    yield plate("right-to-left override", "\u202e51A-999.99", "", "51A99999")
    yield plate("pattern of everything", "*", "too wide")
    yield plate("script", "<script>alert(1)</script>", "never on a plate")
    patterns = [f"30{letter}-{number:03}.?*,," for letter in "ABCDEFGHKLMNPSTUVXYZ" for number in range(1, 502)]
    yield Case("10,020 patterns", _text(csv_of(*patterns)), "10020 patterns are too many")


def _sizes() -> Iterator[Case]:
    def sparse(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(300 * 2**20)

    def many(path: Path) -> None:
        _write(path, b"plate\n" + b"30A-123.45\n" * 5_000_000)

    def long(path: Path) -> None:
        _write(path, csv_of("x" * 100_000_000).encode())

    yield Case("5,000,000 rows", many, "5000000 rows are too many")
    yield Case("a line of 100 MB", long, "100000000 characters", True)
    yield Case("300 MB", sparse, "bytes are too many")


def _json() -> Iterator[Case]:
    rows = [{"plate": plate} for plate in PLATES]

    def case(name: str, text: str, told: str, *plates: str, taken: bool = False) -> Case:
        return Case(name, _text(text), told, taken, frozenset(PLATES) | set(plates), ".json")

    good = json.dumps(rows)
    yield case("JSON: a good array", good, "", taken=True)
    yield case("JSON: half-written", good[: len(good) // 2], "not JSON")
    yield case("JSON: a name twice", good.replace('{"plate"', '{"plate": "51A-123.45", "plate"', 1), "is there twice")
    yield case("JSON: NaN", good.replace('"30A00001"', "NaN"), "NaN is no value")
    yield case("JSON: 100,000 brackets", "[" * 100_000, "nested too deeply")
    surrogate = good.replace('"30A00001"}', '"30A00001"}, {"plate": "51A-123.45", "reason": "\\ud800"}')
    yield case("JSON: half a surrogate pair", surrogate, "control character", taken=True)
    yield case("JSON: 51E12345 without quotes", good[:-1] + ', {"plate": 51E12345}]', "", "51E12345", taken=True)
    yield case("JSON: null for a plate", good[:-1] + ', {"plate": null}]', "the plate is empty", taken=True)
    yield case("JSON: an unknown name", good[:-1] + ', {"plate": "51A-123.45", "raeson": ""}]', "'reason'?", taken=True)
    yield case("JSON: an object of plates", json.dumps({plate: {} for plate in PLATES}), "has no entries")
    yield case("JSON: an unknown head", json.dumps({"pupose": "x", "entries": rows}), "unknown key 'pupose'")
    hours = json.dumps({"hours": ["25:00-26:00"], "entries": rows})
    yield case("JSON: no such hours", hours, "line 1: hours: no hours: '25:00-26:00'")
    yield case("JSON: something after the end", good + "[]", "something follows")


def workbook(*rows: Sequence[object], base: Sequence[str] = PLATES, more_sheets: bool = False) -> bytes:
    """A workbook of the active plates and some more rows."""
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.append(["plate", "reason"])
    for row in (*([plate, "stolen"] for plate in base), *rows):
        sheet.append(list(row))
    if more_sheets:
        book.create_sheet("more").append(["plate"])
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def changed_workbook(member: str, change: Callable[[bytes], bytes]) -> bytes:
    """A workbook of which one part is not as it should be."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook())) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for each in old.namelist():
            new.writestr(each, change(old.read(each)) if each == member else old.read(each))
    return made.getvalue()


_SHEET = "xl/worksheets/sheet1.xml"


def _workbooks() -> Iterator[Case]:
    from datetime import datetime

    def case(name: str, make: Callable[[Path], None], told: str, *plates: str, taken: bool = False) -> Case:
        return Case(f"XLSX: {name}", make, told, taken, frozenset(PLATES) | set(plates), ".xlsx")

    def row(name: str, cell: object, told: str) -> Case:
        return case(name, lambda path: _write(path, workbook([cell, ""])), told, taken=True)

    def laugh(data: bytes) -> bytes:
        entities = '<!ENTITY a "30A-123.45">' + "".join(
            f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefghi", "bcdefghij")
        )
        head, _, tail = data.partition(b"<worksheet")
        return head + f"<!DOCTYPE x [{entities}]>".encode() + b"<worksheet" + tail.replace(b"stolen", b"&j;", 1)

    def inflate(data: bytes) -> bytes:
        return data.replace(b"</sheetData>", b" " * (300 << 20) + b"</sheetData>")

    good = workbook()
    yield case("good", _binary(good), "", taken=True)
    yield row("a formula", '="51A-"&12345', "the cell holds a formula")
    yield row("a number", 5.1e20, "turned the plate into the number")
    yield row("a date", datetime(2026, 3, 1), "turned the plate into a date")
    yield row("an error", "#N/A", "the cell holds the error #N/A")
    yield row("true", True, "the cell holds True")
    yield case("two sheets", lambda path: _write(path, workbook(more_sheets=True)), "2 sheets have something in them")
    yield case("half-written", _binary(good[: len(good) // 2]), "no workbook")
    yield case("a CSV file of that name", _text(csv_of()), "no workbook")
    yield case("zip bomb", lambda path: _write(path, changed_workbook(_SHEET, inflate)), "too many for a watch-list")
    yield case("a billion laughs", _binary(changed_workbook(_SHEET, laugh)), "the workbook is damaged")
    yield case("broken XML", _binary(changed_workbook(_SHEET, lambda data: data[:-40])), "the workbook is damaged")
    yield case("password", _binary(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(4096)), "no workbook")


def run(case: Case, folder: Path) -> Outcome:
    """Import the file over an active list, then put it in the place of a list in use."""
    begun = time.monotonic()
    folder.mkdir()
    file = folder / f"bad{case.suffix}"
    case.make(file)
    imported, told, left_out, import_harm = _import(case, file, folder / "active")
    reloaded, reload_harm = _reload(case, file)
    wanted = "taken" if case.taken else "refused"
    harmed = import_harm or reload_harm or case.told not in told or (imported, reloaded) != (wanted, wanted)
    return Outcome(case.name, imported, reloaded, left_out, harmed, round(time.monotonic() - begun, 3), told)


def _import(case: Case, file: Path, folder: Path) -> tuple[str, str, int, bool]:
    """What the import did, what it said, rows left out, and whether the active list is not what it should be."""
    good = file.with_name("good.json" if case.suffix == ".json" else "good.csv")
    good.write_text(json.dumps([{"plate": each} for each in PLATES]) if case.suffix == ".json" else csv_of())
    install(good, folder, now_seconds=NOW_SECONDS, name="stolen")
    active = folder / f"stolen{good.suffix}"
    before = active.read_bytes()
    try:
        new, _ = install(file, folder, now_seconds=NOW_SECONDS + 1, name="stolen")
    except WatchListError as error:
        return "refused", "\n".join((str(error), *error.problems)), 0, active.read_bytes() != before
    after = load_list(active)
    harmed = {entry.plate for entry in after.entries} != case.plates or after.version != new.version
    return "taken", "\n".join(map(str, new.problems)), new.bad_rows, harmed


def _reload(case: Case, file: Path) -> tuple[str, bool]:
    """What a running hub did with the changed file, and whether its list is not what it should be."""
    good = load_list(file.with_name("good.json" if case.suffix == ".json" else "good.csv"), name="stolen")
    in_use = WatchList("stolen", good.version, good.entries)
    hub, clock = RunningHub(Matcher((in_use,))), ManualClock()
    keeper = ListKeeper((Listed.model_construct(name="stolen", file=file),), hub, clock=clock)
    keeper.lookout.ask()  # a file that is not there has not changed
    deadline = time.monotonic() + _PATIENCE_SECONDS
    keeper.turn()
    while keeper.lookout.busy and time.monotonic() < deadline:
        time.sleep(0.002)
        keeper.turn()
    keeper.lookout.close()
    (now,) = hub.matcher.lists
    if "stolen" in keeper.refused:
        return "refused", now is not in_use
    if now is in_use:
        return "nothing", True
    return "taken", {entry.plate for entry in now.entries} != case.plates


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all cases and print what became of them; 1 if the active list was harmed by one."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bad_lists", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory() as folder:
        outcomes = [run(case, Path(folder) / str(number)) for number, case in enumerate(cases())]
    harmed = [outcome for outcome in outcomes if outcome.harmed]
    if options.json:
        print(json.dumps({"cases": [asdict(each) for each in outcomes], "harmed": len(harmed)}, ensure_ascii=False))
    else:
        print(f"{'file':38} {'import':8} {'reload':8} {'left out':>8} {'s':>6}  active list")
        for each in outcomes:
            state = "HARMED" if each.harmed else "as it should be"
            row = f"{each.name:38} {each.import_:8} {each.reload:8} {each.left_out:8} {each.seconds:6.2f}  {state}"
            print(row + (f": {each.told.splitlines()[0][-100:]}" if each.harmed and each.told else ""))
        print(f"{len(outcomes)} bad files, {len(harmed)} harmed the active list")
    return 1 if harmed else 0


if __name__ == "__main__":
    sys.exit(main())
