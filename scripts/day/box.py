"""The box of the day, as `anpr run` opens it: store, lists, rules and hub, on a clock that follows the traffic."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from anpr.clock import ManualClock
from anpr.config import load_site
from anpr.engine.box import open_hub
from anpr.engine.messages import Passage
from anpr.records import Event, Hit, Sighting
from anpr.rules.load import load_rules
from scripts.day.world import RULES


def run_day(site_path: Path, arrivals: Iterable[tuple[float, Sighting]]) -> list[Hit]:
    """Every revision of every hit that the box raises on sightings that arrive at these true times."""
    site = load_site(site_path)
    clock = ManualClock()
    hits: list[Hit] = []

    def keep(event: Event) -> None:
        if isinstance(event.record, Hit):
            hits.append(event.record)

    opened = open_hub(
        box=site.box.id,
        store=site.store.path,
        endpoint=None,
        lists=site.lists,
        vehicles_per_day=site.site.vehicles_per_day,
        rules_of=site,
        clock=clock,
        on_event=keep,
    )
    with opened as hub:
        for arrival_seconds, sighting in arrivals:
            clock.monotonic += max(0.0, arrival_seconds - clock.wall)
            clock.wall = arrival_seconds
            hub.take(Passage(sighting, (), clock.monotonic))
            hub.tick()
        clock.advance(1.0)
        hub.tick()
    return hits


def rule_numbers() -> dict[str, int]:
    """Which of the seventeen each shipped rule belongs to, by its file's name."""
    files = load_rules([RULES]).files
    found = {name: re.match(r"[0-9]+", path.name) for name, path in files.items()}
    return {name: int(number[0]) for name, number in found.items() if number}
