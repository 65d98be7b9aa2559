"""While the disk refuses: nothing is lost, and hits are told at once, marked as not on it."""

from typing import Any, cast

import msgspec
import pytest
from hub_fakes import OTHER_TEXT, DeadDisk, Hearer, matcher, named, passages

from anpr.bus import Publisher
from anpr.clock import ManualClock
from anpr.engine import hub as hub_module
from anpr.engine.hub import Hub
from anpr.engine.messages import Passage
from anpr.errors import StoreError
from anpr.records import Hit, Sighting
from anpr.store import Store


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
