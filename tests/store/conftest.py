from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from making_records import make_sighting
from pseudonymised import DAY, DAYS, fill

from anpr.clock import ManualClock
from anpr.store import Store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    with Store.open(tmp_path / "store", clock=clock, box="box-1") as opened:
        yield opened


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, if the machine has one: there a commit costs nothing."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def folder(memory: Path, clock: ManualClock) -> Path:
    """Of a closed store of three days with a hundred passages each."""
    path = memory / "store"
    with Store.open(path, clock=clock, box="box-1") as store:
        for day in range(3):
            store.append([make_sighting(id=f"s{day}-{number}", evidence=()) for number in range(100)])
            clock.advance(86_400.0)
    return path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original") / "store"
    fill(folder, ManualClock())
    return folder


@pytest.fixture
def filled(original: Path, tmp_path: Path, clock: ManualClock) -> Path:
    clock.advance(DAYS * DAY)
    return Path(shutil.copytree(original, tmp_path / "store"))
