"""What a store holds, read from its files without anpr: LMDB and MessagePack alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import lmdb
import msgspec

LOG_TABLE = b"events"
MOST_TABLES = 64


def event_files(store: Path) -> list[Path]:
    """The LMDB files that hold events, oldest first: `days/<day>.<first number>/data.mdb`."""
    return sorted(store.glob("days/[0-9]*/data.mdb"), key=lambda path: path.parent.name.partition(".")[2])


def stored_events(store: Path) -> dict[int, list[Any]]:
    """The rows of the event log by their number: `[kind, box, epoch, committed seconds, record]`."""
    rows: dict[int, list[Any]] = {}
    for path in event_files(store):
        try:
            table = read_table(path.parent, LOG_TABLE)
        except lmdb.Error:
            if path.exists():
                raise
            continue  # it was purged just now
        rows.update((int.from_bytes(key, "big"), msgspec.msgpack.decode(value)) for key, value in table.items())
    return rows


def read_table(folder: Path, name: bytes) -> dict[bytes, bytes]:
    """All of a table, also while somebody writes; empty if nothing of the kind was ever written."""
    with lmdb.open(str(folder), readonly=True, max_dbs=MOST_TABLES) as environment:
        try:
            table = environment.open_db(name, create=False)
        except (lmdb.NotFoundError, lmdb.ReadonlyError):
            return {}
        with environment.begin(db=table) as transaction:
            return {bytes(key): bytes(value) for key, value in transaction.cursor()}


def names_of(rows: dict[int, list[Any]]) -> dict[int, str]:
    """What each row is called on the bus."""
    return {seq: f"{row[0]}.{row[4]['id']}.{row[4]['revision']}" for seq, row in rows.items()}


def has_pseudonym(row: list[Any]) -> bool:
    """Whether a row is of a passage whose plate gave way to a pseudonym (docs/operate.md)."""
    return row[0] == "sighting" and str(row[4]["text"]).startswith("~")


def kept_events(store: Path) -> dict[int, list[Any]]:
    """The rows that have outlived the partition they were in, by their number."""
    rows = read_table(store, b"kept_events")
    return {int.from_bytes(key, "big"): msgspec.msgpack.decode(value) for key, value in rows.items()}


class Numbers:
    """Of events, a range for each entry of the store's journal."""

    def __init__(self, entries: Iterable[Mapping[str, Any]]) -> None:
        self.ranges = [(each["first_seq"], each["last_seq"]) for each in entries]

    def __contains__(self, seq: int) -> bool:
        return any(first <= seq <= last for first, last in self.ranges)


class PurgedNumbers(Numbers):
    """Numbers of events that the store says to have deleted on purpose."""

    def __init__(self, store: Path) -> None:
        entries = [msgspec.json.decode(value) for value in read_table(store, b"purges").values()]
        super().__init__(each for each in entries if each["what"] == "partition")
        self.count = len(entries)
        self.lost = Numbers(each for each in entries if each["what"] == "lost")
        """Of days that were damaged and set aside."""
        self.without_plate = Numbers(each for each in entries if each["what"] == "plates")
        """Of days whose plates gave way to pseudonyms, but for what hits name."""


def damaged_evidence(store: Path) -> list[str]:
    """Pictures that a stored sighting names and that are missing or not what their name says."""
    named = {picture["sha256"] for row in stored_events(store).values() for picture in row[4].get("evidence", ())}
    return damaged_pictures(store, named)


def damaged_pictures(store: Path, names: Iterable[str]) -> list[str]:
    """Those of these pictures, each named by its SHA-256, that are missing or not what their name says."""
    return [name for name in names if not _is_whole(picture_path(store, name), name)]


def picture_path(store: Path, name: str) -> Path:
    """Where a picture lies."""
    return store / "evidence" / name[:2] / f"{name[2:]}.jpg"


def file_hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of all files below a folder, by their path in it; but for LMDB's table of readers."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock.mdb"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _is_whole(path: Path, name: str) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == name
