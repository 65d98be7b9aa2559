"""LMDB's and the file system's errors, said in our words with a cure."""

from __future__ import annotations

import errno
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import msgspec

from anpr.errors import StoreError

LOW_DISK_BYTES = 16 << 20
"""With less free than this, an input/output error is most likely a full disk: LMDB reports both alike."""

TOO_MANY_OPEN = (errno.EMFILE, errno.ENFILE)
"""Says nothing about the file that was to be opened."""

_DAMAGED = (
    lmdb.InvalidError,
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
    lmdb.BadTxnError,
    lmdb.IncompatibleError,
    lmdb.CursorFullError,
)
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError)


def is_damage(error: StoreError) -> bool:
    """Whether LMDB, or who decodes a record, has met something that nobody has written."""
    return isinstance(error.__cause__, (*_DAMAGED, *_UNDECODABLE, struct.error))


@contextmanager
def told_as_store_errors(path: Path, *, reading: bool = False) -> Iterator[None]:
    """Turn every LMDB, operating-system and decoding error of the block into a StoreError about `path`.

    One of `struct` is a damaged record's in a block that is for `reading` alone, else a fault of the program.
    """
    try:
        yield
    except lmdb.Error as error:
        raise _explain(error, path) from error
    except (*_UNDECODABLE, struct.error) as error:
        if isinstance(error, struct.error) and not reading:
            raise
        raise StoreError(f"a stored record is damaged: {error}", place=str(path), cure=_RESTORE) from error
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            error.strerror or str(error), place=error.filename or str(path), cure=_os_cure(path)
        ) from error


_RESTORE = "keep the files for inspection and restore the store from its last backup, or see anpr store set-aside"


def _explain(error: lmdb.Error, path: Path) -> StoreError:
    place = str(path)
    if isinstance(error, lmdb.MapFullError):
        return StoreError("the store has reached its map size", place=place, cure="open it with a larger map size")
    if isinstance(error, lmdb.ReadersFullError):
        return StoreError(
            "too many readers have the store open", place=place, cure="close searches, or restart hung readers"
        )
    if isinstance(error, _DAMAGED):
        return StoreError(f"the store is damaged: {error}", place=place, cure=_RESTORE)
    if isinstance(error, lmdb.PanicError):
        return StoreError("an earlier write failed", place=place, cure="close the store and open it again")
    if isinstance(error, lmdb.NotFoundError):
        return StoreError("this is no store of anpr", place=place, cure="give the folder of a store")
    if isinstance(error, lmdb.ReadonlyError):
        return StoreError("the store is open read-only", place=place, cure="open it for writing")
    return StoreError(f"the store failed: {error}", place=place, cure=_os_cure(path))


def _os_cure(path: Path) -> str:
    try:
        free_bytes = shutil.disk_usage(path).free
    except OSError:
        return "check that the path exists and its permissions"
    if free_bytes < LOW_DISK_BYTES:
        return f"the disk is full ({free_bytes >> 20} MiB left): free some space"
    return "check the disk and the permissions"
