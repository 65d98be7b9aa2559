"""kill -9 of the box and of its consumer, at any moment: nothing is lost, and what comes twice is the same."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import msgspec
import pytest
from waiting import until

ROOT = Path(__file__).parents[2]
KILLS = 8


class Program:
    """A process that is killed and started again."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        return subprocess.Popen([sys.executable, *self.words], env=environment, stdout=subprocess.DEVNULL)

    def kill_and_start(self) -> None:
        self.kill()
        self.process = self._start()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL, "it had ended by itself"


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[tuple[Program, Program]]:
    reliable, live = (f"ipc://{tmp_path}/{name}" for name in ("reliable", "live"))
    folder = Path(__file__).parent
    box = Program(str(folder / "killed_box.py"), str(tmp_path / "store"), reliable, live)
    consumer = Program(str(folder / "killed_consumer.py"), reliable, str(tmp_path / "ledger"), str(tmp_path / "cursor"))
    yield box, consumer
    for program in (box, consumer):
        program.process.kill()
        program.process.wait()


def stored(store: Path) -> dict[int, str]:
    """Number → id of all events in the store, read without anpr."""
    rows: dict[int, list[Any]] = {}
    for day in store.glob("days/[0-9]*"):
        with lmdb.open(str(day), readonly=True, max_dbs=32, lock=False) as environment:
            table = environment.open_db(b"events", create=False)
            with environment.begin(db=table) as transaction:
                rows |= {int.from_bytes(key, "big"): msgspec.msgpack.decode(row) for key, row in transaction.cursor()}
    return {seq: f"{row[0]}.{row[4]['id']}.{row[4]['revision']}" for seq, row in rows.items()}


def whole_lines(path: Path) -> list[list[str]]:
    """Number and id of each line that was written to its end."""
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [line[:2] for line in lines if line[2:] == ["."]]


def test_nothing_is_lost_and_what_comes_twice_is_the_same(tmp_path: Path, programs: tuple[Program, Program]) -> None:
    rng = random.Random(7)
    box, consumer = programs
    ledger = tmp_path / "ledger"
    for number in range(KILLS):
        lines = len(whole_lines(ledger))
        until(lambda lines=lines: len(whole_lines(ledger)) > lines)  # it works: now is as good a moment as any
        time.sleep(rng.random() * 0.2)
        programs[number % 2].kill_and_start()
    until(lambda: len({seq for seq, _ in whole_lines(ledger)}) > 100)
    box.kill()
    truth = stored(tmp_path / "store")
    box.process = box._start()

    def lost() -> list[int]:
        seen: dict[int, str] = {}
        for seq, name in whole_lines(ledger):
            assert seq != "gap", name
            assert seen.setdefault(int(seq), name) == name
        return sorted(seq for seq, name in truth.items() if seen.get(seq) != name)

    until(lambda: not lost(), what=lambda: f"lost: {lost()[:5]}")
    consumer.kill()
    assert len(truth) > 100
