from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from bus_fakes import FakeLog, KeyRing, Town

from anpr.bus import door


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes what a test opens; a context that does not end would hang here."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def town(opened: ExitStack) -> Town:
    """Whoever comes is let in."""
    return Town(opened, FakeLog())


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path)


@pytest.fixture
def guarded(opened: ExitStack, ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> Town:
    """Only who has a key is let in, and changed keys are noticed at once."""
    monkeypatch.setattr(door, "LOOK_SECONDS", 0.02)
    return Town(opened, FakeLog(), keys=ring.server)
