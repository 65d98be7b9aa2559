"""Evidence, record, hits, publication: in this order, and nothing lost when the disk refuses."""

from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hub_fakes import Hearer, matcher, passages
from judging import judge_of

from anpr.bus import BusOptions, Consumer, DurableSubscriber, Heartbeat, Publisher, Subscriber
from anpr.clock import ManualClock, SystemClock
from anpr.config.site import Listed
from anpr.engine import hub as hub_module
from anpr.engine.box import load_lists, open_hub
from anpr.engine.hub import FAULT_TOLD_SECONDS, Hub
from anpr.engine.messages import Passage
from anpr.errors import StoreError, WatchListError
from anpr.records import CoverageGap, Event, Hit, Sighting
from anpr.store import GroupCommit, Store


def gap(number: int) -> CoverageGap:
    return CoverageGap(
        id=f"{number:032}",
        revision=0,
        state="preview",
        site_id="site",
        camera_id="cam",
        reason="offline",
        detail="",
        from_seconds=float(number),
        until_seconds=float(number),
    )


def test_a_passage_becomes_a_sighting_with_pictures_a_hit_and_events(store: Store) -> None:
    events: list[Event] = []
    hub = Hub(store, matcher("30A-123.45"), None, clock=ManualClock(), on_event=events.append)
    for passage in passages():
        hub.take(passage)
    hub.finish()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    (final,) = [e.record for e in events if isinstance(e.record, Sighting) and e.record.state == "final"]
    hits = [event.record for event in events if isinstance(event.record, Hit)]
    assert {hit.listed for hit in hits} == {"30A12345"}
    assert hits[-1].state == "final"
    assert hits[-1].evidence == final.evidence
    assert {evidence.kind for evidence in final.evidence} == {"plate", "overview"}
    for evidence in final.evidence:
        assert store.evidence.get(evidence.sha256).startswith(b"\xff\xd8")
    assert store.sighting(final.id) == final
    assert tuple(store.hits_of(final.id)) == (hits[-1],)


def test_a_hit_is_withdrawn_when_the_next_revision_no_longer_matches(store: Store) -> None:
    preview, final = passages()
    other = msgspec.structs.replace(
        final.sighting, text="51F67890", raw="51F67890", alternatives=(("51F67890", 1.0),), lattice=()
    )
    hub = Hub(store, matcher("30A-123.45"), None, clock=ManualClock())
    hub.take(preview)
    hub.take(msgspec.structs.replace(final, sighting=other))
    hub.finish()
    (hit,) = store.hits_of(preview.sighting.id)
    assert hit.state == "withdrawn"
    assert hit.revision == other.revision


def test_a_withdrawn_sighting_withdraws_its_hits(store: Store) -> None:
    preview, _ = passages()
    gone = msgspec.structs.replace(preview.sighting, state="withdrawn", revision=1)
    hub = Hub(store, matcher("30A-123.45"), None, clock=ManualClock())
    for passage in (preview, msgspec.structs.replace(preview, sighting=gone)):
        hub.take(passage)
    hub.finish()
    assert [hit.state for hit in store.hits_of(gone.id)] == ["withdrawn"]


def test_a_sighting_waits_at_most_a_blink_for_its_commit(store: Store) -> None:
    clock = ManualClock()
    hub = Hub(store, matcher(), None, clock=clock)
    hub.take(passages()[0])
    wait_seconds = hub.tick()
    assert store.last_seq == 0
    assert 0 < wait_seconds <= 0.005
    clock.advance(wait_seconds)
    hub.tick()
    assert store.last_seq == 1


def test_latency_is_measured_from_the_frames_arrival(store: Store) -> None:
    clock = ManualClock(monotonic=100.0)
    hub = Hub(store, matcher(), None, clock=clock)
    hub.take(msgspec.structs.replace(passages()[0], arrival_seconds=99.5))
    clock.advance(0.25)
    hub.finish()
    assert list(hub.latency_seconds) == [0.75]


def test_what_the_store_refuses_at_the_end_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise StoreError("the disk is full")

    hearer = Hearer()
    hub = Hub(store, matcher("30A-123.45"), cast(Publisher, hearer), clock=ManualClock())
    monkeypatch.setattr(type(store.evidence), "put", refuse)
    for passage in passages():
        hub.take(passage)
    with pytest.raises(StoreError, match="2 records could not be stored and are lost: the disk is full"):
        hub.finish()
    assert [hit.state for hit in hearer.volatile] == ["preview", "final"]


def test_a_subscriber_hears_what_was_committed_and_the_heartbeat(tmp_path: Path) -> None:
    clock = SystemClock()
    with Store.open(tmp_path / "store", clock=clock, box="box") as store:
        with Publisher("tcp://127.0.0.1:*", box="box", epoch=store.epoch, clock=clock) as publisher:
            hub = Hub(store, matcher("30A-123.45"), publisher, clock=clock)
            with Subscriber(publisher.endpoint, clock=clock, topics=("",)) as subscriber:
                while subscriber.receive(0.1) is None:  # until the subscription has arrived
                    hub.tick()
                for passage in passages():
                    hub.take(passage)
                hub.finish()
                heard = [subscriber.receive(30.0) for _ in range(4)]
    records = [item.record for item in heard if isinstance(item, Event)]
    assert [type(record) for record in records[:2]] == [Sighting, Hit]
    assert {record.state for record in records} == {"preview", "final"}


def test_open_hub_stores_what_it_still_holds_when_the_block_fails(tmp_path: Path) -> None:
    opened = open_hub(box="box", store=tmp_path / "store", endpoint="tcp://127.0.0.1:*", lists=(), clock=SystemClock())
    hub = opened.__enter__()
    hub.take(passages()[0])
    opened.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    with Store.open(tmp_path / "store", clock=SystemClock(), read_only=True) as store:
        assert store.last_seq == 1


def test_all_problems_of_all_lists_are_told_at_once(tmp_path: Path) -> None:
    listed = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.csv"
        path.write_text("plate\nnonsense!\n")
        listed.append(Listed.model_validate({"name": name, "file": str(path)}))
    with pytest.raises(WatchListError) as caught:
        load_lists(listed)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("committed", [True, False])
def test_what_a_dead_worker_left_open_is_settled_with_its_pictures_and_hits(store: Store, committed: bool) -> None:
    events: list[Event] = []
    hub = Hub(store, matcher("30A-123.45"), None, clock=ManualClock(), on_event=events.append)
    preview, final = passages()
    hub.take(preview)
    if committed:
        hub.finish()
    hub.settle(["another"])
    hub.settle(["cam"])
    hub.finish()
    known = store.sighting(final.sighting.id)
    assert known is not None
    assert (known.state, known.revision, known.text) == ("final", preview.sighting.revision + 1, preview.sighting.text)
    assert len(known.evidence) == 2
    assert [hit.state for hit in store.hits_of(known.id)] == ["final"]
    hub.settle(["cam"])
    hub.finish()
    assert hub.counters.total("passages_settled_after_a_death") == 1


def test_pictures_that_a_waiting_passage_names_are_not_deleted(store: Store) -> None:
    hub = Hub(store, matcher(), None, clock=ManualClock())
    picture = store.evidence.put("plate", passages()[0].pictures[0].jpeg)
    sighting = msgspec.structs.replace(passages()[1].sighting, evidence=(picture,))
    assert store.evidence.awaited() == set()
    hub.take(Passage(sighting, (), 0.0))
    assert store.evidence.awaited() == {picture.sha256}
    hub.tick()
    assert store.evidence.awaited() == {picture.sha256}  # in the group
    hub.finish()
    assert store.evidence.awaited() == set()


def test_what_an_earlier_run_left_open_is_settled_at_the_next_start(tmp_path: Path) -> None:
    preview, final = passages()
    with Store.open(tmp_path / "store", clock=ManualClock(), box="box") as store:
        hub = Hub(store, matcher("30A-123.45"), None, clock=ManualClock())
        hub.take(preview)
        hub.finish()
    with Store.open(tmp_path / "store", clock=ManualClock(), box="box") as store:
        hub = Hub(store, matcher("30A-123.45"), None, clock=ManualClock())
        hub.recover()
        hub.finish()
        known = store.sighting(final.sighting.id)
        assert known is not None
        assert known.state == "final"
        hub.recover()
        hub.finish()
        assert hub.counters.total("passages_settled_after_a_death") == 1


def test_a_group_that_is_full_is_committed_before_more_is_added(store: Store) -> None:
    clock = ManualClock()
    hub = Hub(store, matcher(), None, clock=clock)
    hub._group = GroupCommit(store, clock=clock, max_records=100, max_wait_seconds=1.0, max_pending=4)
    for number in range(4):
        hub.take_gap(gap(number))
    hub.tick()
    assert (hub.backlog, store.last_seq) == (4, 0)
    clock.advance(2.0)
    hub.take_gap(gap(4))
    hub.tick()
    clock.advance(2.0)
    hub.tick()
    assert (hub.backlog, store.last_seq) == (0, 5)


def test_many_gaps_do_not_overfill_the_group(store: Store) -> None:
    hub = Hub(store, matcher(), None, clock=ManualClock())
    for number in range(4200):
        hub.take_gap(gap(number))
    hub.finish()
    assert (hub.backlog, store.last_seq) == (0, 4200)
    assert hub.counters.total("store_failures") == 0


def test_one_tick_does_not_work_for_longer_than_its_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    hub = Hub(store, matcher(), None, clock=clock)
    put = store.evidence.put

    def slow_put(_self: object, *arguments: Any) -> Any:
        clock.advance(0.2)
        return put(*arguments)

    monkeypatch.setattr(type(store.evidence), "put", slow_put)
    _, final = passages()
    for number in range(10):  # of two pictures each
        hub.take(msgspec.structs.replace(final, sighting=msgspec.structs.replace(final.sighting, id=f"{number:032}")))
    assert hub.tick() == 0.0
    assert clock.monotonic_seconds() < 2 * hub_module.TICK_SECONDS
    assert 0 < store.last_seq < 10
    hub.finish()
    assert store.last_seq == 10


def test_what_rules_say_is_committed_with_the_sighting_beside_what_lists_say(store: Store) -> None:
    judge = judge_of(store)
    hub = Hub(store, matcher("30A-123.45"), None, clock=ManualClock(), judge=judge)
    preview, final = passages()
    before = msgspec.structs.replace(
        final.sighting, id="0" * 32, camera_id="b", seen_seconds=final.sighting.seen_seconds - 30.0
    )
    hub.take(msgspec.structs.replace(final, sighting=before))
    for passage in (preview, final):
        hub.take(passage)
    hub.finish()
    hits = store.hits_of(final.sighting.id)
    assert {"", "seen-before", "seen-in-time"} <= {hit.rule for hit in hits}
    assert {hit.state for hit in hits} == {"final"}
    assert hub.totals().counts["rule_hits", "seen-before"] == 2  # the preview's and the final's
    assert hub.totals().counts["rules_would_hit", "dry"] == 1


def test_a_fault_while_rules_judge_costs_neither_the_sighting_nor_its_list_hits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = judge_of(store)

    def fail(*_: object) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr(judge, "judge", fail)
    clock = ManualClock()
    hub = Hub(store, matcher("30A-123.45"), None, clock=clock, judge=judge)
    for passage in passages():
        hub.take(passage)
    hub.finish()
    (hit,) = store.hits_of(passages()[1].sighting.id)
    assert (hit.rule, hit.state) == ("", "final")
    assert hub.counters.counts["judgements_failed", ""] == 2
    assert hub.judging_fault == "ZeroDivisionError"
    clock.advance(FAULT_TOLD_SECONDS + 1)
    assert hub.judging_fault == ""


def test_a_rule_that_waits_raises_its_hit_on_the_passage_it_waited_for(store: Store) -> None:
    hub = Hub(store, matcher(), None, clock=ManualClock(), judge=judge_of(store))
    _, final = passages()
    at_gate = msgspec.structs.replace(final.sighting, camera_id="gate")
    later = msgspec.structs.replace(at_gate, id="1" * 32, text="51F67890", seen_seconds=at_gate.seen_seconds + 500.0)
    for sighting in (at_gate, later):
        hub.take(msgspec.structs.replace(final, sighting=sighting))
    hub.finish()
    assert "not-left" in {hit.rule for hit in store.hits_of(at_gate.id)}


def test_the_last_word_of_a_hub_is_a_heartbeat_with_the_last_number(tmp_path: Path) -> None:
    with (
        Store.open(tmp_path / "store", clock=SystemClock(), box="box") as opened,
        Publisher("tcp://127.0.0.1:*", box="box", epoch=1, clock=ManualClock()) as publisher,
        Subscriber(publisher.endpoint, clock=SystemClock(), topics=("",)) as subscriber,
    ):
        for _ in range(500):
            publisher.heartbeat()
            if subscriber.receive(0.02) is not None:
                break
        hub = Hub(opened, matcher(), publisher, clock=ManualClock())
        for passage in passages():
            hub.take(passage)
        hub.finish()
        heard = []
        while not (heard and isinstance(heard[-1], Heartbeat) and heard[-1].last_seq == opened.last_seq):
            item = subscriber.receive(30.0)
            assert item is not None
            heard.append(item)
    assert [item.seq for item in heard if isinstance(item, Event)] == list(range(1, heard[-1].last_seq + 1))


def test_a_hub_serves_its_consumers(tmp_path: Path) -> None:
    options = BusOptions(
        endpoint="tcp://127.0.0.1:*", reliable_endpoint="tcp://127.0.0.1:*", consumers=(Consumer(name="ioc"),)
    )
    with open_hub(
        box="box", store=tmp_path / "store", endpoint=None, bus=options, lists=(), clock=SystemClock()
    ) as hub:
        assert len(hub.files) >= 4
        with DurableSubscriber(hub._publisher.reliable_endpoint, "ioc", clock=SystemClock()) as subscriber:  # type: ignore[union-attr]
            for passage in passages():
                hub.take(passage)
            found = []
            while len(found) < 2:
                hub.tick()
                item = subscriber.receive(0.005)
                if item is not None:
                    found.append(item)
                    subscriber.ack()
            while hub.consumers[0].behind:
                hub.tick()
                subscriber.receive(0.005)
    with Store.open(tmp_path / "store", clock=SystemClock()) as store:
        assert store.outbox.positions() == {"ioc": (2, 2)}
