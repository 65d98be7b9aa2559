from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.testing import assert_array_equal

from anpr.clock import ManualClock
from anpr.records import Hit, Sighting
from anpr.store import Store
from anpr.store.chain import NO_END
from anpr.store.column_file import FILE, read
from anpr.store.columns import Columns
from anpr.store.partition import Name, Partition
from anpr.store.partitions import make
from anpr.store.signing import SigningKey
from bench import bus
from bench.store import ROWS_A_COMMIT, TABLES, Fleet, Writer, columns_of, hit_on, put

COUNT = 3 * ROWS_A_COMMIT - 1


def tables(partition: Partition) -> dict[str, list[tuple[bytes, bytes]]]:
    with partition.reading() as txn:
        return {name: list(txn.cursor(partition.table(name))) for name in TABLES}


def test_what_the_bench_writes_is_what_a_box_writes(tmp_path: Path) -> None:
    clock, fleet = ManualClock(), Fleet(5000)
    writer = Writer(fleet, np.random.default_rng(1))
    made = writer.events(fleet.day(0, COUNT), 1, range(COUNT))
    events = [msgspec.structs.replace(each, committed_seconds=clock.wall) for each in made]
    hits = [hit_on(events[0], COUNT + 1)]
    with Store.open(tmp_path / "box", clock=clock, box=bus.BOX) as store:
        for first in range(0, COUNT, ROWS_A_COMMIT):
            group = events[first : first + ROWS_A_COMMIT]
            store.append([each.record for each in group if isinstance(each.record, Sighting)])
        store.append([], [each.record for each in hits if isinstance(each.record, Hit)])
        (partition,) = store.partitions.all
        key = SigningKey.open(tmp_path / "box")
        bulk = make(tmp_path / "bulk", Name(partition.day, 1), chain=NO_END, map_size_bytes=1 << 30, durable=False)
        put(bulk, events, key)
        put(bulk, hits, key)
        assert tables(bulk) == tables(partition)
        bulk.environment.close()


def test_columns_of_the_light_store_are_those_of_its_rows(tmp_path: Path) -> None:
    clock, fleet = ManualClock(), Fleet(5000)
    day = fleet.day(0, COUNT)
    writer = Writer(fleet, np.random.default_rng(1))
    with Store.open(tmp_path, clock=clock, box=bus.BOX) as store:
        store.append([each.record for each in writer.events(day, 1, range(COUNT))])  # type: ignore[misc]
        clock.advance(86_400.0)
        store.append([bus.sighting(0)])
        assert store.make_columns()
    (file,) = tmp_path.glob(f"days/*/{FILE}")
    gathered, made = read(file, state=None), columns_of(day, fleet, 1)
    assert isinstance(gathered, Columns)
    for name in ("seen", "seqs", "plate_of", "by_plate", "starts", "codes"):
        assert_array_equal(getattr(gathered, name), getattr(made, name))
    for row in range(COUNT):
        look, made_look = (each.looks[int(each.look_of[row])] for each in (gathered, made))
        read_at_all = made.codes[made.plate_of[row]] != 0
        assert look == made_look or (not read_at_all and look == made_look._replace(kind="", province_code=""))
