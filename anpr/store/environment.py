"""One LMDB file: opened safely, its errors told in our words, its transactions short.

Commits are synchronous (sync and metasync on, no writemap): what a write transaction left is there after a power cut.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import lmdb

from anpr.errors import StoreError
from anpr.store.faults import told_as_store_errors
from anpr.store.lock import check_length

_MAX_READERS = 512
_MAX_TABLES = 48
_LEAST_MAP_BYTES = 1 << 20


class Environment:
    """The file `data.mdb` of a folder. Closing twice does no harm."""

    def __init__(self, path: Path, handle: lmdb.Environment) -> None:
        self.path = path
        self.handle = handle
        self.stuck = False
        """Whether nothing more can be written or read until it is opened anew: the last write of a commit has failed,
        and LMDB does not know what is on disk."""

    def __repr__(self) -> str:
        return f"Environment({str(self.path)!r})"

    @classmethod
    def open(
        cls, path: Path, *, map_size_bytes: int, read_only: bool = False, at_rest: bool = False, durable: bool = True
    ) -> Environment:
        """Open the file in folder `path`; for writing, make it if it is not there.

        `at_rest` says that no process writes to it any more: then readers need no place in its table. Not `durable`
        is for what is made in a folder that nobody trusts yet. Raises StoreError if it is damaged.
        """
        with told_as_store_errors(path), contextlib.ExitStack() as undo:
            if at_rest:
                map_size_bytes = max((path / "data.mdb").stat().st_size, _LEAST_MAP_BYTES)
            handle = lmdb.open(
                str(path),
                map_size=map_size_bytes,
                max_dbs=_MAX_TABLES,
                max_readers=_MAX_READERS,
                readonly=read_only,
                lock=not at_rest,
                sync=durable,
                mode=0o660,
                readahead=False,
            )
            undo.callback(handle.close)
            check_length(path, handle)
            if not at_rest:
                handle.reader_check()
            undo.pop_all()
        return cls(path, handle)

    def close(self) -> None:
        """Close the file."""
        self.handle.close()

    def table(self, name: str, *, create: bool) -> lmdb._Database | None:
        """A table; None if it is not there and may not be made. Raises lmdb.Error."""
        try:
            return self.handle.open_db(name.encode(), create=create)
        except (lmdb.NotFoundError, lmdb.ReadonlyError):
            if create:
                raise
            return None

    def begin(self) -> lmdb.Transaction[bytes]:
        """A transaction that reads. Raises lmdb.Error."""
        try:
            return self.handle.begin()
        except lmdb.ReadersFullError:
            self.handle.reader_check()  # readers that were killed keep their slots until somebody looks
            return self.handle.begin()
        except lmdb.PanicError:
            self.stuck = True
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[lmdb.Transaction[bytes]]:
        """A transaction that reads. Raises StoreError."""
        with told_as_store_errors(self.path, reading=True), self.begin() as txn:
            yield txn

    @contextlib.contextmanager
    def writing(self) -> Iterator[lmdb.Transaction[bytes]]:
        """A transaction that is on disk when the block ends, or undone if it raises. Raises StoreError."""
        with told_as_store_errors(self.path), self._begin_writing() as txn:
            yield txn

    def _begin_writing(self) -> lmdb.Transaction[bytes]:
        try:
            return self.handle.begin(write=True)
        except lmdb.PanicError:
            self.stuck = True
            raise

    def forget_dead_readers(self) -> None:
        """Give back what killed readers held: until then the file grows with every commit. Raises lmdb.Error."""
        self.handle.reader_check()

    def copy(self, into: Path) -> None:
        """Copy it as it is now into a folder, without pages that nothing uses; not yet synced. Raises StoreError."""
        with told_as_store_errors(into):
            self.handle.copy(str(into), compact=True)

    @property
    def used_share(self) -> float:
        """Of the address space it may use, 0 to 1. Raises lmdb.Error."""
        info = self.handle.info()
        return float((info["last_pgno"] + 1) * self.handle.stat()["psize"] / info["map_size"])

    @property
    def readers(self) -> int:
        """Slots taken in the table of readers, those of killed readers too. Raises lmdb.Error."""
        return int(self.handle.info()["num_readers"])

    def entries(self) -> dict[bytes, int]:
        """How many entries each table has. Raises StoreError."""
        with self.reading() as txn, txn.cursor() as cursor:
            names = list(cursor.iternext(values=False))
        tables = {name: self.handle.open_db(name, create=False) for name in names}
        with self.reading() as txn:
            return {name: txn.stat(table)["entries"] for name, table in tables.items()}


def put_all(
    txn: lmdb.Transaction[bytes],
    table: lmdb._Database,
    entries: Sequence[tuple[bytes, bytes]],
    *,
    append: bool = False,
) -> None:
    """Put entries whose keys rise, in place of those that are there; `append` says that none is, nor any above them.

    Raises lmdb.Error, and StoreError if there is one.
    """
    if len(entries) == 1:
        put = int(txn.put(*entries[0], append=append, db=table))
    else:
        with txn.cursor(table) as cursor:
            _, put = cursor.putmulti(entries, append=append)
    if put != len(entries):
        raise StoreError("what should be written last is not the last", cure="restore the store from its last backup")
