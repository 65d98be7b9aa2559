"""A site file with rules opens a hub that judges by them, and remembers over a restart."""

from __future__ import annotations

from pathlib import Path

import msgspec
from engine_fakes import fake_stages, frames

from anpr.clock import SystemClock
from anpr.config import load_site
from anpr.engine.box import open_hub
from anpr.engine.messages import Passage
from anpr.engine.worker import Worker
from anpr.store import Store
from anpr.tracking.sighting import Origin

SITE = """
[box]
id = "box"
[site]
id = "site"
[store]
path = "store"
[bus]
endpoint = "tcp://127.0.0.1:7781"
[rules]
folder = "rules.toml"
lateness = "20s"
[[cameras]]
id = "cam"
file = "clip.mp4"
"""
RULES = """
[[rules]]
name = "again"
vi = "Lại qua"
en = "Passed again"
severity = "CHECK"
message = { vi = "{plate}", en = "{plate} passed {seen_count} times" }
when = { seen = { within = "1h" } }
[[rules]]
name = "tried"
vi = "Thử"
en = "Tried"
severity = "INFO"
dry_run = true
message = { vi = "{plate}", en = "{plate}" }
when = { seen = { within = "1h" } }
"""


def final() -> Passage:
    found: list[Passage] = []
    origin = Origin(site_id="site", camera_id="cam", run_seconds=0.0)
    Worker(fake_stages(), origin, emit=found.append).run(frames(40))
    return found[-1]


def test_rules_of_a_site_judge_what_passes_also_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(SITE, encoding="utf-8")
    (tmp_path / "rules.toml").write_text(RULES, encoding="utf-8")
    (tmp_path / "clip.mp4").touch()
    site = load_site(tmp_path / "site.toml")
    passage = final()
    for number in range(3):
        sighting = msgspec.structs.replace(
            passage.sighting, id=f"{number:032x}", seen_seconds=passage.sighting.seen_seconds + number * 100.0
        )
        opened = open_hub(box="box", store=site.store.path, endpoint=None, lists=(), rules_of=site, clock=SystemClock())
        with opened as hub:
            assert hub.judge is not None
            health = hub.judge.health
            assert (health.enabled, health.dry_run, health.passages) == (2, 1, number)
            hub.take(msgspec.structs.replace(passage, sighting=sighting))
    with Store.open(site.store.path, clock=SystemClock(), read_only=True) as store:
        said = [hit.message_en for number in range(3) for hit in store.hits_of(f"{number:032x}")]
    plate = passage.sighting.display
    assert said == [f"{plate} passed 1 times", f"{plate} passed 2 times"]


def test_a_site_without_rules_has_no_judge(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(SITE.replace('[rules]\nfolder = "rules.toml"\nlateness = "20s"\n', ""))
    (tmp_path / "clip.mp4").touch()
    site = load_site(tmp_path / "site.toml")
    with open_hub(box="box", store=site.store.path, endpoint=None, lists=(), rules_of=site, clock=SystemClock()) as hub:
        assert hub.judge is None
