"""Where a row plays that needs a hub and a store but no cameras: it can be killed often, and see more.

The hub is that of `rig_hub.py`. Two ledgers say what it told: its book, and that of an operations centre (`ioc.py`)
that stays through all its lives. What was told must be in the store's files with the same name and whole pictures.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Container, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import lmdb

from scripts.fault_matrix.daemon import write_site
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.ioc import read_ledger
from scripts.fault_matrix.made_up import CAMERA, LISTED
from scripts.fault_matrix.play import Play, exchange
from scripts.fault_matrix.processes import die_with_parent
from scripts.fault_matrix.records import (
    PurgedNumbers,
    damaged_pictures,
    has_pseudonym,
    kept_events,
    names_of,
    stored_events,
)
from scripts.fault_matrix.sockets import free_port
from scripts.fault_matrix.tail import Tail
from scripts.fault_matrix.world import ROOT

IMPORT_SECONDS = 60.0
START_SECONDS = 60.0
"""For a hub to open its store and tell the first event, on a machine that is busy with other things."""
END_SECONDS = 10.0
CAUGHT_UP_SECONDS = 20.0
"""For the operations centre to get all that is stored, which a hub goes on filling meanwhile."""


class Rig(Play):
    """A hub alone."""

    def __init__(self, fault: Fault, *, folder: Path, times: int, quick: bool) -> None:
        super().__init__(fault, folder=folder, times=times, quick=quick)
        self.site = folder / "site.toml"
        self.endpoint = f"tcp://127.0.0.1:{free_port()}"
        self.reliable_endpoint = f"tcp://127.0.0.1:{free_port()}"
        self.clock = folder / "clock"
        """Holds the seconds by which the hub's wall clock is wrong."""
        self.log = Tail(folder / "hub.log")
        self._book = Tail(folder / "hub.book")
        self._ledger = folder / "ioc.ledger"
        self._process: subprocess.Popen[bytes] | None = None
        self._lines = b""
        self._lives = 0
        self._pid = 0
        self.exit_code: int | None = None
        """Of the hub that ended last."""
        self._whole: set[str] = set()
        """Pictures that were found whole, and need not be read again while nothing is purged."""

    @property
    def pid(self) -> int:
        """Of the hub that lives; 0 if none does."""
        return self._pid

    def start(self, **options: object) -> float:
        """Start a hub with these options of `rig_hub.Life`; returns how long it took until it told something.

        RuntimeError if it ends before, or says nothing for long.
        """
        began = self.begin(**options)
        seconds = self.until(lambda: self.told(since=began) or self._ended(), START_SECONDS)
        if seconds is None or not self.told(since=began):
            raise RuntimeError(f"the hub told nothing: {self.last_words()}")
        return seconds

    def begin(self, **options: object) -> float:
        """The same, and do not wait; returns the monotonic time."""
        self._prepare()
        self._lives += 1
        life = {
            "site": str(self.site),
            "book": str(self._book.path),
            "log": str(self.log.path),
            "clock": str(self.clock),
            "seed": self._lives,
            **options,
        }
        assert self._process is not None
        assert self._process.stdin is not None
        began = time.monotonic()
        self._process.stdin.write(json.dumps(life).encode() + b"\n")
        self._process.stdin.flush()
        self._pid = int(self._line(END_SECONDS) or 0)
        return began

    def kill(self) -> None:
        """With -9."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
                os.kill(self._pid, signal.SIGKILL)
            self.wait(END_SECONDS)

    def cut_power(self) -> None:
        """Nothing more reaches the device from one moment to the next; then the hub is gone and the power back."""
        assert self.volume is not None
        self.volume.cut_power()
        self.kill()
        self.volume.turn_on()

    def stop(self, within: float = END_SECONDS) -> int | None:
        """With SIGTERM; its exit code, or None if it lives on."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGTERM)
        return self.wait(within)

    def wait(self, seconds: float) -> int | None:
        """The exit code of a hub that is ending, or None if it lives on."""
        line = self._line(seconds)
        if line is None:
            return None
        self._pid, self.exit_code = 0, int(line)
        return self.exit_code

    def set_clock(self, seconds: float) -> None:
        """From now on the hub's wall clock is wrong by so many seconds."""
        exchange(self.clock, str(seconds))

    def lives(self) -> bool:
        """Whether the hub has not ended by itself."""
        return self._pid != 0 and not self._ended()

    def book(self, event: str, *, since: float = 0.0) -> list[dict[str, Any]]:
        """Lines of the hub's book from a monotonic time on."""
        return [entry for entry in self._book.entries() if entry["event"] == event and entry["at"] >= since]

    def acknowledged(self) -> set[int]:
        """Numbers of the events that the operations centre has."""
        return {entry["seq"] for entry in read_ledger(self._ledger)}

    def told(self, *, since: float = 0.0) -> list[dict[str, Any]]:
        """What it has told."""
        return self.book("told", since=since)

    def failures(self, *, since: float) -> list[str]:
        """What the hub said of a store that refused something, from a monotonic time on (`store_failed`)."""
        return [entry["problem"] for entry in self.log_lines("store_failed", since=since)]

    def log_lines(self, event: str, *, since: float) -> list[dict[str, Any]]:
        """The hub's log lines of an event, from a monotonic time on."""
        wall = since + time.time() - time.monotonic()
        return [
            entry
            for entry in self.log.entries()
            if entry["event"] == event and datetime.fromisoformat(entry["timestamp"]).timestamp() >= wall
        ]

    def last_words(self) -> str:
        """Of the hub's log."""
        self.log.entries()
        return " | ".join(self.log.other_lines[-3:]) or str(self.log.entries()[-1:])

    def require_kept(self, *, set_aside: Container[int] = ()) -> None:
        """All that was ever told must be in the store, under the same name, with its pictures whole; but for those of
        passages whose plate is a pseudonym by now, and for numbers that the row has had `set_aside`.

        Asked while no hub lives, or while nobody cuts its power.
        """
        names: dict[int, set[str]] = {}
        for entry in (*self.told(), *read_ledger(self._ledger)):
            names.setdefault(entry["seq"], set()).add(entry["id"])
        rows = self._rows()
        stored, kept = names_of(rows), names_of(kept_events(self.store))
        purged = PurgedNumbers(self.store)
        bare = {seq for seq, row in rows.items() if seq in purged.without_plate and has_pseudonym(row)}
        newest = _newest_revisions([*stored.values(), *kept.values()])

        def is_there(seq: int, told: set[str]) -> bool:
            """As it was told; or it was purged on purpose, and if it was a hit, its newest revision is kept."""
            there = stored.get(seq, kept.get(seq))
            if there is None and seq in set_aside and seq in purged.lost:
                return True
            if there is not None or seq not in purged:
                return there in told
            hits = [name.rpartition(".") for name in told if name.startswith("hit.")]
            return all(newest.get(hit, -1) >= int(revision) for hit, _, revision in hits)

        lost = sorted(seq for seq, told in names.items() if not is_there(seq, told))
        twice = sorted(seq for seq, told in names.items() if len(told) > 1)
        present = (stored.keys() | kept.keys()) - bare
        pictures = {picture for entry in self.told() if entry["seq"] in present for picture in entry["pictures"]}
        damaged = damaged_pictures(self.store, pictures if purged.count else pictures - self._whole)
        self._whole |= pictures - set(damaged)
        self.outcome.expected, self.outcome.lost, self.outcome.duplicated = len(names), len(lost), len(twice)
        self.outcome.notes |= {"pictures": len(pictures), "pictures_damaged": len(damaged)}
        self.require(names, "the hub to tell something")
        self.require(not lost, "all that was told to be stored", f"{len(lost)} lost, {lost[:5]}")
        self.require(not twice, "each number to be given once", twice[:5])
        self.require(not damaged, "every picture of what was told, whole", damaged[:3])

    def require_taken_kept(self) -> None:
        """All that the hub took must be in the store: asked after it has stopped, if it was never killed."""
        stored = set(self._stored().values())
        lost = [entry["id"] for entry in self.book("taken") if entry["id"] not in stored]
        self.outcome.notes["taken"] = len(self.book("taken"))
        self.require(not lost, "all that was taken to be stored", f"{len(lost)} lost, {lost[:3]}")

    def require_delivered(self) -> None:
        """What is stored now must reach the operations centre soon, as long as the hub lives."""
        stored = self._stored()
        arrived = self.until(lambda: stored.keys() <= self.acknowledged(), CAUGHT_UP_SECONDS)
        missing = sorted(stored.keys() - self.acknowledged())
        self.outcome.notes["delivered"] = len(stored) - len(missing)
        self.require(arrived is not None, "every stored event delivered", f"{len(missing)} missing, {missing[:5]}")

    def close_books(self, *, set_aside: Container[int] = ()) -> None:
        """Judge all: delivered while the hub lives, kept when it has stopped as an operator stops it."""
        self.require_delivered()
        code = self.stop()
        self.require(code == 0, f"exit code 0 within {END_SECONDS:g} s of SIGTERM", f"{code}: {self.last_words()}")
        self.require_kept(set_aside=set_aside)
        self.outcome.notes["stored"] = len(self._stored())

    def _stored(self) -> dict[int, str]:
        return names_of(self._rows())

    def _rows(self) -> dict[int, list[Any]]:
        try:
            return stored_events(self.store)
        except lmdb.Error as error:
            raise RuntimeError(f"the store cannot be read: {error}") from error

    def write_site(
        self,
        path: Path,
        *,
        endpoint: str = "",
        reliable_endpoint: str = "",
        bus: Mapping[str, str | bool] | None = None,
    ) -> None:
        """A site file for a hub on the rig's store; nobody knows its endpoints but those given. `bus` is what else it
        says under `[bus]`."""
        plates = self.folder / "listed.csv"
        plates.write_text("plate,reason\n" + "".join(f"{plate},made up\n" for plate in LISTED))
        write_site(
            path,
            endpoint=endpoint or f"tcp://127.0.0.1:{free_port()}",
            reliable_endpoint=reliable_endpoint or f"tcp://127.0.0.1:{free_port()}",
            bus=bus,
            health_port=free_port(),
            ports={CAMERA: 1},
            workers=1,
            store_keys=self._fault.store_keys,
        )
        with path.open("a", encoding="utf-8") as site:
            site.write(f'\n[[lists]]\nname = "made-up"\nfile = "{plates}"\n')

    def _set_up(self) -> None:
        self.write_site(self.site, endpoint=self.endpoint, reliable_endpoint=self.reliable_endpoint)
        self.set_clock(0.0)

    def _prepare(self) -> None:
        if self._process is not None:
            return
        self._process = self._program("-m", "scripts.fault_matrix.rig_hub", pipes=True)
        if self._line(IMPORT_SECONDS) != "ready":
            raise RuntimeError("the hub's program did not start")
        self._start_centre()

    def _start_centre(self) -> None:
        """The operations centre, which stays until the row ends."""
        self._program("-m", "scripts.fault_matrix.ioc", self.reliable_endpoint, str(self._ledger))

    def _program(self, *words: str, pipes: bool = False) -> subprocess.Popen[bytes]:
        """A process that ends with the row."""
        pipe = subprocess.PIPE if pipes else subprocess.DEVNULL
        process = subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, stdin=pipe, stdout=pipe, preexec_fn=die_with_parent
        )
        self._stack.callback(_end, process)
        return process

    def _line(self, seconds: float) -> str | None:
        """The next line of the hub's parent, or None if there is none within `seconds`."""
        assert self._process is not None
        assert self._process.stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._lines:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], (), (), left)[0]:
                return None
            piece = os.read(self._process.stdout.fileno(), 4096)
            if not piece:
                raise RuntimeError("the hub's parent has ended")
            self._lines += piece
        line, _, self._lines = self._lines.partition(b"\n")
        return line.decode()

    def _ended(self) -> bool:
        """Whether the hub has ended by itself; its exit code waits to be taken by `wait`."""
        assert self._process is not None
        assert self._process.stdout is not None
        return b"\n" in self._lines or bool(select.select([self._process.stdout], (), (), 0)[0])


def _newest_revisions(names: Iterable[str]) -> dict[str, int]:
    """The newest revision of each record, by its kind and id."""
    newest: dict[str, int] = {}
    for name in names:
        record, _, revision = name.rpartition(".")
        newest[record] = max(int(revision), newest.get(record, -1))
    return newest


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
