"""What a store holds, read from its files without anpr: LMDB and MessagePack alone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import lmdb
import msgspec

LOG_TABLE = b"events"


def stored_events(store: Path) -> dict[int, list[Any]]:
    """The rows of the event log by their number: `[kind, box, epoch, committed seconds, record]`."""
    with lmdb.open(str(store), readonly=True, max_dbs=32, lock=False, subdir=True) as environment:
        table = environment.open_db(LOG_TABLE, create=False)
        with environment.begin(db=table) as transaction:
            return {int.from_bytes(key, "big"): msgspec.msgpack.decode(value) for key, value in transaction.cursor()}


def damaged_evidence(store: Path) -> list[str]:
    """Pictures that a stored sighting names and that are missing or not what their name says."""
    damaged = []
    for row in stored_events(store).values():
        for picture in row[4].get("evidence", ()):
            name = picture["sha256"]
            path = store / "evidence" / name[:2] / f"{name[2:]}.jpg"
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != name:
                damaged.append(name)
    return damaged
