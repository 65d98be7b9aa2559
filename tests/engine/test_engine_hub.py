"""Evidence, record, hits, publication: in this order, and nothing lost when the disk refuses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from engine_fakes import fake_stages, frames
from judging import judge_of

from anpr.bus import BusOptions, Consumer, DurableSubscriber, Heartbeat, Publisher, Subscriber
from anpr.clock import ManualClock, SystemClock
from anpr.config.site import Listed
from anpr.engine import hub as hub_module
from anpr.engine.box import load_lists, open_hub
from anpr.engine.hub import Hub
from anpr.engine.messages import Passage
from anpr.engine.worker import Worker
from anpr.errors import StoreError, WatchListError
from anpr.metrics import Counters
from anpr.records import CoverageGap, Event, Hit, Sighting
from anpr.store import GroupCommit, Store
from anpr.tracking.sighting import Origin
from anpr.watch.lists import WatchList, read_csv
from anpr.watch.matcher import Matcher


def passages(count: int = 40) -> list[Passage]:
    """One vehicle: a preview and a final."""
    found: list[Passage] = []
    origin = Origin(site_id="site", camera_id="cam", run_seconds=0.0)
    Worker(fake_stages(), origin, emit=found.append).run(frames(count))
    return found


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


def matcher(*plates: str) -> Matcher:
    entries, problems = read_csv("\n".join(("plate,reason", *(f"{plate},stolen" for plate in plates))).encode())
    assert not problems
    return Matcher((WatchList(name="stolen", version="1", entries=entries),))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store", clock=ManualClock(), box="box") as opened:
        yield opened


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


def test_nothing_is_lost_while_the_disk_refuses(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 20
    monkeypatch.setattr(hub_module, "MOST_WAITING_BARE", most)
    clock = ManualClock()
    hub = Hub(store, matcher("30A-123.45"), None, clock=clock)
    broken = True
    real_put, real_append = store.evidence.put, store.append

    def put(*arguments: Any) -> Any:
        if broken:
            raise StoreError("the disk is full")
        return real_put(*arguments)

    def append(*arguments: Any) -> Any:
        if broken:
            raise StoreError("the disk is full")
        return real_append(*arguments)

    monkeypatch.setattr(type(store.evidence), "put", lambda _self, *arguments: put(*arguments))
    monkeypatch.setattr(store, "append", append)
    preview, final = passages()
    for number in range(most):
        sighting = msgspec.structs.replace(final.sighting, id=f"{number:032}")
        hub.take(msgspec.structs.replace(preview, sighting=sighting))
        hub.tick()
        clock.advance(0.1)
    assert hub.backlog == most
    assert store.last_seq == 0
    assert 2 <= hub.counters.total("store_failures") <= most * 0.1 + 1
    broken = False
    clock.advance(2.0)
    hub.tick()
    hub.finish()
    assert not hub.full
    assert store.last_seq == 2 * most
    assert hub.totals().counts["events_committed", "hit"] == most


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


def test_hits_are_told_at_once_while_the_disk_refuses_and_again_when_they_are_on_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, broken, most = ManualClock(), True, 8
    monkeypatch.setattr(hub_module, "MOST_WAITING", most)
    monkeypatch.setattr(hub_module, "MOST_WAITING_BARE", 4 * most)
    real_append = store.append

    def append(*arguments: Any) -> Any:
        if broken:
            raise StoreError("the disk is dead")
        return real_append(*arguments)

    monkeypatch.setattr(store, "append", append)
    hearer = Hearer()
    hub = Hub(store, matcher("30A-123.45"), cast(Publisher, hearer), clock=clock)
    preview, final = passages()
    plain = msgspec.structs.replace(
        final.sighting, text="51F67890", raw="51F67890", alternatives=(("51F67890", 1.0),), lattice=()
    )
    number = 0

    def pass_by(sighting: Sighting) -> None:
        nonlocal number
        number += 1
        hub.take(msgspec.structs.replace(preview, sighting=msgspec.structs.replace(sighting, id=f"{number:032}")))
        hub.tick()
        clock.advance(0.1)

    pass_by(final.sighting)
    clock.advance(1.0)
    hub.tick()
    assert [hit.sighting_id for hit in hearer.volatile] == [f"{1:032}"]
    while hub.backlog < 4 * most:
        pass_by(final.sighting if number % 10 == 0 else plain)
    assert hub.failing
    assert number > most  # more than with their pictures
    listed = [f"{each:032}" for each in range(1, number + 1) if each == 1 or each % 10 == 1]
    assert [hit.sighting_id for hit in hearer.volatile] == listed  # each once, however often it was tried
    assert not hearer.events
    dropped = hub.counters.counts["pictures_not_stored", "store failed"]
    assert 0 < dropped <= 2 * (number - most)
    broken = False
    clock.advance(2.0)
    hub.tick()
    hub.finish()
    assert not hub.failing
    assert not hub.full
    told = {event.record.id: event.record for event in hearer.events if isinstance(event.record, Hit)}
    assert set(told) == {hit.id for hit in hearer.volatile}
    assert len(hearer.events) == number + len(listed)
    pictures = [len(found.evidence) for each in range(1, number + 1) if (found := store.sighting(f"{each:032}"))]
    assert len(pictures) == number
    assert all(len(hit.evidence) == 2 for hit in told.values())
    assert sum(2 - each for each in pictures) == dropped
    pass_by(final.sighting)
    hub.finish()
    assert len(hearer.volatile) == len(listed)


def test_what_finds_no_room_while_the_disk_is_dead_is_counted_and_its_hits_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, most = ManualClock(), 8
    monkeypatch.setattr(hub_module, "MOST_WAITING", 4)
    monkeypatch.setattr(hub_module, "MOST_WAITING_BARE", most)
    disk, hearer = DeadDisk(store, monkeypatch), Hearer()
    hub = Hub(store, matcher("30A-123.45"), cast(Publisher, hearer), clock=clock)
    preview, final = passages()
    plain = {"text": "51F67890", "raw": "51F67890", "alternatives": (("51F67890", 1.0),), "lattice": ()}

    def pass_by(passage: Passage, number: int, **changes: Any) -> None:
        hub.take(named(passage, number, **changes))
        hub.tick()
        clock.advance(0.1)

    for number in range(most + 1):  # one is in the group
        pass_by(preview, number, **plain)
    clock.advance(1.0)
    hub.tick()
    assert hub.failing
    assert not hub.full
    waiting = hub.backlog
    pass_by(preview, 100, **plain)
    pass_by(final, 100, **plain)  # it was not taken either
    assert hub.backlog == waiting
    assert hub.counters.counts["passages_turned_away", "store failed"] == 2
    pass_by(final, 0, **plain)  # its beginning waits
    pass_by(preview, 101)  # is on the list
    assert hub.backlog == waiting + 2
    assert [hit.sighting_id for hit in hearer.volatile] == [f"{101:032}"]
    for number in range(200, 200 + 2 * most):
        pass_by(preview, number)
    assert [hit.sighting_id for hit in hearer.volatile] == [f"{n:032}" for n in (101, *range(200, 200 + 2 * most))]
    assert len(hub._waiting) == 2 * most
    disk.commits = 1e9
    clock.advance(2.0)
    hub.tick()
    hub.finish()
    assert not hub.failing
    stored = [number for number in (*range(most + 1), 100, 101) if store.sighting(f"{number:032}")]
    assert stored == [*range(most + 1), 101]
    settled = store.sighting(f"{0:032}")
    assert settled is not None
    assert settled.state == "final"


def test_a_hit_that_was_told_of_a_list_that_changed_before_the_disk_took_it_is_stored_as_withdrawn(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    disk, hearer = DeadDisk(store, monkeypatch), Hearer()
    hub = Hub(store, matcher("30A-123.45"), cast(Publisher, hearer), clock=clock)
    hub.take(named(passages()[1], 1))
    hub.tick()
    clock.advance(1.0)
    hub.take(named(passages()[1], 2))
    hub.tick()
    clock.advance(0.1)
    hub.tick()
    told = {hit.sighting_id: hit for hit in hearer.volatile}
    assert len(told) == 2
    hub.replace_matcher(matcher("51F-678.90"))
    disk.commits = 1e9
    clock.advance(2.0)
    hub.tick()
    hub.finish()
    events = {e.record.sighting_id: e.record for e in hearer.events if isinstance(e.record, Hit)}
    assert {key: hit.id for key, hit in events.items()} == {key: hit.id for key, hit in told.items()}
    assert events[f"{2:032}"].state == "withdrawn"
    assert events[f"{2:032}"].revision == told[f"{2:032}"].revision + 1


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


def named(passage: Passage, number: int, **changes: Any) -> Passage:
    sighting = msgspec.structs.replace(passage.sighting, id=f"{number:032}", **changes)
    return msgspec.structs.replace(passage, sighting=sighting)


OTHER_TEXT: Any = {"text": "51F67890", "raw": "51F67890", "alternatives": (("51F67890", 1.0),), "lattice": ()}


def test_a_hit_that_was_told_before_it_was_on_disk_is_taken_back_as_soon(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, hearer = ManualClock(), Hearer()
    disk = DeadDisk(store, monkeypatch)
    hub = Hub(store, matcher("30A-123.45"), cast(Publisher, hearer), clock=clock)
    preview, final = passages()
    hub.take(named(preview, 9, **OTHER_TEXT))  # what blocks the store
    for _ in range(3):
        hub.tick()
        clock.advance(0.1)
    assert hub.failing
    for passage in (named(preview, 1), named(preview, 2), named(final, 1, **OTHER_TEXT), named(final, 2)):
        hub.take(passage)
        hub.tick()
        hub.tick()
    ids = [(hit.sighting_id[-1], hit.revision, hit.state) for hit in hearer.volatile]
    assert ids == [("1", 0, "preview"), ("2", 0, "preview"), ("1", 1, "withdrawn"), ("2", 1, "final")]
    disk.commits = 100
    clock.advance(2.0)
    hub.finish()
    told = [event.record for event in hearer.events if isinstance(event.record, Hit)]
    assert {(hit.id, hit.revision, hit.state) for hit in told} == {
        (hit.id, hit.revision, hit.state) for hit in hearer.volatile
    }


def test_a_disk_that_takes_something_now_and_then_has_no_hit_told_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, hearer, many = ManualClock(), Hearer(), 200
    disk = DeadDisk(store, monkeypatch)
    hub = Hub(store, matcher("30A-123.45"), cast(Publisher, hearer), clock=clock)
    _, final = passages()
    for number in range(many):
        hub.take(named(final, number))
    for _ in range(2 * many):
        monkeypatch.setattr(hub_module, "TICK_SECONDS", 1.0 if disk.commits < 1 else 0.0)  # it ends amid its work
        hub.tick()
        disk.commits = 0 if disk.commits else 1
        clock.advance(1.1)
    assert len(hearer.volatile) == len({(hit.id, hit.revision) for hit in hearer.volatile}) == many


def test_what_waits_is_asked_for_by_new_lists_too_while_the_disk_refuses(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, hearer = ManualClock(), Hearer()
    DeadDisk(store, monkeypatch)
    hub = Hub(store, matcher(), cast(Publisher, hearer), clock=clock)
    for number in range(3):
        hub.take(named(passages()[1], number))
        hub.tick()
        clock.advance(0.1)
    assert not hearer.volatile
    hub.replace_matcher(matcher("30A-123.45"))
    hub.tick()
    assert len(hearer.volatile) == 2  # the first is with the store already, as it was judged


def test_pictures_of_listed_vehicles_do_not_fill_the_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "MOST_WAITING", 4)
    monkeypatch.setattr(hub_module, "MOST_WAITING_LISTED", 3)
    DeadDisk(store, monkeypatch)
    clock = ManualClock()
    hub = Hub(store, matcher("30A-123.45"), None, clock=clock)
    final = passages()[1]
    for number in range(20):
        hub.take(named(final, number))
        hub.tick()
        clock.advance(0.1)
    assert hub.failing
    assert hub.counters.counts["pictures_not_stored", "store failed"] == 2 * (19 - 4 - 3)


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
                heard = [subscriber.receive(2.0) for _ in range(4)]
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
    hub = Hub(store, matcher("30A-123.45"), None, clock=ManualClock(), judge=judge)
    for passage in passages():
        hub.take(passage)
    hub.finish()
    (hit,) = store.hits_of(passages()[1].sighting.id)
    assert (hit.rule, hit.state) == ("", "final")
    assert hub.counters.counts["judgements_failed", "ZeroDivisionError"] == 2


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
            item = subscriber.receive(5.0)
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
