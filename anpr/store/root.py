"""What of a store belongs to no day: `data.mdb` in its folder.

meta        schema, epoch, alive
consumers   see outbox.py
purges      number → what was deleted when, signed (removal.py)
holds       records under a legal hold
doomed      SHA-256 → nothing: pictures to be deleted if nothing names them
kept_…      records that outlive their partition: tables as in partition.py
kept_proofs seq → that the box signed the record (chain.py), as JSON
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

import lmdb
import msgspec

from anpr.errors import StoreError
from anpr.store.chain import Proof
from anpr.store.environment import Environment
from anpr.store.keys import pack_seq
from anpr.store.partition import NO_NAME, Name, Partition

SCHEMA_VERSION = 5
"""2 added coverage gaps, 3 `passages` and `hit_times`, 4 the chain of evidence, 5 day partitions; an older store is
read, and made new when opened for writing."""
PARTITIONS_SINCE = 5
MAP_SIZE_BYTES = 64 << 30
"""Address space of each file, not disk: a file grows as it is filled."""

_KEPT = "kept_"


class Root:
    """The root of a store that is open."""

    def __init__(self, environment: Environment, *, read_only: bool) -> None:
        self.environment = environment
        self.path = environment.path
        self.meta = self._required("meta", create=not read_only)
        self.schema = read_schema(environment)
        if self.schema > SCHEMA_VERSION:
            raise StoreError(
                f"the store was written by a newer anpr (schema {self.schema}, this one knows {SCHEMA_VERSION})",
                place=str(self.path),
                cure="use that version, or a backup from before",
            )
        self.kept: Partition | None = None
        """Records that have outlived their partition; None in a store of an older schema."""
        self.old: Partition | None = None
        """All that a store of an older schema holds, opened for reading."""
        if 0 < self.schema < PARTITIONS_SINCE:
            self.old = Partition(_first_name(environment), environment)
            return
        self.consumers = self._required("consumers", create=not read_only)
        self.purges = self._required("purges", create=not read_only)
        self.holds = self._required("holds", create=not read_only)
        self.doomed = self._required("doomed", create=not read_only)
        self.proofs = self._required(f"{_KEPT}proofs", create=not read_only)
        self.kept = Partition(NO_NAME, environment, prefix=_KEPT, create=not read_only)

    @classmethod
    def open(cls, path: Path, *, read_only: bool, map_size_bytes: int = MAP_SIZE_BYTES) -> Self:
        """Open the root of the store in folder `path`; for writing, make it if it is not there.

        LMDB lets one process write at a time, so that another than the box may write holds. Raises StoreError.
        """
        environment = Environment.open(path, map_size_bytes=map_size_bytes, read_only=read_only)
        try:
            return cls(environment, read_only=read_only)
        except lmdb.Error as error:
            environment.close()
            raise StoreError("this is no store of anpr", place=str(path), cure="give the folder of a store") from error
        except BaseException:
            environment.close()
            raise

    def close(self) -> None:
        """Close the file. Closing twice does no harm."""
        self.environment.close()

    def reading(self) -> AbstractContextManager[lmdb.Transaction[bytes]]:
        """A transaction that reads. Raises StoreError."""
        return self.environment.reading()

    def writing(self) -> AbstractContextManager[lmdb.Transaction[bytes]]:
        """A transaction that is on disk when the block ends, or undone if it raises. Raises StoreError."""
        return self.environment.writing()

    def begin_epoch(self) -> int:
        """Note that the store is opened for writing once more; how often it was."""
        with self.writing() as txn:
            epoch = int(txn.get(b"epoch", b"0", db=self.meta)) + 1
            txn.put(b"schema", b"%d" % SCHEMA_VERSION, db=self.meta)
            txn.put(b"epoch", b"%d" % epoch, db=self.meta)
        self.schema = SCHEMA_VERSION
        return epoch

    @property
    def epoch(self) -> int:
        """How often the store was opened for writing. Raises StoreError."""
        with self.reading() as txn:
            return int(txn.get(b"epoch", b"0", db=self.meta))

    @property
    def alive_seconds(self) -> float | None:
        """Wall time of the last sign of life; None if there was none. Raises StoreError."""
        with self.reading() as txn:
            value = txn.get(b"alive", db=self.meta)
        return None if value is None else float(value)

    def mark_alive(self, wall_seconds: float) -> None:
        """Note it durably. Raises StoreError."""
        with self.writing() as txn:
            txn.put(b"alive", b"%.3f" % wall_seconds, db=self.meta)

    def proof(self, txn: lmdb.Transaction[bytes], seq: int) -> Proof | None:
        """Of a kept record."""
        encoded = txn.get(pack_seq(seq), db=self.proofs)
        return None if encoded is None else msgspec.json.decode(encoded, type=Proof)

    def _required(self, name: str, *, create: bool) -> lmdb._Database:
        table = self.environment.table(name, create=create)
        if table is None:
            raise StoreError("this is no store of anpr", place=str(self.path), cure="give the folder of a store")
        return table


def read_schema(environment: Environment) -> int:
    """The schema that a store's file was written in; 0 if it is not known. Raises lmdb.Error."""
    meta = environment.table("meta", create=False)
    if meta is None:
        return 0
    with environment.begin() as txn:
        return int(txn.get(b"schema", b"0", db=meta))


def _first_name(environment: Environment) -> Name:
    """Of a store without partitions, as if it were one."""
    events = environment.table("events", create=False)
    if events is None:
        return NO_NAME
    with environment.begin() as txn, txn.cursor(events) as cursor:
        return NO_NAME._replace(first_seq=int.from_bytes(cursor.key(), "big") if cursor.first() else 1)
