"""What has passed by a clock that slews, is set, or is not there."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from judging import STANDING, listed_hits
from making_records import make_sighting
from making_rules import rule_text

from anpr.clock import ManualClock
from anpr.config import load_site
from anpr.engine.box import open_hub
from anpr.engine.present import AHEAD_SECONDS, Present


@pytest.mark.parametrize(("lateness", "allowance"), [(30.0, 30.0), (0.0, AHEAD_SECONDS)])
def test_so_much_ahead_counts_as_passed_and_no_more(lateness: float, allowance: float) -> None:
    clock = ManualClock(wall=STANDING)
    present = Present(clock, lateness_seconds=lateness)
    assert present.until_seconds == STANDING + allowance
    assert present.whole_until_seconds == STANDING - lateness
    assert present.ahead_seconds(STANDING + allowance - 1.0) == 0.0
    assert present.ahead_seconds(STANDING + allowance + 1.0) == allowance + 1.0


def test_a_clock_that_slews_is_followed_and_one_that_is_set_is_told_until_it_is_accepted() -> None:
    clock = ManualClock()
    present = Present(clock, lateness_seconds=0.0)
    for _ in range(10):
        clock.advance(1.0)
        clock.wall -= 4.0
        assert present.moved_seconds() == 0.0
    for seconds in (3600.0, -3600.0):
        clock.wall += seconds
        assert present.moved_seconds() == pytest.approx(seconds)
        assert present.moved_seconds() == pytest.approx(seconds)
        present.accept()
        assert present.moved_seconds() == 0.0


def test_without_a_clock_nothing_lies_ahead() -> None:
    present = Present(None, lateness_seconds=30.0)
    assert (present.until_seconds, present.whole_until_seconds) == (math.inf, -math.inf)
    assert present.moved_seconds() == present.ahead_seconds(1e12) == 0.0


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
"""


@pytest.mark.parametrize("live", [True, False])
def test_a_hub_has_its_rules_go_by_the_clock_if_passages_are_live(tmp_path: Path, live: bool) -> None:
    (tmp_path / "rules.toml").write_text(rule_text('{ direction = "approaching" }'))
    (tmp_path / "site.toml").write_text(SITE)
    site = load_site(tmp_path / "site.toml", environment=None)
    clock = ManualClock(wall=STANDING)
    opened = open_hub(box="box", store=site.store.path, endpoint=None, lists=(), rules_of=site, clock=clock, live=live)
    with opened as hub:
        assert hub.judge is not None
        ahead = make_sighting(seen_seconds=STANDING + 3600.0)
        hub.judge.judge(ahead, listed_hits(ahead))
        assert hub.judge.history.passages == (0 if live else 1)
        assert hub.judge.counters.total("passages_ahead") == (1 if live else 0)
