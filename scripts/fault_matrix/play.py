"""What every row has, whatever it is played with: its folder, its outcome, and words for what it asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from scripts.fault_matrix.fault import Fault, Outcome
from scripts.fault_matrix.volume import Volume

LOOK_SECONDS = 0.1
SLACK_SECONDS = 2.0
"""Head-room on every limit in seconds: other programs may hold this machine's cores. The same on every machine."""


def exchange(path: Path, text: str) -> None:
    """Write a small file so that whoever reads it sees the old text or the new."""
    half = path.with_name(f"{path.name}.new")
    half.write_text(text)
    half.replace(path)


class Play:
    """Use as a context; nothing that it started outlives it."""

    def __init__(self, fault: Fault, *, folder: Path, times: int, quick: bool) -> None:
        self.outcome = Outcome(fault=fault.name, code=fault.code)
        self.times = times
        self.quick = quick
        self.folder = folder
        self.store = folder / "store"
        self.volume: Volume | None = None
        """The file system that holds the store and nothing else, if the fault asks for one."""
        self._fault = fault
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            if self._fault.volume_mib:
                volume = Volume(self.store, mib=self._fault.volume_mib, inodes=self._fault.inodes)
                self.volume = self._stack.enter_context(volume)
            self._set_up()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all that was started; closing twice does no harm."""
        self._stack.close()

    def until(self, condition: Callable[[], object], within: float) -> float | None:
        """Seconds until `condition` holds; None if it does not within `within` seconds and the slack."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > within + SLACK_SECONDS or self._unexpectedly_gone():
                return None
            time.sleep(LOOK_SECONDS)
        return time.monotonic() - began

    def require(self, holds: object, expected: str, seen: object = "") -> None:
        """Note a problem unless `holds`."""
        if not holds:
            self.outcome.problems.append(f"expected {expected}" + (f"; seen: {seen}" if seen != "" else ""))

    def require_within(self, seconds: float | None, limit: float, what: str) -> None:
        """Note a problem if something took longer than `limit` seconds and the slack, or never came."""
        on_time = seconds is not None and seconds <= limit + SLACK_SECONDS
        self.require(on_time, f"{what} within {limit:g} s", "never" if seconds is None else f"{seconds:.1f} s")

    def recovered_in(self, seconds: float | None) -> None:
        """Note how long it took until all was well again; the longest counts."""
        if seconds is not None:
            self.outcome.recovered_s = round(max(self.outcome.recovered_s or 0.0, seconds), 2)

    def _set_up(self) -> None:
        """Start what the row is played with, on `_stack`."""
        raise AssertionError("a subclass says what")

    def _unexpectedly_gone(self) -> bool:
        return False
