"""Rules that can never be true are told at the start of a live box, and when a reload has changed the answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from anpr.clock import ManualClock
from anpr.config import load_site
from anpr.engine.attendant import Attendant
from anpr.engine.box import open_hub
from anpr.health.service import ServiceManager

SITE = """
[box]
id = "box"
[site]
id = "north"
[store]
path = "store"
[bus]
endpoint = "tcp://127.0.0.1:*"
[rules]
folder = "rules"
zones = "zones.toml"
[[rules.lookups]]
name = "registry"
file = "registry.csv"
[[lists]]
name = "stolen"
file = "stolen.json"
[[cameras]]
id = "in"
"""
LIVE = 'url = "rtsp://10.0.0.1/x"\n'
RULES = """
[[rules]]
name = "{name}"
vi = "v"
en = "e"
severity = "CHECK"
message = {{ vi = "{{plate}}", en = "{{plate}}" }}
when = {{ {when} }}
"""
ZONES = '[[zones]]\nname = "closed"\nvi = "v"\nen = "closed road"\nperiods = [{{ cameras = ["{camera}"] }}]\n'
LIST = '{{"entries": [{{"plate": "30A-123.45"}}]{more}}}'
LISTED, LOOKUP, ZONE = "listed = {}", 'lookup = { from = "registry", field = "fines", over = 1 }', 'zone = "closed"'
LISTED_IN_VAIN = "listed: lists: none holds at the site"
LOOKUP_IN_VAIN = "fines: register registry: no column fines"
ZONE_IN_VAIN = "closed: the closed road (closed): it holds no camera or site of this site"


class Box:
    """A box, its clock, and what it has told."""

    def __init__(self, folder: Path, attendant: Attendant, clock: ManualClock) -> None:
        self._folder = folder
        self._attendant = attendant
        self._clock = clock

    def write(self, name: str, content: str) -> None:
        fresh = self._folder / "fresh"
        fresh.write_text(content, encoding="utf-8")
        fresh.replace(self._folder / name)

    def told(self) -> list[tuple[str, ...]]:
        """Of rules that are silent, in the next seconds."""
        with capture_logs() as logs:
            for _ in range(4):
                self._clock.advance(1.0)
                self._attendant.turn(())
                deadline = time.monotonic() + 20.0
                lookouts = self._attendant.lists.lookout, self._attendant.rules, self._attendant.rule_data.lookout
                while any(each.busy for each in lookouts):
                    assert time.monotonic() < deadline
                    time.sleep(0.001)
                    self._attendant.turn(())
        return [each["rules"] for each in logs if each["event"] == "rules_silent"]


def prepare(folder: Path, *, camera: str = LIVE) -> None:
    (folder / "rules").mkdir()
    whens = {"listed": LISTED, "fines": LOOKUP, "closed": ZONE}
    rules = "".join(RULES.format(name=name, when=when) for name, when in whens.items())
    (folder / "rules/all.toml").write_text(rules, encoding="utf-8")
    (folder / "zones.toml").write_text(ZONES.format(camera="in"), encoding="utf-8")
    (folder / "registry.csv").write_text("plate,fines\n98C-012.34,2\n", encoding="utf-8")
    (folder / "stolen.json").write_text(LIST.format(more=""), encoding="utf-8")
    (folder / "clip.mp4").touch()
    (folder / "site.toml").write_text(SITE + camera, encoding="utf-8")


@contextmanager
def started(folder: Path) -> Iterator[tuple[Box, list[tuple[str, ...]]]]:
    """A box, and what it told at its start."""
    site, clock = load_site(folder / "site.toml", environment=None), ManualClock()
    with (
        capture_logs() as logs,
        open_hub(box="box", store=site.store.path, endpoint=None, lists=site.lists, rules_of=site, clock=clock) as hub,
        closing(Attendant(site, hub, clock=clock, cores=1, service=ServiceManager(clock=clock))) as attendant,
    ):
        yield Box(folder, attendant, clock), [each["rules"] for each in logs if each["event"] == "rules_silent"]


@pytest.mark.parametrize(("camera", "told"), [(LIVE, [(LOOKUP_IN_VAIN,)]), ('file = "clip.mp4"\n', [])])
def test_a_live_box_tells_at_its_start_and_one_of_recordings_never(
    tmp_path: Path, camera: str, told: list[tuple[str, ...]]
) -> None:
    prepare(tmp_path, camera=camera)
    (tmp_path / "registry.csv").write_text("plate,colour\n98C-012.34,red\n", encoding="utf-8")
    with started(tmp_path) as (box, at_the_start):
        assert at_the_start == told
        box.write("zones.toml", ZONES.format(camera="elsewhere"))
        assert bool(box.told()) is bool(told)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("stolen.json", LIST.format(more=', "valid_until": "2020-01-01"'), LISTED_IN_VAIN),
        ("stolen.json", LIST.format(more=', "sites": ["south"]'), LISTED_IN_VAIN),
        ("registry.csv", "plate,colour\n98C-012.34,red\n", LOOKUP_IN_VAIN),
        ("zones.toml", ZONES.format(camera="elsewhere"), ZONE_IN_VAIN),
    ],
)
def test_a_reload_that_changes_the_answer_is_told_once(tmp_path: Path, name: str, content: str, told: str) -> None:
    prepare(tmp_path)
    with started(tmp_path) as (box, at_the_start):
        assert at_the_start == []
        good = (tmp_path / name).read_text(encoding="utf-8")
        box.write(name, content)
        assert box.told() == [(told,)]
        box.write(name, content + "\n")
        assert box.told() == []
        box.write(name, good)
        assert box.told() == [()]


def test_a_reload_that_leaves_the_answer_says_nothing(tmp_path: Path) -> None:
    prepare(tmp_path)
    with started(tmp_path) as (box, _):
        box.write("rules/all.toml", RULES.format(name="listed", when=LISTED))
        box.write("stolen.json", LIST.format(more=', "purpose": "stolen"'))
        assert box.told() == []
        box.write("rules/all.toml", RULES.format(name="fast", when="speed_kmh = { min = 150 }"))
        assert box.told() == [("fast: speed: no camera tells it",)]
