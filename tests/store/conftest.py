from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from anpr.clock import ManualClock
from anpr.store import Store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    with Store.open(tmp_path / "store", clock=clock, box="box-1") as opened:
        yield opened
