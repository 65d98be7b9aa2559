"""A store of an older schema made new: its one file becomes a root and a partition for each day of its commits.

    1  before-schema-5/     a copy of the old file, without unused pages, durable; it stays until somebody deletes it
    2  migrating/           the new root and partitions are made here
    3  days/                is moved to its place, which means nothing to the old file
    4  data.mdb             is exchanged: only now the store is new

Cut off before the fourth, it begins anew at the next start, and the old file is as it was.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path

import lmdb
import msgspec

from anpr.errors import StoreError
from anpr.plates.provinces import vietnam_date
from anpr.records import Event, Sighting
from anpr.store.chain import NO_END
from anpr.store.durable import sync_file, sync_folder
from anpr.store.environment import Environment
from anpr.store.keys import pack_seq
from anpr.store.lock import used_by_nobody
from anpr.store.partition import Name, Newest, Partition, id_key
from anpr.store.partitions import DAYS, REVISED_WITHIN, make
from anpr.store.root import PARTITIONS_SINCE, SCHEMA_VERSION, Root, read_schema
from anpr.store.rows import decode_row

BACKUP = f"before-schema-{SCHEMA_VERSION}"
"""Name of the folder."""

_MAKING = "migrating"
_DATA, _LOCK = "data.mdb", "lock.mdb"
_AT_ONCE = 5000
"""Events in one transaction."""


def migrate(path: Path, *, map_size_bytes: int) -> int | None:
    """Make the store in a folder new, if it is old: the schema it had; None if there was nothing to be done.

    The caller holds the writer's lock. Raises StoreError if a process reads the store, or the disk has no
    room; OSError.
    """
    making = path / _MAKING
    if not (path / _DATA).is_file():
        return None
    with closing(Environment.open(path, map_size_bytes=map_size_bytes, read_only=True)) as environment:
        schema = read_schema(environment)
        if not 0 < schema < PARTITIONS_SINCE:
            shutil.rmtree(making, ignore_errors=True)
            return None
        if (path / DAYS).exists() and not (making / _DATA).is_file():
            raise StoreError(
                "the store is of an older schema, but has days of a newer one",
                place=str(path / DAYS),
                cure="move that folder away; what is stored in it belongs to another data.mdb",
            )
        root = Root(environment, read_only=True)
        assert root.old is not None
        _forget_try(path)
        _check_room(path)
        _back_up(root)
        making.mkdir(mode=0o770)
        with ExitStack() as opened:
            _Days(root.old, making / DAYS, map_size_bytes=map_size_bytes, opened=opened).fill()
        _make_root(root, making, map_size_bytes=map_size_bytes)
    with used_by_nobody(path):
        (making / DAYS).rename(path / DAYS)
        sync_folder(path)
        for name in (_DATA, _LOCK):
            (making / name).chmod((path / name).stat().st_mode & 0o777)
            (making / name).replace(path / name)
        sync_folder(path)
    shutil.rmtree(making)
    return schema


class _Days:
    """The partitions that are being made."""

    def __init__(self, old: Partition, path: Path, *, map_size_bytes: int, opened: ExitStack) -> None:
        self._old = old
        self._path = path
        self._map_size_bytes = map_size_bytes
        self._opened = opened
        self._made: list[tuple[Partition, lmdb.Transaction[bytes]]] = []
        """Oldest first, with a transaction that writes to the newest, and such as read the others."""

    def fill(self) -> None:
        """Make them from the old log, and have them on disk. Raises StoreError, OSError."""
        self._path.mkdir(mode=0o770)
        taken = 0
        with self._old.reading() as old:
            for seq, row in self._old.rows(old, after_seq=0):
                try:
                    event = decode_row(seq, row)
                except (msgspec.MsgspecError, KeyError):
                    event = None  # anpr store check tells of it, as it did before
                day = vietnam_date(event.committed_seconds) if event else None
                if not self._made or day not in (None, self._made[-1][0].day):
                    self._begin(day or date.min, seq)
                elif taken % _AT_ONCE == 0:
                    self._commit(write=True)
                self._take(old, seq, row, event)
                taken += 1
        if self._made:
            self._commit(write=False)
        for partition, _ in self._made:
            partition.environment.handle.sync(True)
            sync_folder(partition.path)
        sync_folder(self._path)

    def _begin(self, day: date, seq: int) -> None:
        chain = NO_END
        if self._made:
            self._commit(write=False)
            before, txn = self._made[-1]
            chain = before.chain.end(txn) if before.chain else NO_END
        name = Name(day, seq)
        partition = make(self._path / str(name), name, chain=chain, map_size_bytes=self._map_size_bytes, durable=False)
        self._opened.callback(partition.environment.close)
        self._made.append((partition, partition.environment.handle.begin(write=True)))

    def _commit(self, *, write: bool) -> None:
        """And go on, writing or only reading."""
        partition, txn = self._made[-1]
        txn.commit()
        self._made[-1] = partition, partition.environment.handle.begin(write=write)

    def _take(self, old: lmdb.Transaction[bytes], seq: int, row: bytes, event: Event | None) -> None:
        partition, txn = self._made[-1]
        if event is None:
            txn.put(pack_seq(seq), row, append=True, db=partition.events)
        else:
            found = self._before(event)
            here = found is not None and found[0] is partition
            partition.put(txn, event, row, found[1] if found and here else None)
            if found and not here:
                txn.put(pack_seq(found[1].seq), pack_seq(seq), db=partition.table("superseded"))
        if partition.chain is not None and self._old.chain is not None:
            partition.chain.copy_from(self._old.chain, old, txn, seq)

    def _before(self, event: Event) -> tuple[Partition, Newest] | None:
        """Where the revision before is."""
        key = id_key(event.record)
        looked_at = self._made[-REVISED_WITHIN:] if isinstance(event.record, Sighting) else self._made
        for partition, txn in reversed(looked_at):
            newest = partition.newest(txn, key)
            if newest is not None:
                return partition, newest
        return None


def _forget_try(path: Path) -> None:
    """Delete what a try that was cut off has made; `migrating` last, which tells that `days` is of such a try."""
    if (path / DAYS).exists():
        shutil.rmtree(path / DAYS)
        sync_folder(path)
    shutil.rmtree(path / _MAKING, ignore_errors=True)


def _check_room(path: Path) -> None:
    needed = 2 * (path / _DATA).stat().st_blocks * 512
    if shutil.disk_usage(path).free < needed:
        raise StoreError(
            "the store is of an older schema, and the disk has no room to make it new",
            place=str(path),
            cure=f"free {(needed >> 20) + 1} MiB",
        )


def _back_up(root: Root) -> None:
    half, whole = root.path / f".{BACKUP}.unfinished", root.path / BACKUP
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o770)
    root.environment.copy(half)
    sync_file(half / _DATA)
    sync_folder(half)
    shutil.rmtree(whole, ignore_errors=True)  # of a try that was cut off
    half.rename(whole)
    sync_folder(root.path)


def _make_root(old: Root, folder: Path, *, map_size_bytes: int) -> None:
    environment = Environment.open(folder, map_size_bytes=map_size_bytes, durable=False)
    consumers = old.environment.table("consumers", create=False)
    with closing(Root(environment, read_only=False)) as root:
        with old.reading() as reading, root.writing() as txn:
            for key in (b"epoch", b"alive"):
                value = reading.get(key, db=old.meta)
                if value is not None:
                    txn.put(key, value, db=root.meta)
            txn.put(b"schema", b"%d" % SCHEMA_VERSION, db=root.meta)
            if consumers is not None:
                with reading.cursor(consumers) as cursor:
                    for key, value in cursor.iternext():
                        txn.put(key, value, db=root.consumers)
        environment.handle.sync(True)
    sync_folder(folder)
