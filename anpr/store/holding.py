"""Making and releasing legal holds, and confirming the clock: small commits beside a running box, audited first."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import lmdb

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.store.audit import AuditLog, Request
from anpr.store.holds import Hold, Holds, drop_hold, put_hold, read_holds
from anpr.store.keys import checked_name
from anpr.store.notes import Notes
from anpr.store.query import Query, plate_pattern
from anpr.store.root import Root
from anpr.store.store import Store

MOST_COUNTED = 1000
"""Of the passages that a new hold covers."""


def make_hold(
    path: Path,
    *,
    reason: str,
    case: str,
    record: str = "",
    plate: str = "",
    from_seconds: float | None = None,
    until_seconds: float | None = None,
    clock: Clock,
) -> tuple[Hold, int]:
    """Hold a record, or the passages of a plate; the hold, and how many passages that are there it covers once it is
    made: what was purged until then it does not.

    Raises PlateError, StoreError: if there is no such record, or it cannot be written.
    """
    pattern = plate_pattern(plate) if plate else ""
    _open(path).close()
    found = _count(path, record, pattern, from_seconds, until_seconds, clock=clock)
    if record and not found:
        raise StoreError(f"no sighting or hit is called {record!r}", place=str(path), cure="search it")
    asked: dict[str, str | int | float] = {"record": record} if record else {"plate": pattern}
    asked |= {
        name: seconds
        for name, seconds in (("from_seconds", from_seconds), ("until_seconds", until_seconds))
        if seconds is not None
    }
    AuditLog(path, clock=clock).append(Request("hold", reason, case, asked), rows=found)
    with _writing(path) as (root, txn):
        number = max((int(hold.id[1:]) for hold in read_holds(txn, root.holds).holds), default=0)
        number = max(number, int(txn.get(_LAST, b"0", db=root.meta))) + 1
        made = Hold(
            id=f"H{number}",
            at=datetime.fromtimestamp(clock.wall_seconds(), UTC).isoformat(timespec="seconds"),
            user=_user(),
            reason=reason,
            case=case,
            record=record,
            plate=pattern,
            from_seconds=from_seconds,
            until_seconds=until_seconds,
        )
        put_hold(txn, root.holds, made)
        txn.put(_LAST, b"%d" % number, db=root.meta)  # a name that was released is not given again
    return made, _count(path, record, pattern, from_seconds, until_seconds, clock=clock)


def release_hold(path: Path, hold_id: str, *, reason: str, case: str, clock: Clock) -> Hold:
    """Let what a hold has kept go, when its time comes; what it was. Raises StoreError if there is no such hold."""
    was = next((hold for hold in all_holds(path).holds if hold.id == hold_id), None)
    if was is None:
        raise StoreError(f"there is no hold {hold_id!r}", place=str(path), cure="see anpr store holds")
    what = {"record": was.record} if was.record else {"plate": was.plate}
    request = Request("release", reason, case, {"hold": hold_id, "held_for": was.case, **what})
    AuditLog(path, clock=clock).append(request, rows=0)
    with _writing(path) as (root, txn):
        return drop_hold(txn, root.holds, hold_id)


def all_holds(path: Path) -> Holds:
    """The holds of a store. Raises StoreError."""
    root = Root.open(path, read_only=True)
    try:
        if root.kept is None:
            return Holds(())
        with root.reading() as txn:
            return read_holds(txn, root.holds)
    finally:
        root.close()


def confirm_clock(path: Path, *, reason: str, case: str, clock: Clock) -> float:
    """Note that a person says that the clock is right; the wall time that it shows. Raises StoreError."""
    _open(path).close()
    wall_seconds = clock.wall_seconds()
    AuditLog(path, clock=clock).append(Request("confirm-clock", reason, case, {"clock": wall_seconds}), rows=0)
    root = _open(path)
    try:
        Notes(root).confirm(wall_seconds)
    finally:
        root.close()
    return wall_seconds


_LAST = b"last_hold"


def _count(
    path: Path,
    record: str,
    pattern: str,
    from_seconds: float | None,
    until_seconds: float | None,
    *,
    clock: Clock,
) -> int:
    with Store.open(path, clock=clock, read_only=True) as store:
        if record:
            name = checked_name(record)
            with store.partitions.view() as view:
                found = view.find(b"sighting\0" + name) or view.find(b"hit\0" + name)
            return int(found is not None)
        query = Query(plate=pattern, from_seconds=from_seconds, until_seconds=until_seconds, limit=MOST_COUNTED)
        return len(store.search(query).sightings)


@contextmanager
def _writing(path: Path) -> Iterator[tuple[Root, lmdb.Transaction[bytes]]]:
    root = _open(path)
    try:
        with root.writing() as txn:
            yield root, txn
    finally:
        root.close()


def _open(path: Path) -> Root:
    if not (path / "data.mdb").is_file():
        raise StoreError("there is no store here", place=str(path), cure="give the folder of a store")
    root = Root.open(path, read_only=False)
    if root.old is not None:
        root.close()
        raise StoreError("was written by an old anpr", place=str(path), cure="start this one's anpr run on it once")
    return root


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
