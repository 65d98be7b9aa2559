"""A consumer's own memory of how far it is, in a file: whole after every crash."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from anpr.bus.events import Epoch, Name
from anpr.bus.protocol import Position
from anpr.errors import BusError


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer holds of one box."""

    version: int = 1
    consumer: Name = ""
    """Whose it is; empty in files that do not say."""
    box: Name
    epoch: Epoch
    hits: Position
    rest: Position


def read_cursor(path: Path, *, consumer: str) -> Cursor | None:
    """What the file says; None if there is none yet. Raises BusError, also if it is that of another consumer."""
    try:
        cursor = msgspec.json.decode(path.read_bytes(), type=Cursor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BusError(f"the cursor cannot be read: {error.strerror}", place=str(path)) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BusError(
            f"this is no cursor: {error}",
            place=str(path),
            cure="remove the file: the box then goes on where it knows that you were",
        ) from error
    if cursor.consumer not in ("", consumer):  # who goes on there would never get what lies between
        raise BusError(
            f"this is the cursor of {cursor.consumer}, not of {consumer}",
            place=str(path),
            cure="give each consumer a file of its own",
        )
    return cursor


def write_cursor(path: Path, cursor: Cursor) -> None:
    """Replace the file; a crash leaves the old one or the new one. Raises BusError."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(cursor) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise BusError(
            f"the cursor cannot be written: {error.strerror}", place=str(path), cure="see disk and permissions"
        ) from error
