"""Pseudonyms in the place of plates: what goes, what stays, what searches, rules and consumers see of it."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keeping import Box, policy
from making_records import make_hit, make_jpeg, make_sighting
from pseudonymised import KEY, pseudonymise

from anpr.clock import ManualClock
from anpr.errors import PlateError, StoreError
from anpr.ops.plate_codes import encode
from anpr.plates.packed import pack
from anpr.plates.pseudonym import Pseudonyms, is_pseudonym
from anpr.records import Event, Hit, Sighting
from anpr.store import Query, Store
from anpr.store.checking import check
from anpr.store.holds import Hold, drop_hold, put_hold, read_holds
from anpr.store.pseudonym_key import SECRET, all_keys, present_key
from anpr.store.retention import DAY_SECONDS, Retention
from anpr.store.rewriting import without_plate

RULES = policy(retention=Retention(passages_days=9, passage_pictures_days=9, hits_days=12, pseudonymise_after_days=2))


def end_day(store: Store, clock: ManualClock) -> None:
    clock.advance(DAY_SECONDS)
    assert store.roll()


def hold(store: Store, **what: str) -> None:
    with store.root.writing() as txn:
        put_hold(txn, store.root.holds, Hold(at="", user="", reason="court", case="1/26", **what))


def texts(store: Store, **asked: Any) -> list[str]:
    return [each.text for each in store.search(Query(**asked)).sightings]


# What goes and what stays


def test_a_passage_without_a_hit_loses_its_plate_and_its_pictures(tmp_path: Path, clock: ManualClock) -> None:
    with Box(tmp_path / "store", clock, RULES) as box:
        box.see(text="30A12345")
        box.see(text="51F99988", hit=True)
        box.see(text="29C55566")
        before = [box.store.sighting(name) for name in ("v1", "v2", "v3")]
        box.live(2.0)
        assert [box.store.sighting(name) for name in ("v1", "v2", "v3")] == before
        box.live(2.0)
        (key,) = all_keys(box.folder)
        assert box.store.sighting("v2") == before[1]
        for name, was in (("v1", before[0]), ("v3", before[2])):
            assert was is not None
            text = key.of(was.text)
            changes = {"text": text, "display": text, "raw": "", "alternatives": (), "lattice": (), "evidence": ()}
            assert box.store.sighting(name) == msgspec.structs.replace(was, **changes)
        assert box.pictures() == 1
        (entry,) = box.store.purges()
        assert (entry.what, entry.sightings, entry.kept, entry.pictures) == ("plates", 2, 1, 2)
        assert (entry.partition, entry.pseudonym_key) == (str(box.store.partitions.all[0].name), key.fingerprint)
        assert box.store.counters.total("sightings_pseudonymised") == 2
        assert box.store.counters.total("events_purged") == 0
        assert stat.S_IMODE((box.folder / SECRET).stat().st_mode) == 0o600
    finding = check(box.folder, clock=clock, pictures=True)
    assert finding.problems == []
    assert finding.counters.total("pseudonymised_checked") == 2
    assert finding.counters.total("pictures_missing") == 0


def test_without_the_setting_nothing_loses_its_plate(tmp_path: Path, clock: ManualClock) -> None:
    with Box(tmp_path / "store", clock, policy()) as box:
        box.see()
        box.live(2.9)
        assert texts(box.store) == ["30A12345"]
        assert not (box.folder / SECRET).exists()


READ = st.text("0123456789ABCDEFGHKLMNPRSTUVXYZ", min_size=7, max_size=10)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(READ, min_size=5, max_size=5, unique=True), st.integers(2, 40))
def test_nothing_of_the_plate_is_left_in_any_byte(
    tmp_path_factory: pytest.TempPathFactory, read: list[str], count: int
) -> None:
    plate, raw, display, second, third = (f"Q{each}" for each in read)
    clock = ManualClock()
    with Store.open(tmp_path_factory.mktemp("bytes") / "store", clock=clock) as store:
        picture = store.evidence.put("plate", make_jpeg(plate))
        seen = make_sighting(
            id="a",
            text=plate,
            raw=raw,
            display=display,
            alternatives=((plate, 0.9), (second, 0.1)),
            lattice=tuple(((character, 0.625), ("", 0.375)) for character in plate),
            evidence=(picture,),
            seen_seconds=clock.wall,
        )
        store.append([msgspec.structs.replace(seen, revision=0, text=third)])
        store.append([seen])
        store.append([make_sighting(id="gone", text=plate, raw=raw, state="withdrawn", evidence=())])
        others = [make_sighting(id=f"{n}", text=f"30A{n:05d}", display="", evidence=()) for n in range(count)]
        store.append(others, [make_hit(id=f"h{each.id}", sighting_id=each.id) for each in others])
        end_day(store, clock)
        assert store.make_columns()
        secrets = [each.encode() for each in (plate, raw, display, second, third, picture.sha256)]
        secrets += [bytes.fromhex(picture.sha256), bytes.fromhex(picture.sha256)[:8][::-1], b"\xcb\x3f\xe4" + bytes(6)]
        for text in (plate, third):
            packed, code = pack(text), encode(text)
            secrets += [packed.to_bytes(8, "big")] if packed else []
            secrets += [code.to_bytes(8, "little")] if code else []
        day = store.partitions.all[0].path

        def held() -> set[bytes]:
            content = b"".join(file.read_bytes() for file in sorted(store.path.rglob("*")) if file.is_file())
            return {secret for secret in secrets if secret in content}

        assert len(held()) >= 7
        pseudonymise(store)
        assert store.make_columns()
        assert held() == set()
        assert not day.exists()
        assert not store.evidence.has(picture.sha256)
        assert sorted(texts(store)) == sorted([KEY.of(plate), *(each.text for each in others)])


@pytest.mark.parametrize("state", ["final", "withdrawn"])
def test_what_a_hit_names_keeps_its_plate(store: Store, clock: ManualClock, state: str) -> None:
    seen = [make_sighting(id=f"s{n}", text=f"30A0000{n}", evidence=()) for n in range(4)]
    hit = make_hit(sighting_id="s0", sighting_ids=("s1",), evidence=())
    store.append(seen, [hit])
    end_day(store, clock)
    store.append([], [msgspec.structs.replace(hit, revision=2, state=state, sighting_ids=("s1", "s2"))])
    end_day(store, clock)
    pseudonymise(store)
    assert [is_pseudonym(each.text) for each in map(store.sighting, ("s0", "s1", "s2", "s3")) if each] == [
        False,
        False,
        False,
        True,
    ]
    assert store.hits_of("s0")[0].state == state


def test_what_is_held_keeps_its_plate_until_it_is_released(tmp_path: Path, clock: ManualClock) -> None:
    with Box(tmp_path / "store", clock, RULES) as box:
        box.see(text="30A12345")
        box.see(text="51F99988")
        box.see(text="29C55566")
        hold(box.store, id="H1", record="v1")
        hold(box.store, id="H2", plate="51F*")
        box.live(4.0)
        assert [each.text for each in (box.store.sighting("v1"), box.store.sighting("v2")) if each] == [
            "30A12345",
            "51F99988",
        ]
        assert is_pseudonym(box.store.sighting("v3").text)  # type: ignore[union-attr]
        assert box.pictures() == 2
        with box.store.root.writing() as txn:
            drop_hold(txn, box.store.root.holds, "H2")
        box.live(1.0)
        assert box.store.sighting("v1").text == "30A12345"  # type: ignore[union-attr]
        assert is_pseudonym(box.store.sighting("v2").text)  # type: ignore[union-attr]
        assert box.pictures() == 1
        assert [(each.sightings, each.kept, each.rewritten[0]) for each in box.store.purges()] == [  # type: ignore[index]
            (1, 2, 1),
            (1, 1, 2),
        ]
        assert box.store.partitions.all[0].name.version == 2
        box.live(8.0)
        assert box.ids() == {"v1"}  # it is held, and the rest was purged when its time came
    finding = check(box.folder, clock=clock, pictures=True)
    assert finding.problems == []
    assert finding.counters.total("pictures_missing") == 0


def test_all_revisions_of_what_is_held_stay(store: Store, clock: ManualClock) -> None:
    store.append([make_sighting(id="a", revision=0, text="51F99980", evidence=())])
    store.append([make_sighting(id="b", revision=0, text="51F99981", evidence=())])
    store.append([make_sighting(id="a", revision=1, text="51F99988", evidence=())])
    end_day(store, clock)
    store.append([make_sighting(id="b", revision=1, text="51F99988", evidence=())])
    end_day(store, clock)

    def choose(txn: Any) -> Callable[[Event], bool]:
        return lambda event: isinstance(event.record, Sighting) and event.record.text == "51F99988"

    pseudonymise(store, choose=choose)
    assert store.partitions.all[0].name.version == 0
    pseudonymise(store)
    assert [is_pseudonym(event.record.text) for event in store.events()] == [True] * 3 + [False]  # type: ignore[union-attr]


def test_a_hold_or_a_hit_that_comes_meanwhile_has_its_plate_kept(store: Store, clock: ManualClock) -> None:
    store.append([make_sighting(id=f"s{n}", text=f"30A0000{n}", evidence=()) for n in range(3)])
    end_day(store, clock)
    came: list[str] = []

    def choose(txn: Any) -> Callable[[Event], bool]:
        holds = read_holds(txn, store.root.holds)
        return lambda event: holds.cover(event) or isinstance(event.record, Hit)

    slices = store.pseudonymise(store.partitions.all[0], choose=choose, reason="test", pseudonyms=KEY)
    for progress in slices:
        if progress.doing == "writing without plates" and not came:
            came.append("hit")
            store.append([], [make_hit(sighting_id="s0", evidence=())])
        elif progress.doing == "counting pictures" and len(came) == 1:
            came.append("hold")
            hold(store, id="H1", record="s1")
    assert came == ["hit", "hold"]
    assert [is_pseudonym(each.text) for each in map(store.sighting, ("s0", "s1", "s2")) if each] == [False, False, True]
    assert len(store.purges()) == 1


def test_a_picture_that_something_else_names_stays(store: Store, clock: ManualClock) -> None:
    shared, own, again = (store.evidence.put("plate", make_jpeg(name)) for name in ("shared", "own", "again"))
    store.append([make_sighting(id="a", evidence=(shared, own, again)), make_sighting(id="b", evidence=(shared,))])
    store.append([], [make_hit(sighting_id="b", evidence=(shared,))])
    end_day(store, clock)
    store.append([make_sighting(id="c", evidence=(again,))])
    pseudonymise(store)
    assert [store.evidence.has(each.sha256) for each in (shared, own, again)] == [True, False, True]
    assert store.purges()[0].pictures == 1


def test_the_day_that_is_written_to_is_refused(store: Store) -> None:
    store.append([make_sighting(evidence=())])
    with pytest.raises(StoreError, match="is still written to"):
        pseudonymise(store)


def test_an_unreadable_passage_has_no_pseudonym_and_keeps_its_reason(store: Store, clock: ManualClock) -> None:
    unreadable = make_sighting(text="", display="", kind="", raw="30A1", unreadable="too small", evidence=())
    store.append([unreadable])
    end_day(store, clock)
    pseudonymise(store)
    gone = msgspec.structs.replace(unreadable, raw="", alternatives=(), lattice=())
    assert store.sighting(unreadable.id) == gone
    assert sum(len(block.rows) for block in store.passages(from_seconds=0.0)) == 1


def test_what_cannot_be_read_is_emptied_but_for_hits(store: Store, clock: ManualClock) -> None:
    store.append([make_sighting(id=f"s{n}", text=f"30A0000{n}") for n in range(3)], [make_hit(sighting_id="other")])
    newest = store.partitions.all[0]
    with newest.writing() as txn:
        damaged_hit = (newest.row_at(txn, 4) or b"")[:-9]
        txn.put((2).to_bytes(8, "big"), b"\xc1 30A00001", db=newest.events)
        txn.put((4).to_bytes(8, "big"), damaged_hit, db=newest.events)
    end_day(store, clock)
    pseudonymise(store)
    assert (store.purges()[0].sightings, store.purges()[0].damaged) == (2, 1)
    with store.partitions.all[0].reading() as txn:
        assert store.partitions.all[0].row_at(txn, 2) == b""
        assert store.partitions.all[0].row_at(txn, 4) == damaged_hit
    assert store.last_seq == 4
    pseudonymise(store)
    assert len(store.purges()) == 1


def test_each_field_of_a_sighting_was_thought_of() -> None:
    """A new one may tell the plate: say here that it does not, or leave it out in `without_plate`."""
    empty = {"raw", "alternatives", "lattice", "evidence"}
    stays = {"id", "revision", "state", "site_id", "camera_id", "track", "kind", "probability", "lines", "colour"}
    stays |= {"province_code", "province", "province_before", "direction", "first_seconds", "seen_seconds"}
    stays |= {"last_seconds", "pts_seconds", "frames", "reads", "quad", "tainted", "unreadable", "pipeline", "models"}
    stays |= {"lane", "vehicle_class", "speed_kmh"}
    assert empty | stays | {"text", "display"} == set(Sighting.__struct_fields__)
    before = make_sighting(lane="2", speed_kmh=80.0)
    after = without_plate(before, KEY)
    assert all(not getattr(after, name) for name in empty)
    assert all(getattr(after, name) == getattr(before, name) for name in stays)


@pytest.mark.parametrize(("after_days", "days"), [(None, 9), (4, 4)])
def test_how_long_plates_are_kept(after_days: int | None, days: int) -> None:
    assert Retention(passages_days=9, pseudonymise_after_days=after_days).plates_days == days


# What others see of it


def test_searches_know_the_vehicle_again_and_no_pattern_finds_it(store: Store, clock: ManualClock) -> None:
    plates = ["30A12345", "30A12345", "51F99988", "29C55566"]
    seen = [
        make_sighting(id=f"{n:032x}", text=text, seen_seconds=clock.wall + n, camera_id=f"c{n}", province_code=text[:2])
        for n, text in enumerate(plates)
    ]
    store.append(seen, [make_hit(sighting_id=seen[3].id)])
    end_day(store, clock)
    pseudonymise(store)
    hidden = [KEY.of("51F99988"), KEY.of("30A12345"), KEY.of("30A12345")]
    for _ in range(2):  # by the indexes, then by the columns
        assert texts(store) == ["29C55566", *hidden]
        assert texts(store, plate="*") == ["29C55566", *hidden]
        assert texts(store, plate="30A*") == texts(store, plate="30A12345") == texts(store, plate="3?A12345") == []
        assert texts(store, plate="30A12344", edits=1) == []
        assert texts(store, plate="*5*") == ["29C55566"]
        assert texts(store, plate=hidden[1]) == texts(store, plate=hidden[1].lower()) == hidden[1:]
        assert texts(store, plate="30A-123.45", pseudonyms=(KEY,)) == hidden[1:]
        assert texts(store, plate="30A12344", edits=1, pseudonyms=(KEY,)) == hidden[1:]
        assert texts(store, plate="30A12346", edits=3) == texts(store, plate=hidden[1][1:11], edits=3) == []
        assert texts(store, plate="30A12345", pseudonyms=(Pseudonyms(bytes(32)),)) == []
        assert texts(store, plate="30A12345", pseudonyms=(Pseudonyms(bytes(32)), KEY), camera_id="c1") == hidden[1:2]
        assert texts(store, province="30") == hidden[1:]
        assert texts(store, camera_id="c0", kind="car") == hidden[2:]
        assert texts(store, list_name="stolen") == ["29C55566"]
        for pattern in (f"*{hidden[1][4:6]}*", f"?{hidden[1][1:5]}*", "?" * len(hidden[1])):  # of its own characters
            assert texts(store, plate=pattern) == texts(store, plate=pattern, camera_id="c0") == []
        store.make_columns()
    with pytest.raises(PlateError, match="by a whole plate"):
        store.search(Query(plate="30A*", pseudonyms=(KEY,)))
    with pytest.raises(PlateError, match="at most one edit"):
        store.search(Query(plate="30A12345", edits=2, pseudonyms=(KEY,)))
    assert Query(plate="30A12345", pseudonyms=(KEY,)).given == {
        "plate": "30A12345",
        "pseudonyms": KEY.fingerprint,
    }
    assert Query(plate="30A12345").given == {"plate": "30A12345"}


def test_the_memory_of_rules_does_not_take_a_pseudonym_for_a_plate(store: Store, clock: ManualClock) -> None:
    seen = [make_sighting(id=f"{n:032x}", text=f"30A0000{n}", seen_seconds=clock.wall + n) for n in range(3)]
    store.append(seen, [make_hit(sighting_id=seen[1].id)])
    end_day(store, clock)
    pseudonymise(store)
    store.append([make_sighting(id="f" * 32, text="51F99988", seen_seconds=clock.wall)])
    rows = [row for block in store.passages(from_seconds=0.0) for row in block.rows["plate"].tolist()]
    assert rows == [pack("30A00001"), pack("51F99988")]


def test_a_consumer_that_comes_late_has_the_pseudonym(store: Store, clock: ManualClock) -> None:
    before = store.append([make_sighting(text="30A12345")])
    store.append([], [make_hit(sighting_id="other")])
    end_day(store, clock)
    pseudonymise(store)
    (rest,) = store.outbox.read("rest", after_seq=0, limit=10)
    assert (rest.seq, rest.box, rest.epoch, rest.committed_seconds) == (
        before[0].seq,
        before[0].box,
        before[0].epoch,
        before[0].committed_seconds,
    )
    assert rest.record.text == KEY.of("30A12345")  # type: ignore[union-attr]
    assert [event.seq for event in store.outbox.read("hits", after_seq=0, limit=10)] == [2]


def test_a_new_revision_of_what_lost_its_plate_takes_its_place(store: Store, clock: ManualClock) -> None:
    store.append([make_sighting(id="a", text="30A12345")])
    end_day(store, clock)
    pseudonymise(store)
    assert store.append([make_sighting(id="a", text="30A12345")]) == ()
    store.append([make_sighting(id="a", revision=2, text="30A12346")])
    assert texts(store) == ["30A12346"]
    end_day(store, clock)
    pseudonymise(store, 0)  # nothing is left to be done
    pseudonymise(store, 1)
    assert texts(store) == [KEY.of("30A12346")]
    assert [each.number for each in store.purges()] == [1, 2]


# The key


def test_a_key_that_was_renamed_is_still_known_to_searches(tmp_path: Path, clock: ManualClock) -> None:
    with Box(tmp_path / "store", clock, RULES) as box:
        box.see()
        box.live(4.0)
        first = box.store.sighting("v1")
        (box.folder / SECRET).rename(box.folder / "pseudonym.2026.key_secret")
        box.see()
        box.live(4.0)
        second = box.store.sighting("v2")
        assert first is not None
        assert second is not None
        assert first.text != second.text
        keys = all_keys(box.folder)
        assert {key.of("30A12345") for key in keys} == {first.text, second.text}
        assert texts(box.store, plate="30A12345", pseudonyms=keys) == [second.text, first.text]
        assert [each.pseudonym_key for each in box.store.purges()] == [keys[1].fingerprint, keys[0].fingerprint]


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [("00" * 32, 0o640, "others may read"), ("00" * 31, 0o600, "damaged"), ("no hex", 0o600, "damaged")],
)
def test_a_bad_key_is_refused(tmp_path: Path, content: str, mode: int, problem: str) -> None:
    (tmp_path / SECRET).write_text(content)
    (tmp_path / SECRET).chmod(mode)
    with pytest.raises(StoreError, match=problem):
        present_key(tmp_path)
    with pytest.raises(StoreError, match=problem):
        all_keys(tmp_path)


def test_without_a_key_no_pseudonym_can_be_looked_for(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no key of pseudonyms"):
        all_keys(tmp_path)
