"""A hub ends if its store's root takes nothing more: only a new start helps."""

from pathlib import Path

import pytest
from failing_writes import last_write_fails
from making_records import make_sighting

from anpr.clock import ManualClock
from anpr.engine.box import open_hub
from anpr.engine.hub import Hub
from anpr.engine.messages import Passage
from anpr.errors import StoreError
from anpr.store import Store


def work_with_a_stuck_root(hub: Hub, path: Path, clock: ManualClock) -> None:
    hub.take(Passage(make_sighting(id="s-1", evidence=()), (), 0.0))
    while hub.backlog:
        clock.advance(hub.tick())
    with last_write_fails(path):
        hub.mark_alive()  # counted, and may pass
    hub.mark_alive()


def test_a_root_that_takes_nothing_more_ends_the_hub(tmp_path: Path) -> None:
    clock = ManualClock()
    with pytest.raises(StoreError, match="an earlier write failed"):
        with open_hub(box="box", store=tmp_path, endpoint=None, lists=(), clock=clock) as hub:
            work_with_a_stuck_root(hub, tmp_path, clock)
    assert hub.totals().total("store_failures") == 2
    with Store.open(tmp_path, clock=clock) as store:
        store.mark_alive()
        assert store.sighting("s-1") is not None
