"""Where events go that a broker refuses for good: a file of JSON lines, on disk before the box may forget them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from anpr.bridges.sink import Refused
from anpr.bus import Gap
from anpr.bus.events import encode
from anpr.clock import Clock
from anpr.records import Event


class DeadLetters:
    """The file is made with its first line; a half-written last line, left by a crash, is closed before the next."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self.path = path
        self.aside = path.with_name(f"{path.name}.again")
        """What is being sent again; after a crash it is still there."""
        self._clock = clock

    def add(self, event: Event, refusal: Refused) -> None:
        """Keep an event with the reason. On disk when this returns; raises OSError."""
        why = {"reason": refusal.reason, "problem": refusal.problem}
        self._write(why | {"event": msgspec.Raw(encode(event)[1])})

    def add_gap(self, gap: Gap) -> None:
        """Keep the numbers of events that will never come. On disk when this returns; raises OSError."""
        self._write({"reason": gap.reason, "gap": asdict(gap)})

    def set_aside(self) -> list[bytes]:
        """Take all lines, to be sent again, and begin a new file; those of an earlier try that did not end go first.

        They lie in `aside` until `forget`. Raises OSError.
        """
        if not self.aside.exists():
            try:
                self.path.replace(self.aside)
            except FileNotFoundError:
                return []
            self._sync_folder()
        with self.aside.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # who was writing at that moment has finished, or sees that it has moved
            return file.read().splitlines()

    def put_back(self, lines: Sequence[bytes]) -> None:
        """Keep these as they are. On disk when this returns; raises OSError."""
        if lines:
            self._append(b"".join(line + b"\n" for line in lines))

    def forget(self) -> None:
        """What was set aside is done with. Raises OSError."""
        self.aside.unlink(missing_ok=True)
        self._sync_folder()

    def _write(self, line: dict[str, Any]) -> None:
        moment = datetime.fromtimestamp(self._clock.wall_seconds(), UTC).isoformat(timespec="milliseconds")
        self._append(msgspec.json.encode({"written": moment} | line) + b"\n")

    def _append(self, text: bytes) -> None:
        new = not self.path.exists()
        with os.fdopen(self._opened(), "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                text = b"\n" + text
            if file.write(text) != len(text):
                raise OSError("the disk took only a part of a line")
            os.fsync(file.fileno())
        if new:
            self._sync_folder()

    def _opened(self) -> int:
        """A descriptor of the file, locked; not of one that was set aside meanwhile."""
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if self._is_at(descriptor):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _is_at(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
