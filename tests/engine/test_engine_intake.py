"""A declaration that is pushed while the box runs is on disk, and rules know it, when its sender has the answer."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

from making_rules import rule_text, sighting

from anpr.bus.intake import hand_in
from anpr.clock import ManualClock, SystemClock
from anpr.config import load_site
from anpr.engine.attendant import Attendant
from anpr.engine.box import open_hub
from anpr.health.service import ServiceManager
from anpr.rules.opening import JOURNAL, open_rules

SITE = """
[box]
id = "box"
[site]
id = "site"
[store]
path = "store"
[bus]
endpoint = "tcp://127.0.0.1:*"
[[cameras]]
id = "km25"
url = "rtsp://10.0.0.1/x"
[rules]
folder = "rules.toml"
intake = "ipc://{folder}/intake"
"""


def test_a_pushed_declaration_is_durable_and_judged_by(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(rule_text("{ declared = { persons_more_than = 1 } }"))
    (tmp_path / "site.toml").write_text(SITE.format(folder=tmp_path))
    site = load_site(tmp_path / "site.toml", environment=None)
    clock = SystemClock()
    declaration = {"plate": "98C-012.34", "type": "khaibao", "declared": "2026-05-20T08:00", "persons": 2, "id": "d1"}
    taken: list[str] = []
    with open_hub(box="box", store=site.store.path, endpoint=None, lists=(), rules_of=site, clock=clock) as hub:
        assert hub.judge is not None
        assert hub.judge.judge(sighting(), []) == ()
        with closing(Attendant(site, hub, clock=clock, cores=1, service=ServiceManager(clock=clock))) as attendant:
            endpoint = f"ipc://{tmp_path}/intake"
            sender = threading.Thread(target=lambda: taken.append(hand_in(endpoint, declaration)))
            sender.start()
            while sender.is_alive():
                attendant.turn(())
                sender.join(0.01)
        assert taken == ["d1"]
        assert b'"98C-012.34"' in (site.store.path / JOURNAL).read_bytes()
        assert [hit.rule for hit in hub.judge.judge(sighting(id="later"), [])] == ["rule"]
        assert hub.totals().total("declarations_pushed") == hub.totals().total("intake_taken") == 1
    again = open_rules(site, clock=ManualClock())
    assert again is not None
    assert len(again.declarations) == 1
