from __future__ import annotations

import math
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making_records import GAPS, HITS, SIGHTINGS, make_gap, make_hit, make_sighting

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.ops.passages import Traits, id_bytes, traits_of
from anpr.plates.packed import pack
from anpr.records import CoverageGap, Event, Hit, Record, Sighting
from anpr.store import Store
from anpr.store.environment import put_all
from anpr.store.keys import pack_seconds, pack_seq, stamp
from anpr.store.passages import FIXED_BYTES, encode_passage
from anpr.store.rows import decode_found_by, decode_row, encode_row, kind_of
from anpr.store.staying import DAY_SECONDS

# Few values, so that revisions of the same records meet in one group, and share keys or not.
_FEW_IDS = st.sampled_from(["a", "b", "c"])
_FEW_REVISIONS = st.integers(0, 3)
_FEW_TIMES = st.sampled_from([0.0, 5.5, 1_767_225_600.5])
_FEW_STATES = st.sampled_from(["preview", "final", "withdrawn"])
_RECORDS = st.lists(
    st.one_of(
        st.builds(
            make_sighting,
            id=_FEW_IDS,
            revision=_FEW_REVISIONS,
            state=_FEW_STATES,
            camera_id=st.sampled_from(["gate-1", "gate-2"]),
            text=st.sampled_from(["30A12345", "30A12346", "", "THIS IS NO PLATE"]),
            seen_seconds=_FEW_TIMES,
            evidence=st.sampled_from([(), make_sighting().evidence]),
        ),
        st.builds(
            make_hit,
            id=_FEW_IDS,
            revision=_FEW_REVISIONS,
            state=_FEW_STATES,
            sighting_id=_FEW_IDS,
            seen_seconds=_FEW_TIMES,
        ),
        st.builds(make_gap, id=_FEW_IDS, revision=_FEW_REVISIONS, from_seconds=_FEW_TIMES),
    ),
    max_size=10,
)


def append(store: Store, records: list[Record]) -> tuple[Event, ...]:
    return store.append(
        [record for record in records if isinstance(record, Sighting)],
        [record for record in records if isinstance(record, Hit)],
        [record for record in records if isinstance(record, CoverageGap)],
    )


def tables(store: Store) -> list[dict[bytes, list[tuple[bytes, bytes]]]]:
    """All that the partitions hold but for the seals: of those there is one a commit."""
    found = []
    for partition in store.partitions.all:
        handle = partition.environment.handle
        with partition.reading() as txn:
            names = [name for name in txn.cursor().iternext(values=False) if name != b"seals"]
        opened = {name: handle.open_db(name, create=False) for name in names}
        with partition.reading() as txn:
            found.append({name: list(txn.cursor(table)) for name, table in opened.items()})
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=st.lists(st.tuples(_RECORDS, st.booleans()), max_size=4))
def test_a_group_is_stored_as_its_records_one_by_one(memory: Path, groups: list[tuple[list[Record], bool]]) -> None:
    """Also if a day passes between two groups, so that revisions replace what lies in an older partition."""
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        clock = ManualClock()
        with Store.open(f"{folder}/a", clock=clock) as whole, Store.open(f"{folder}/b", clock=clock) as single:
            for records, a_day_passes in groups:
                events = append(whole, records)
                ordered = sorted(records, key=lambda record: (Sighting, Hit, CoverageGap).index(type(record)))
                assert events == tuple(event for record in ordered for event in append(single, [record]))
                clock.advance(DAY_SECONDS if a_day_passes else 1.0)
            assert tables(whole) == tables(single)
            assert whole.counters.counts == single.counters.counts
            assert whole.not_indexed(whole.events()) == []
            for store in (whole, single):
                for event in store.events():
                    if not isinstance(event.record, CoverageGap) and event.record.evidence:
                        row = encode_row(event)
                        place = store.partitions.of_seq(event.seq)
                        assert place is not None
                        assert place.chain is not None
                        with place.reading() as txn:
                            proof = place.chain.proof(txn, event.seq)
                        assert proof is not None
                        assert proof.holds_for(row)


@given(st.one_of(SIGHTINGS, HITS, GAPS), st.integers(0, 2**40), st.floats(0, 4e9))
def test_a_row_is_messagepack_of_its_parts(record: Record, epoch: int, committed_seconds: float) -> None:
    event = Event(box="box-1", epoch=epoch, seq=7, committed_seconds=committed_seconds, record=record)
    row = encode_row(event)
    assert row == msgspec.msgpack.encode([kind_of(record), "box-1", epoch, committed_seconds, record])
    assert decode_row(7, row) == event
    found_by = decode_found_by(row)
    for name in found_by.__struct_fields__:
        assert getattr(found_by, name) == getattr(record, name)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**64 - 1))
def test_a_stamp_is_a_time_and_a_number(seconds: float, seq: int) -> None:
    assert stamp(seconds, seq) == pack_seconds(seconds) + pack_seq(seq)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf])
def test_no_stamp_is_made_of_what_is_no_time(seconds: float) -> None:
    with pytest.raises(StoreError, match="cannot be stored"):
        stamp(seconds, 1)


@given(SIGHTINGS)
def test_the_index_for_memory_holds_what_memory_keeps(sighting: Sighting) -> None:
    value, plate = encode_passage(sighting), pack(sighting.text)
    identity, short = id_bytes(sighting.id)
    assert (value is None) == (plate is None or identity is None)
    if value is not None and plate is not None:
        assert value[:24] == (identity or b"") + pack_seq(plate)
        assert value[24:28] == round(sighting.probability * 1e6).to_bytes(4, "big")
        told = msgspec.msgpack.decode(value[FIXED_BYTES:], type=Traits)
        assert told == Traits._make(traits_of(sighting, short_id=short))


def test_what_must_come_last_and_does_not_is_refused(store: Store) -> None:
    store.append([make_sighting()])
    partition = store.partitions.newest
    assert partition is not None
    with pytest.raises(StoreError, match="not the last"), partition.writing() as txn:
        put_all(txn, partition.events, [(pack_seq(1), b"another")], append=True)
    assert store.sighting("s-1") == make_sighting()
