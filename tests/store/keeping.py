"""A box whose days pass in a moment: it stores vehicles, and its keeper looks after the store."""

from __future__ import annotations

from pathlib import Path

from making_records import make_gap, make_hit, make_jpeg, make_sighting

from anpr.clock import ManualClock
from anpr.records import Evidence, Sighting
from anpr.store import Store
from anpr.store.keeper import NOTE_SECONDS, Keeper
from anpr.store.retention import DAY_SECONDS, Policy, Quota, Retention, Watermarks

QUICK = Retention(passages_days=3, passage_pictures_days=3, hits_days=10)
NO_RESERVE = Watermarks(reserve_mib=0)


def policy(*, retention: Retention = QUICK, disk: Watermarks = NO_RESERVE, quota: Quota | None = None) -> Policy:
    return Policy(retention=retention, disk=disk, quota=quota or Quota())


class Box:
    """Use in a `with` block, or `start` and `stop`."""

    def __init__(self, folder: Path, clock: ManualClock, rules: Policy, *, right: bool = True) -> None:
        self.folder = folder
        self.clock = clock
        self.rules = rules
        self.right = right
        """Whether a time service keeps the clock."""
        self.number = 0

    def __enter__(self) -> Box:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.store = Store.open(self.folder, clock=self.clock, box="box-1")
        self.keeper = Keeper(self.store, self.rules, clock=self.clock, synchronised=lambda: self.right)

    def stop(self) -> None:
        self.keeper.close()
        self.store.close()

    def picture(self, name: str) -> Evidence:
        return self.store.evidence.put("plate", make_jpeg(name))

    def see(self, name: str = "", *, hit: bool = False, text: str = "30A12345") -> Sighting:
        """A vehicle passes, with a picture of its own."""
        self.number += 1
        name = name or f"v{self.number}"
        pictures = (self.picture(name),)
        sighting = make_sighting(id=name, text=text, seen_seconds=self.clock.wall, evidence=pictures)
        found = make_hit(
            id=f"h-{name}", sighting_id=name, text=text, listed=text, seen_seconds=self.clock.wall, evidence=pictures
        )
        gap = make_gap(id=f"g-{name}", from_seconds=self.clock.wall)
        self.store.append([sighting], [found] if hit else [], [gap] if hit else [])
        return sighting

    def live(self, days: float) -> None:
        """Time passes, and the keeper has its turns."""
        until = self.clock.wall + days * DAY_SECONDS
        while self.clock.wall < until:
            self.clock.advance(min(DAY_SECONDS / 2, until - self.clock.wall))
            self.work()

    def work(self) -> None:
        """The keeper does all that is due."""
        for _ in range(2):
            self.clock.advance(NOTE_SECONDS)
            for _ in range(1000):
                if self.keeper.turn(1.0) > 0.1 and not self.keeper.purging:
                    break
            else:
                raise AssertionError(f"it never ends: {self.keeper.purging}")

    def ids(self) -> set[str]:
        """Of the sightings that can be found by their id."""
        return {f"v{n}" for n in range(1, self.number + 1) if self.store.sighting(f"v{n}") is not None}

    def pictures(self) -> int:
        return sum(1 for _ in self.store.evidence.path.glob("??/*.jpg"))

    def pictured(self) -> list[str]:
        """Those of them whose picture is there."""
        found = [(each, self.store.sighting(each)) for each in sorted(self.ids())]
        return [each for each, sighting in found if sighting and self.store.evidence.has(sighting.evidence[0].sha256)]
