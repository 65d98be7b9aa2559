"""A hub without cameras, as a process that can be killed a hundred times a minute.

What `anpr run` opens is opened here in the same way: store, lists, bus, hub. In the workers' place stand vehicles that
are made up (`made_up.py`). For each line of JSON on stdin, the options of `Life`, one such hub lives in a fork of this
process, which has imported all but opened nothing; its pid and then its exit status go to stdout.

The book is a file of JSON lines outside the store: `ready`, `taken` (before the hub takes a passage) and `told` (after
an event was committed and published).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anpr import log
from anpr.cli import exits
from anpr.config import load_site
from anpr.engine.box import open_hub
from anpr.engine.bus_options import bus_options
from anpr.engine.hub import Hub
from anpr.engine.keep_options import policy_of
from anpr.errors import AnprError
from anpr.records import CoverageGap, Event, Hit
from anpr.store import Store
from anpr.store.pseudonym_key import present_key
from anpr.store.rows import kind_of
from scripts.fault_matrix.made_up import passages
from scripts.fault_matrix.processes import die_with_parent

ALIVE_SECONDS = 1.0
PARTITIONS = 3
EXIT_UNEXPECTED = 70
FULL_DEVICE = "/dev/full"
OPEN_FILES = Path("/proc/self/fd")
MOST_FILES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """How one hub lives."""

    site: str
    book: str
    log: str
    rate: float = 40.0
    """Passages a second."""
    most: int = 0
    """Passages in all; 0: without end."""
    map_mib: int = 0
    """Of the store's map; 0: the usual one."""
    clock: str = ""
    """A file with the seconds by which the wall clock is wrong."""
    purges: bool = False
    """Whether the oldest partition is purged as soon as there are more than three; what hits name stays."""
    pseudonyms: bool = False
    """Whether pseudonyms take the place of plates in each day that is over, each plate passing on one day only; what
    hits name stays."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ShiftedClock:
    """The machine's clocks, the wall clock wrong by what a file says."""

    file: str

    def wall_seconds(self) -> float:
        return time.time() + (float(Path(self.file).read_text() or 0.0) if self.file else 0.0)

    def monotonic_seconds(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)


class Book:
    """Each line is with the kernel when `note` returns: it outlives this process, though not the machine."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, what: str, **facts: Any) -> None:
        """Write a line."""
        os.write(self._descriptor, json.dumps({"event": what, "at": time.monotonic(), **facts}).encode() + b"\n")

    def told(self, event: Event) -> None:
        """An event that was committed and published."""
        record = event.record
        pictures = [] if isinstance(record, CoverageGap) else [each.sha256 for each in record.evidence]
        name = f"{kind_of(record)}.{record.id}.{record.revision}"
        self.note("told", seq=event.seq, epoch=event.epoch, id=name, pictures=pictures)


class LastPages:
    """The descriptors through which LMDB writes the last page of a commit of events, the one that makes it valid."""

    def __init__(self) -> None:
        self._kept: dict[int, int] = {}

    def toggle(self) -> None:
        """Let them lead to a device that is always full; or where they led before."""
        if self._kept:
            for descriptor, kept in self._kept.items():
                with contextlib.suppress(FileNotFoundError):  # the file was opened anew meanwhile
                    if str((OPEN_FILES / str(descriptor)).readlink()) == FULL_DEVICE:
                        os.dup2(kept, descriptor)
                os.close(kept)
            self._kept.clear()
            return
        found = [number for number in range(MOST_FILES) if _is_last_page(number)]
        full = os.open(FULL_DEVICE, os.O_WRONLY)
        for descriptor in found:
            self._kept[descriptor] = os.dup(descriptor)
            os.dup2(full, descriptor)
        os.close(full)


def _is_last_page(descriptor: int) -> bool:
    try:
        of_events = (OPEN_FILES / str(descriptor)).readlink().match("days/*/data.mdb")
    except FileNotFoundError:
        return False
    return of_events and bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DSYNC)


def live(life: Life) -> None:
    """Until SIGTERM, or something worse. SIGUSR1 makes the last page of each commit fail, and a second one not."""
    stop, last_pages = threading.Event(), LastPages()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGUSR1, lambda *_: last_pages.toggle())
    clock, book = ShiftedClock(life.clock), Book(life.book)
    if life.map_mib:
        Store.open.__func__.__kwdefaults__["map_size_bytes"] = life.map_mib << 20  # type: ignore[attr-defined]
    site = load_site(Path(life.site))
    with open_hub(
        box=site.box.id,
        store=site.store.path,
        endpoint=None,
        bus=bus_options(site.bus),
        lists=site.lists,
        keep=policy_of(site.store),
        clock=clock,
        on_event=book.told,
    ) as hub:
        hub.recover()
        book.note("ready", epoch=hub.store.epoch, last_seq=hub.store.last_seq)
        _feed(hub, life, clock, book, stop)
        book.note("stopping", waiting=hub.backlog)


class Purges:
    """The store's own purge, a slice at each turn, as the box's keeper does it when a partition is old."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._slices: Iterator[object] = store.finish(choose=lambda _: _is_hit)

    def turn(self) -> None:
        """Do a slice, if there is anything to do."""
        if next(self._slices, None) is None and len(self._store.partitions.all) > PARTITIONS:
            oldest = self._store.partitions.all[0]
            self._slices = self._store.purge(oldest, choose=lambda _: _is_hit, reason="retention")


class Rewrites:
    """Days written anew without plates, a slice at each turn, as the box's keeper does it when they are old."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._looked: set[int] = set()
        self._slices: Iterator[object] = iter(())

    def turn(self) -> None:
        """Do a slice, if there is anything to do; what an earlier life has left the keeper finishes first."""
        if next(self._slices, None) is not None or self._store.unfinished:
            return
        over = (each for each in self._store.partitions.all[:-1] if each.first_seq not in self._looked)
        if (day := next(over, None)) is not None:
            self._looked.add(day.first_seq)
            key = present_key(self._store.path)
            self._slices = self._store.pseudonymise(day, choose=lambda _: _is_hit, reason="retention", pseudonyms=key)


def _is_hit(event: Event) -> bool:
    return isinstance(event.record, Hit)


def _feed(hub: Hub, life: Life, clock: ShiftedClock, book: Book, stop: threading.Event) -> None:
    vehicles = passages(clock, seed=life.seed, by_day=life.pseudonyms)
    due = alive_due = time.monotonic()
    taken = 0
    chores = [*([Purges(hub.store)] if life.purges else ()), *([Rewrites(hub.store)] if life.pseudonyms else ())]
    while not stop.is_set():
        now = time.monotonic()
        if hub.full:
            due = now
        while due <= now and not hub.full and taken != (life.most or -1):
            passage = next(vehicles)
            seen = passage.sighting
            book.note("taken", id=f"sighting.{seen.id}.{seen.revision}", text=seen.text)
            hub.take(passage)
            taken += 1
            due += 1.0 / life.rate
        if now >= alive_due and not hub.failing:
            alive_due = now + ALIVE_SECONDS
            hub.mark_alive()
            counts = {f"{name}.{reason}": count for (name, reason), count in hub.totals().counts.items()}
            book.note("counted", counts=counts, consumers={each.name: each.connected for each in hub.consumers})
        for chore in chores if not hub.failing else ():
            chore.turn()
        wait = min(hub.tick(), max(0.0, due - time.monotonic()) if taken != (life.most or -1) else 0.2)
        select.select(hub.files, (), (), wait)


def give_birth(life: Life) -> int:
    """A hub in a process of its own; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = EXIT_UNEXPECTED
    try:
        die_with_parent()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        words = Path(life.log).open("a", buffering=1)  # noqa: SIM115  # the process ends without closing it
        log.configure(as_json=True, stream=words)
        try:
            live(life)
            code = 0
        except AnprError as error:
            words.write(f"anpr: {error}\n")
            code = exits.code_of(error)
        except BaseException:  # noqa: BLE001  # the process ends here, whatever it was
            traceback.print_exc(file=words)
    finally:
        os._exit(code)


def main() -> None:
    """One life after the other."""
    print("ready", flush=True)
    for line in sys.stdin:
        pid = give_birth(Life(**json.loads(line)))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
