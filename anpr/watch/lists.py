"""A watch-list, and its import from a file."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from anpr.config.fields import Context
from anpr.config.handed_in import MAX_BAD
from anpr.config.listing import FALSE_HITS_PER_DAY, ListHead
from anpr.errors import WatchListError
from anpr.plates.grammar import parse
from anpr.plates.patterns import Pattern
from anpr.privacy import Private
from anpr.records import Severity
from anpr.watch.csv_file import parse_csv
from anpr.watch.entries import Entry, Problem
from anpr.watch.json_file import ENTRIES, parse_json
from anpr.watch.limits import Limits
from anpr.watch.rows import Parsed
from anpr.watch.table import Entries

MAX_BYTES = {".csv": 256 * 2**20, ".json": 192 * 2**20, ".xlsx": 64 * 2**20}
"""Of a file, by the format that its suffix tells."""
NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True, eq=False)
class WatchList:
    """Plates that somebody looks for."""

    name: str
    version: str
    """Hash of the entries: the same content has the same version, whatever the file's order, line ends or encoding."""
    entries: Sequence[Entry]
    """Columns (`Entries`), whatever it is made of."""
    purpose: str = ""
    authority: str = ""
    """Who answers for the list; an entry may name its own."""
    severity: Severity = "ALERT"
    loaded_seconds: float = 0.0
    """Wall time of the content."""
    owner: str = ""
    """Who keeps it up to date."""
    note: str = ""
    limits: Limits = NO_LIMITS
    false_hits_per_day: float = FALSE_HITS_PER_DAY
    """How many of its hits a day may be of other vehicles; 0: only what was read exactly, and patterns."""
    problems: tuple[Problem, ...] = ()
    """Of the rows that were left out."""
    bad_rows: int = 0
    """Rows that were left out."""
    refused: str = ""
    """Why the list's file was refused, for which this last good copy of it stands in; empty: it is the file's."""
    rows: Entries = field(init=False, repr=False)
    """The entries, by columns."""

    def __post_init__(self) -> None:
        rows = self.entries if isinstance(self.entries, Entries) else Entries.of(self.entries)
        object.__setattr__(self, "entries", rows)
        object.__setattr__(self, "rows", rows)

    def __repr__(self) -> str:
        return f"WatchList({self.name} {self.version}, {len(self.entries)} entries)"

    @property
    def plates(self) -> NDArray[np.bytes_]:
        """Per entry its plate or pattern in the engine's form, `S12`; a pattern holds `?` or `*`."""
        return self.rows.plates

    @property
    def patterns(self) -> NDArray[np.intp]:
        """The rows of `entries` that are patterns."""
        return self.rows.patterns

    def applies(
        self,
        entry: Entry,
        *,
        seen_seconds: float,
        site_id: str = "",
        direction: str = "unknown",
        kind: str = "",
        reads: Sequence[str] = (),
    ) -> bool:
        """Whether one of the entries may raise a hit about a sighting whose plate matches it.

        Asks for the entry's and the list's validity, days and hours at the wall time `seen_seconds`, and for the list's
        sites, directions and plate kinds. What is not known of the sighting (`site_id` or `kind` empty, `direction`
        unknown) excludes nothing: a vehicle on the wrong carriageway is looked at once too often rather than a stolen
        one never. Nor does a kind, where the listed plate can be of one of the list's, or where one of `reads`, what
        was read and could have been, can that fits a listed pattern: the reader may have erred. `doubt` tells of it,
        and such a hit is a CHECK at most.
        """
        limits = self.limits
        return (
            entry.valid_at(seen_seconds)
            and limits.hold_at(seen_seconds)
            and (not limits.sites or not site_id or site_id in limits.sites)
            and (not limits.directions or direction in limits.directions or direction == "unknown")
            and (not limits.kinds or not kind or kind in limits.kinds or self._may_be_listed_kind(entry, reads))
        )

    def doubt(self, entry: Entry, *, site_id: str = "", direction: str = "unknown", kind: str = "") -> str:
        """Why the list may not be meant for a sighting to which it applies; empty if it surely is.

        One of `site unknown`, `direction unknown`, `kind unknown`, `listed as a motorbike, seen as a car`.
        """
        limits = self.limits
        if limits.sites and not site_id:
            return "site unknown"
        if limits.directions and direction == "unknown":
            return "direction unknown"
        kinds = {entry.kind} if entry.kind is not None else limits.kinds
        if kinds and kind and kind not in kinds:
            return f"listed as a {' or '.join(sorted(kinds))}, seen as a {kind}"
        if limits.kinds and not kind:
            return "kind unknown"
        return ""

    def _may_be_listed_kind(self, entry: Entry, reads: Sequence[str]) -> bool:
        """Whether the entry's text, or what was read and fits its pattern, is also that of a kind which the list is
        for: `29H12345` is on cars and motorbikes, and which it is, the reader may have guessed.

        A pattern that nothing of it fits was matched by a confusion: nobody knows by which plate.
        """
        texts: Sequence[str] = (entry.plate,)
        if entry.is_pattern:
            texts = list(filter(Pattern(entry.plate).matches, reads))
            if not texts:
                return True
        return any(reading.kind in self.limits.kinds for text in texts for reading in parse(text))


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """What an update of a list changes, in plates."""

    added_plates: NDArray[np.bytes_]
    removed_plates: NDArray[np.bytes_]
    changed_plates: NDArray[np.bytes_]
    kept: int = 0
    """Plates that stay, the changed ones included."""

    def __str__(self) -> str:
        return f"+{len(self.added_plates)} −{len(self.removed_plates)} ~{len(self.changed_plates)}"

    @property
    def added(self) -> tuple[str, ...]:
        """The new plates, in order."""
        return _texts(self.added_plates)

    @property
    def removed(self) -> tuple[str, ...]:
        """Those that are gone, in order."""
        return _texts(self.removed_plates)

    @property
    def changed(self) -> tuple[str, ...]:
        """Those whose entries are others, in order."""
        return _texts(self.changed_plates)

    @property
    def vanishing(self) -> float:
        """Share of the old plates that are gone, 0 to 1."""
        return len(self.removed_plates) / max(1, self.kept + len(self.removed_plates))


def load_list(
    path: Path,
    *,
    name: str | None = None,
    head: ListHead | None = None,
    loaded_seconds: float | None = None,
    force: bool = False,
) -> WatchList:
    """The watch-list of a CSV, JSON or XLSX file, by its suffix.

    `name` is the file's stem and `loaded_seconds` its modification time unless given. What `head` gives
    goes before what stands at the head of a JSON file. Bad rows are left out: see `WatchList.problems`. Raises
    WatchListError with every problem of the file if it is wrong as a whole, or if more than `MAX_BAD` of its rows are
    bad and not `force`.
    """
    with open_list(path) as opened:
        parsed = parse_file(opened.file, path.suffix)
        opened.check()
    return make_list(
        parsed,
        place=str(path),
        name=name or path.stem,
        head=head,
        loaded_seconds=opened.status.st_mtime if loaded_seconds is None else loaded_seconds,
        force=force,
    )


@dataclass(frozen=True, slots=True)
class ListFile:
    """A watch-list file that is open for reading."""

    file: BinaryIO
    path: Path
    status: os.stat_result
    """When it was opened."""

    def check(self) -> None:
        """Raises WatchListError if somebody has written to it since."""
        now = os.fstat(self.file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self.status.st_size, self.status.st_mtime_ns):
            what = "the file changed while it was read"
            raise WatchListError(what, place=str(self.path), cure="write to another file, then rename it")


@contextmanager
def open_list(path: Path) -> Iterator[ListFile]:
    """The file at `path`. Raises WatchListError if it cannot be read, has another format or is too large."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its other end
            raise WatchListError("is no file", place=str(path), cure="give the file that holds the list")
        file = path.open("rb")
    except OSError as error:
        raise WatchListError(f"cannot be read: {error.strerror}", place=str(path), cure="check the path") from error
    with file:
        status, most = os.fstat(file.fileno()), MAX_BYTES.get(path.suffix.lower(), 0)
        if not most:
            raise WatchListError("no format of a watch-list", place=str(path), cure=f"one of {', '.join(MAX_BYTES)}")
        if status.st_size > most:
            what = f"{status.st_size} bytes are too many for a watch-list"
            raise WatchListError(what, place=str(path), cure=f"at most {most}")
        yield ListFile(file, path, status)


def parse_file(file: BinaryIO, suffix: str) -> Parsed:
    """What a file says; its format is that of `suffix`. Raises WatchListError if it cannot be read."""
    try:
        match suffix.lower():
            case ".csv":
                return parse_csv(file)
            case ".json":
                return parse_json(file.read(MAX_BYTES[".json"]))
            case _:
                from anpr.watch.xlsx_file import parse_xlsx

                return parse_xlsx(file.read(MAX_BYTES[".xlsx"]))
    except OSError as error:
        raise WatchListError(f"cannot be read: {error.strerror}", cure="check the disk") from error


def make_list(
    parsed: Parsed,
    *,
    place: str,
    name: str,
    head: ListHead | None = None,
    loaded_seconds: float,
    force: bool = False,
) -> WatchList:
    """The watch-list of what a file says; arguments and errors as in `load_list`."""
    told, wrong = read_head(parsed.head, parsed.head_lines)
    told = told.under(head)
    if told.valid_from is not None and told.valid_until is not None and told.valid_until <= told.valid_from:
        what = "the site file and the list's head together leave no time at which the list holds"
        wrong = (*wrong, Problem(0, "valid_until", "", what, "correct one of the two"))
    problems = (*wrong, *parsed.problems)
    too_many = parsed.bad_rows > MAX_BAD * parsed.rows and not force
    if wrong or not parsed.usable or too_many:
        bad = f", {parsed.bad_rows} of {parsed.rows} rows are bad" if parsed.rows > 1 and parsed.bad_rows else ""
        if bad and too_many:
            bad += f", more than {MAX_BAD:.0%}".replace("%", " %")
        forcible = too_many and parsed.usable and not wrong
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}{bad}"
        raise WatchListError(
            Private(f"{count}, first: {problems[0]}", masked=count),
            place=place,
            cure="correct them, or import it with --force, which leaves them out" if forcible else "",
            details=tuple(asdict(each) for each in problems),
            problems=tuple(Private(f"{place}: {each}", masked=f"{place}: {each.masked}") for each in problems),
        )
    return WatchList(
        name=name,
        version=parsed.entries.version(),
        entries=parsed.entries,
        purpose=told.purpose,
        authority=told.authority,
        severity=told.severity,
        loaded_seconds=loaded_seconds,
        owner=told.owner,
        note=told.note,
        limits=Limits.of(told),
        false_hits_per_day=told.false_hits_per_day,
        problems=parsed.problems,
        bad_rows=parsed.bad_rows,
    )


def read_head(values: Mapping[str, Any], lines: Mapping[str, int]) -> tuple[ListHead, tuple[Problem, ...]]:
    """What a list's head says, and everything that is wrong with it; `lines` tells where each value stands."""
    try:
        return ListHead.model_validate(values, context=Context(Path(), None)), ()
    except ValidationError as error:
        problems = []
        for mistake in error.errors(include_url=False):
            key = str(mistake["loc"][0]) if mistake["loc"] else ""
            known = ", ".join([*ListHead.model_fields, ENTRIES])
            if mistake["type"] == "extra_forbidden":
                what, cure = f"unknown key {key[:80]!r}", f"one of {known}"
            else:
                what, cure = mistake["msg"], mistake.get("ctx", {}).get("cure", "")
            problems.append(Problem(lines.get(key, 0), key[:80], str(values.get(key, ""))[:80], what, cure))
        return ListHead(), tuple(problems)


def read_csv(data: bytes) -> tuple[Entries, tuple[Problem, ...]]:
    """The good entries of a CSV file's bytes, and everything that is wrong with it."""
    parsed = parse_csv(io.BytesIO(data))
    return parsed.entries, parsed.problems


def compare(old: WatchList, new: WatchList) -> Difference:
    """What changes from one list to another."""
    before, after = old.rows, new.rows
    old_order, new_order = before.order(), after.order()
    old_plates, old_counts = np.unique(before.plates, return_counts=True)
    new_plates, new_counts = np.unique(after.plates, return_counts=True)
    common, in_old, in_new = np.intersect1d(old_plates, new_plates, assume_unique=True, return_indices=True)
    as_many = old_counts[in_old] == new_counts[in_new]
    # Rows of a plate stand together in `order`: those of each common plate, pair by pair.
    old_starts, new_starts = (np.cumsum(counts) - counts for counts in (old_counts, new_counts))
    repeats = old_counts[in_old][as_many]
    plate_of = np.repeat(np.flatnonzero(as_many), repeats)
    within = np.arange(len(plate_of)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    same = before.same(
        old_order[old_starts[in_old][plate_of] + within], after, new_order[new_starts[in_new][plate_of] + within]
    )
    changed = ~as_many
    changed[plate_of[~same]] = True
    return Difference(
        added_plates=np.setdiff1d(new_plates, old_plates, assume_unique=True),
        removed_plates=np.setdiff1d(old_plates, new_plates, assume_unique=True),
        changed_plates=common[changed],
        kept=len(common),
    )


def _texts(plates: NDArray[np.bytes_]) -> tuple[str, ...]:
    return tuple(plate.decode() for plate in plates.tolist())
