"""What is due by a policy: told without changing anything, or done at once while no box has the store open."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.store.audit import Head
from anpr.store.faults import told_as_store_errors
from anpr.store.keeper import Keeper
from anpr.store.lock import is_being_written
from anpr.store.owner import giving_to_owner
from anpr.store.purges import Purge, audit_begins
from anpr.store.retention import MIB, Policy
from anpr.store.root import Root
from anpr.store.salvage import DATA
from anpr.store.store import Store


class Told(NamedTuple):
    """A line for each."""

    due: tuple[str, ...]
    problems: tuple[str, ...]
    """Why nothing is purged, or nothing more."""
    failed: bool = False
    """Whether some of it could not be purged: why is among the problems; `due` is what was."""


def forecast(path: Path, policy: Policy, *, consumers: Collection[str], clock: Clock) -> Told:
    """What would go next. Raises StoreError."""
    with Store.open(path, clock=clock, read_only=True) as store:
        if store.root.kept is None:
            return Told((), ("the store was written by an old anpr: nothing is purged before this one has run on it",))
        keeper = Keeper(store, policy, clock=clock, consumers=consumers, read_only=True)
        return Told(tuple(keeper.due()), tuple(keeper.problems()))


def purge_now(path: Path, policy: Policy, *, box: str, consumers: Collection[str], clock: Clock) -> Told:
    """Purge all that is due. Raises StoreError if nothing could be begun; also if a box runs: it does so by itself.

    What root makes there is the owner's."""
    if not (path / DATA).is_file():
        raise StoreError("there is no store here", place=str(path), cure="give the site file of a box that has run")
    if is_being_written(path):
        raise StoreError(
            "the box runs, and purges within a minute what is due",
            place=str(path),
            cure="see anpr store purges, or stop it first",
        )
    with told_as_store_errors(path), giving_to_owner(path), Store.open(path, clock=clock, box=box) as store:
        keeper = Keeper(store, policy, clock=clock, consumers=consumers)
        try:
            done = tuple(map(line_of, keeper.run()))
        finally:
            keeper.close()
        return Told(done, tuple(keeper.problems()), keeper.failed)


def audit_begins_of(path: Path) -> list[Head]:
    """The lines after which the audit log in a store's folder may begin. Raises StoreError."""
    if not (path / "data.mdb").is_file():
        return []
    root = Root.open(path, read_only=True)
    try:
        return audit_begins(root)
    finally:
        root.close()


def line_of(purge: Purge) -> str:
    """A purge for a person."""
    if purge.what == "audit":
        numbers = f"{purge.first_seq:,} to {purge.last_seq:,}"
        return f"{purge.number}  {purge.at}  {purge.reason}  lines {numbers} of the audit log"
    if purge.what == "lost":
        return f"{purge.number}  {purge.at}  {purge.reason}  {purge.first_seq:,} to {purge.last_seq:,} are lost"
    what = {"partition": "all", "kept": "kept records", "pictures": "pictures", "plates": "plates"}[purge.what]
    records = purge.sightings + purge.hits + purge.gaps
    counts = f"{records:,} records, {purge.kept:,} kept, {purge.pictures:,} pictures"
    size = (purge.bytes + purge.picture_bytes) / MIB
    numbers = f"{purge.first_seq:,} to {purge.last_seq:,}"
    return f"{purge.number}  {purge.at}  {purge.reason}  {what} of {numbers}: {counts}, {size:,.1f} MiB"
