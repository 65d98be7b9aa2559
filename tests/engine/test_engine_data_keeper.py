"""Registers and declarations that change while the box runs: taken whole; a bad file changes nothing, and is told."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making_records import make_sighting
from structlog.testing import capture_logs
from waiting import until

from anpr.clock import ManualClock
from anpr.config import load_site
from anpr.engine import data_keeper
from anpr.engine.box import open_hub
from anpr.engine.data_keeper import THREAD_NAME, DataKeeper
from anpr.engine.hub import Hub
from anpr.engine.lookout import AGAIN_SECONDS
from anpr.errors import ConfigError, StoreError
from anpr.records import Sighting
from anpr.rules.content import content_of
from anpr.rules.data import COPIES

SITE = """
[box]
id = "box"
[site]
id = "ct07"
[store]
path = "store"
[bus]
endpoint = "tcp://127.0.0.1:*"
[rules]
folder = "rules"
declarations = "declarations.csv"
intake = "tcp://127.0.0.1:7782"
[[rules.lookups]]
name = "registry"
file = "registry.csv"
[[cameras]]
id = "in"
url = "rtsp://10.0.0.1/x"
"""
RULES = "".join(
    f'[[rules]]\nname = "{name}"\nvi = "v"\nen = "e"\nseverity = "CHECK"\n'
    f'message = {{ vi = "{{plate}}", en = "{{plate}}" }}\nwhen = {{ {when} }}\n'
    for name, when in {
        "fines": 'lookup = { from = "registry", field = "fines", over = 1 }',
        "unknown": 'lookup = { from = "registry", known = false }',
        "persons": "declared = { persons_more_than = 1 }",
    }.items()
)
REGISTRY = "plate,fines\n98C-012.34,2\n"
NOBODY = "plate,fines\n98C-012.34,0\n"
DECLARED = "plate,type,declared,persons\n98C-012.34,khaibao,2026-05-20T08:00,3\n"
ALONE = "plate,type,declared,persons\n98C-012.34,khaibao,2026-05-20T08:00,1\n"
STANDING = 1_790_000_000.0


class Box:
    """A hub whose rules ask a register and declarations, its keeper, and their clock."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self.folder = folder
        self.clock = ManualClock(wall=STANDING)
        self._opened = opened
        self._passed = 0
        self.logs: list[dict[str, object]] = []
        self.start()

    def start(self) -> None:
        """Also after an end."""
        self._opened.close()
        site = load_site(self.folder / "site.toml", environment=None)
        with capture_logs() as logs:
            self.hub: Hub = self._opened.enter_context(
                open_hub(
                    box="box", store=site.store.path, endpoint=None, lists=(), rules_of=site, clock=self.clock
                )
            )  # fmt: skip
            self.keeper = DataKeeper(self.hub, clock=self.clock)
        self._opened.callback(self.keeper.lookout.close)
        self.logs = list(logs)  # type: ignore[arg-type]

    def write(self, name: str, text: str | None) -> None:
        """In place of the file; None: it is gone."""
        file = self.folder / name
        if text is None:
            file.unlink(missing_ok=True)
            return
        fresh = file.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(file)

    def run(self, looks: int = 3) -> None:
        with capture_logs() as logs:
            for _ in range(looks):
                self.clock.advance(1.0)
                self.keeper.turn()
                until(lambda: not self.keeper.lookout.busy, meanwhile=self.keeper.turn)
        self.logs = list(logs)  # type: ignore[arg-type]

    def events(self) -> list[object]:
        return [each["event"] for each in self.logs]

    def raised(self, plate: str = "98C01234") -> set[str]:
        """The rules that say something of a passage now."""
        self._passed += 1
        sighting: Sighting = make_sighting(
            id=f"{self._passed:032x}", text=plate, kind="car", camera_id="in", probability=0.98,
            seen_seconds=STANDING + self._passed,
        )  # fmt: skip
        assert self.hub.judge is not None
        return {hit.rule for hit in self.hub.judge.judge(sighting, ())}

    @property
    def refused(self) -> dict[str, str]:
        assert self.hub.judge is not None
        return self.hub.judge.health.refused_data


@contextmanager
def opened_box(folder: Path) -> Iterator[Box]:
    (folder / "rules").mkdir()
    (folder / "rules/own.toml").write_text(RULES)
    (folder / "registry.csv").write_text(REGISTRY)
    (folder / "declarations.csv").write_text(DECLARED)
    (folder / "site.toml").write_text(SITE)
    with ExitStack() as opened:
        yield Box(folder, opened)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    with opened_box(tmp_path) as opened:
        yield opened


def test_unchanged_files_are_not_read_again(box: Box) -> None:
    with mock.patch.object(data_keeper.RuleData, "read") as read:
        box.run()
    assert (read.called, box.events()) == (False, [])
    assert box.raised() == {"fines", "persons"}


def test_a_changed_register_answers_of_the_next_passage(box: Box) -> None:
    assert box.raised() == {"fines", "persons"}
    box.write("registry.csv", NOBODY)
    box.run()
    assert [(each["event"], each["data"], each["plates"], each["plates_before"]) for each in box.logs] == [
        ("rule_data_reloaded", "register registry", 1, 1)
    ]
    assert box.hub.totals().counts["rule_data_reloaded", ""] == 1
    assert box.raised() == {"persons"}
    box.write("registry.csv", "plate,fines\n30A-123.45,9\n")
    box.run()
    assert box.raised() == {"unknown", "persons"}
    assert box.raised("30A12345") == {"fines"}


def test_changed_declarations_leave_the_pushed_ones(box: Box) -> None:
    assert box.hub.judge is not None
    declarations = box.hub.judge.book.declarations
    assert declarations is not None
    declarations.push({"plate": "30A-123.45", "type": "x", "declared": "2026-05-20T09:00", "persons": 4})
    assert box.raised("30A12345") == {"unknown", "persons"}
    box.write("declarations.csv", ALONE)
    box.run()
    assert [(each["event"], each["data"]) for each in box.logs] == [("rule_data_reloaded", "declarations")]
    assert box.raised() == {"fines"}
    assert box.raised("30A12345") == {"unknown", "persons"}


@pytest.mark.parametrize("kind", ["huge", "pipe"])
def test_what_is_no_file_to_be_read_is_refused(box: Box, kind: str) -> None:
    file = box.folder / "registry.csv"
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.touch()
        os.truncate(file, 1 << 40)  # all of it holes
    box.run()
    assert box.events() == ["rule_data_refused"]
    assert ("not a file" if kind == "pipe" else "larger than 256 MiB") in box.refused["register registry"]
    assert box.raised() == {"fines", "persons"}


BAD = [
    ("registry.csv", "number,fines\n98C-012.34,2\n", "register registry"),
    ("registry.csv", "plate,fines\n98C-012.34\n", "register registry"),
    ("registry.csv", 'plate,fines\n98C-012.34,"2\n', "register registry"),
    ("registry.csv", None, "register registry"),
    ("declarations.csv", DECLARED + "98C-012.3,khaibao,2026-05-20\n", "declarations"),
    ("declarations.csv", "", "declarations"),
    ("declarations.csv", None, "declarations"),
]


@pytest.mark.parametrize(("name", "text", "data"), BAD)
def test_a_bad_file_leaves_the_old_content_and_is_told_until_it_is_corrected(
    box: Box, name: str, text: str | None, data: str
) -> None:
    box.write(name, text)
    box.run()
    assert [(each["event"], each["data"]) for each in box.logs] == [("rule_data_refused", data)]
    assert name in str(box.logs[0]["problem"])
    assert list(box.refused) == [data]
    assert "012.3" not in box.refused[data]
    assert box.hub.totals().counts["rule_data_refused", "file"] == 1
    assert box.raised() == {"fines", "persons"}
    box.run()
    assert box.events() == [], "told once"
    box.write(name, REGISTRY if name == "registry.csv" else DECLARED)
    box.run()
    assert box.events() == ["rule_data_reloaded"]
    assert box.refused == {}


@pytest.mark.parametrize(("name", "text", "data"), BAD)
def test_a_box_starts_with_the_last_good_copy(box: Box, name: str, text: str | None, data: str) -> None:
    box.write(name, text)
    box.start()
    stands_in = [each for each in box.logs if each["event"] == "rule_data_stands_in"]
    assert [(each["data"], each["plates"]) for each in stands_in] == [(data, 1)]
    assert list(box.refused) == [data]
    assert box.raised() == {"fines", "persons"}
    box.run()
    assert box.events() == [], "told once"
    box.write(name, NOBODY if name == "registry.csv" else ALONE)
    box.run()
    assert box.events() == ["rule_data_reloaded"]
    box.write(name, text)
    box.start()
    assert box.raised() == ({"persons"} if name == "registry.csv" else {"fines"}), "the copy is the newest good one"


@pytest.mark.parametrize("running", [False, True])
def test_a_good_file_that_could_not_be_read_for_a_moment_is_taken(
    box: Box, running: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.write("registry.csv", NOBODY)
    with monkeypatch.context() as patched:
        patched.setattr("anpr.rules.data.content_of", _broken)
        box.run() if running else box.start()
    assert "Input/output error" in box.refused["register registry"]
    box.run(int(AGAIN_SECONDS) + 3)
    assert (box.events(), box.refused) == (["rule_data_reloaded"], {})
    assert "fines" not in box.raised()


def _broken(file: Path) -> bytes:
    if file.name == "registry.csv":
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    return content_of(file)


@pytest.mark.parametrize("name", ["registry.csv", "declarations.csv"])
def test_a_file_that_has_become_empty_is_an_export_that_failed_until_its_copy_is_removed(box: Box, name: str) -> None:
    box.write(name, {"registry.csv": REGISTRY, "declarations.csv": DECLARED}[name].splitlines()[0] + "\n")
    box.run()
    assert box.events() == ["rule_data_refused"]
    assert "tells of 0 plates, the old one of 1" in str(box.logs[0]["problem"])
    assert box.raised() == {"fines", "persons"}
    box.start()
    assert len(box.refused) == 1
    assert box.raised() == {"fines", "persons"}
    copy = {"registry.csv": "register-registry.csv", "declarations.csv": "declarations.csv"}[name]
    (box.folder / "store" / COPIES / copy).unlink()
    box.start()
    assert box.refused == {}
    assert box.raised() == ({"unknown", "persons"} if name == "registry.csv" else {"fines"})
    box.write(name, NOBODY if name == "registry.csv" else ALONE)
    box.run()
    assert box.events() == ["rule_data_reloaded"]


def test_the_first_start_with_a_bad_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/own.toml").write_text(RULES)
    (tmp_path / "site.toml").write_text(SITE)
    (tmp_path / "declarations.csv").write_text(DECLARED)
    with ExitStack() as opened, pytest.raises(ConfigError, match=r"registry\.csv: cannot be read"):
        Box(tmp_path, opened)


def test_copies_of_what_the_site_no_longer_names_are_removed(box: Box) -> None:
    copies = box.folder / "store" / COPIES
    assert {path.name for path in copies.iterdir()} == {"register-registry.csv", "declarations.csv"}
    (box.folder / "site.toml").write_text(SITE.replace('declarations = "declarations.csv"\n', ""))
    box.start()
    assert {path.name for path in copies.iterdir()} == {"register-registry.csv"}


def test_a_copy_that_cannot_be_kept_is_told_and_the_file_taken(box: Box) -> None:
    with mock.patch.object(data_keeper, "keep_data", side_effect=StoreError("the disk is full")):
        box.write("registry.csv", NOBODY)
        box.run()
    assert box.events() == ["rule_data_reloaded", "rule_data_not_kept"]
    assert box.raised() == {"persons"}


def test_a_file_that_changes_while_it_is_read_is_read_again_when_it_rests(box: Box) -> None:
    whole = data_keeper.RuleData.read
    writes: list[str] = [NOBODY]

    def read(data: data_keeper.RuleData) -> data_keeper.FreshData:
        fresh = whole(data)
        if writes:
            box.write("registry.csv", writes.pop())
        return fresh

    with mock.patch.object(data_keeper.RuleData, "read", read):
        box.write("registry.csv", "plate,fines\n98C-012.34,99\n")
        box.run(looks=2)
        assert (box.events(), writes) == ([], [])
        box.run()
    assert box.events() == ["rule_data_reloaded"]
    assert box.raised() == {"persons"}


def test_a_fault_of_the_program_is_told_and_the_old_content_stays(box: Box) -> None:
    with mock.patch.object(data_keeper.RuleData, "read", side_effect=ZeroDivisionError):
        box.write("registry.csv", NOBODY)
        box.run()
    assert box.events() == ["rule_data_refused"]
    assert box.refused == {"register registry": "a fault of the program: ZeroDivisionError"}
    assert box.hub.totals().counts["rule_data_refused", "failure"] == 1
    assert box.raised() == {"fines", "persons"}


def test_a_signal_has_all_files_read_at_once(box: Box) -> None:
    box.run()
    box.keeper.lookout.ask()
    box.keeper.turn()
    box.run(looks=1)
    assert box.events() == ["rule_data_reloaded", "rule_data_reloaded"]


def test_the_old_content_is_asked_while_a_thread_reads(box: Box) -> None:
    whole = data_keeper.RuleData.read
    reads, go_on = threading.Event(), threading.Event()

    def slowly(data: data_keeper.RuleData) -> data_keeper.FreshData:
        assert threading.current_thread().name == THREAD_NAME
        reads.set()
        assert go_on.wait(20.0)
        return whole(data)

    with mock.patch.object(data_keeper.RuleData, "read", slowly):
        box.write("registry.csv", NOBODY)
        while not reads.wait(0.001):
            box.clock.advance(1.0)
            box.keeper.turn()
        box.keeper.turn()
        assert box.keeper.lookout.busy
        assert box.raised() == {"fines", "persons"}
        go_on.set()
        box.run()
    assert box.raised() == {"persons"}


MANY = "plate,fines\n98C-012.34,0\n" + "".join(f"30A-{number:03}.45,1\n" for number in range(150))


def left_out(box: Box) -> list[tuple[object, object]]:
    return [(each["data"], each["rows"]) for each in box.logs if each["event"] == "rule_data_rows_left_out"]


def test_up_to_one_bad_row_in_a_hundred_is_left_out_counted_and_told_once(box: Box) -> None:
    box.write("registry.csv", MANY + "98C-0,9\n")
    box.run()
    assert box.events() == ["rule_data_reloaded", "rule_data_rows_left_out"]
    assert left_out(box) == [("register registry", 1)]
    (problem,) = box.logs[1]["problems"]  # type: ignore[attr-defined]
    assert problem.startswith(f"{box.folder}/registry.csv:153: plate ")
    assert "98C" not in problem.masked
    assert box.hub.totals().counts["rule_data_rows_left_out", "register registry"] == 1
    assert (box.raised(), box.refused) == ({"persons"}, {})
    box.run()
    assert box.events() == []
    box.write("registry.csv", MANY + "98C-0,9\n98C-1,9\n")
    box.run()
    assert box.events() == ["rule_data_refused"]
    assert box.refused["register registry"].endswith("2 of 153 rows are bad")
    assert box.raised() == {"persons"}, "the former content stays"
    box.start()
    assert left_out(box) == [("register registry", 1)], "told of the copy that stands in"
    assert box.hub.totals().counts["rule_data_rows_left_out", "register registry"] == 1
    assert box.raised() == {"persons"}


GOOD: dict[str, Callable[[int], str]] = {
    "registry.csv": lambda number: f"plate,fines\n98C-012.34,{number}\n",
    "declarations.csv": lambda number: f"plate,type,declared,persons\n98C-012.34,x,2026-05-20,{number}\n",
}


@settings(deadline=None, max_examples=15)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(GOOD)), st.one_of(st.integers(1, 3), st.sampled_from(["bad", "gone"]))),
        max_size=6,
    ),
    st.booleans(),
)
def test_after_any_changes_the_newest_good_files_are_asked(changes: list[tuple[str, int | str]], restart: bool) -> None:
    """And so after a restart."""
    where = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="data", dir=where) as name, opened_box(Path(name)) as box:
        asked: dict[str, int] = {"registry.csv": 2, "declarations.csv": 3}
        wrong: dict[str, bool] = {}
        for file, content in changes:
            box.write(file, None if content == "gone" else GOOD[file](content) if isinstance(content, int) else "bad\n")
            box.run()
            wrong[file] = isinstance(content, str)
            if isinstance(content, int):
                asked[file] = content
        if restart:
            box.start()
        expected = {"fines"} if asked["registry.csv"] > 1 else set()
        expected |= {"persons"} if asked["declarations.csv"] > 1 else set()
        assert box.raised() == expected
        names = {"registry.csv": "register registry", "declarations.csv": "declarations"}
        assert set(box.refused) == {names[file] for file, bad in wrong.items() if bad}


def test_a_register_that_has_shrunk_by_more_than_a_fifth_is_half_a_file(box: Box) -> None:
    head, row = REGISTRY.splitlines()[:2]
    plate = row.partition(",")[0]
    rows = [row.replace(plate, f"51F{number:05}") for number in range(1, 11)]
    box.write("registry.csv", "\n".join((head, row, *rows)) + "\n")
    box.run()
    assert box.events() == ["rule_data_reloaded"]
    box.logs.clear()
    box.write("registry.csv", "\n".join((head, row, *rows[:7])) + "\n")
    box.run()
    assert box.events() == ["rule_data_refused"]
    assert "tells of 8 plates, the old one of 11" in str(box.logs[0]["problem"])
    box.logs.clear()
    box.write("registry.csv", "\n".join((head, row, *rows[:8])) + "\n")
    box.run()
    assert box.events() == ["rule_data_reloaded"]
