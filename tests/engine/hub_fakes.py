"""What hub tests share: one vehicle, a list, a publisher that remembers, a disk that dies."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from engine_fakes import fake_stages, frames

from anpr.engine.messages import Passage
from anpr.engine.worker import Worker
from anpr.errors import StoreError
from anpr.metrics import Counters
from anpr.records import Event, Hit
from anpr.store import Store
from anpr.tracking.sighting import Origin
from anpr.watch.lists import WatchList, read_csv
from anpr.watch.matcher import Matcher


def passages(count: int = 40) -> list[Passage]:
    """One vehicle: a preview and a final."""
    found: list[Passage] = []
    origin = Origin(site_id="site", camera_id="cam", run_seconds=0.0)
    Worker(fake_stages(), origin, emit=found.append).run(frames(count))
    return found


def matcher(*plates: str) -> Matcher:
    entries, problems = read_csv("\n".join(("plate,reason", *(f"{plate},stolen" for plate in plates))).encode())
    assert not problems
    return Matcher((WatchList(name="stolen", version="1", entries=entries),))


def named(passage: Passage, number: int, **changes: Any) -> Passage:
    sighting = msgspec.structs.replace(passage.sighting, id=f"{number:032}", **changes)
    return msgspec.structs.replace(passage, sighting=sighting)


OTHER_TEXT: Any = {"text": "51F67890", "raw": "51F67890", "alternatives": (("51F67890", 1.0),), "lattice": ()}


class Hearer:
    """A publisher that keeps what it is given."""

    counters = Counters()

    def __init__(self) -> None:
        self.volatile: list[Hit] = []
        self.events: list[Event] = []

    def publish_volatile(self, hit: Hit) -> None:
        self.volatile.append(hit)

    def publish(self, event: Event) -> None:
        self.events.append(event)

    def turn(self) -> bool:
        return False

    def heartbeat(self) -> None: ...


class DeadDisk:
    """Refuses what a store is given after so many commits."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch, *, commits: float = 0) -> None:
        self.commits = commits
        self._append = store.append
        monkeypatch.setattr(store, "append", self.append)

    def append(self, *arguments: Any) -> Any:
        if self.commits < 1:
            raise StoreError("the disk is dead")
        self.commits -= 1
        return self._append(*arguments)
