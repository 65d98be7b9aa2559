"""What comes in from a worker: whole messages, and never a wait for the rest of one.

A worker that stops dead in the middle of a message (it hangs, or the system has frozen it) must not stop the hub, which
reads from all of them: `Connection.recv_bytes` would wait for the rest.
"""

from __future__ import annotations

import os
import struct
from multiprocessing.connection import Connection

_HEAD = struct.Struct("!i")
"""How `Connection.send_bytes` begins a message: with its length."""
MOST_BYTES = 256 << 20
"""Of a message; a sighting with its pictures takes some 100 KB."""
_CHUNK_BYTES = 1 << 18


class Incoming:
    """The reading end of a pipe whose other end sends with `Connection.send_bytes`. Nobody else may read it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._data = bytearray()
        """The beginning of the next message."""

    def take(self) -> bytes | None:
        """The next message, None if it is not whole yet. Raises EOFError at the end, OSError if it is no message."""
        while missing := self._missing():
            if not self._connection.poll():
                return None
            chunk = os.read(self._connection.fileno(), min(missing, _CHUNK_BYTES))
            if not chunk:
                raise EOFError
            self._data += chunk
        message = bytes(self._data[_HEAD.size :])
        self._data.clear()
        return message

    def _missing(self) -> int:
        """How many bytes of the message have not come, as far as is known."""
        if len(self._data) < _HEAD.size:
            return _HEAD.size - len(self._data)
        (length,) = _HEAD.unpack_from(self._data)
        if not 0 <= length <= MOST_BYTES:
            raise OSError(f"a message of {length} bytes")
        return _HEAD.size + int(length) - len(self._data)
