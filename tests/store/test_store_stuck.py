"""A file whose commit failed at its last write is opened anew; what killed readers held is given back."""

import subprocess
import sys
from pathlib import Path

import lmdb
import pytest
from failing_writes import last_write_fails
from making_records import make_sighting

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.store import Store

READER = """
import lmdb, sys, time
environment = lmdb.open(sys.argv[1], readonly=True, max_dbs=48)
transaction = environment.begin()
print("reading", flush=True)
time.sleep(1000)
"""


def test_a_partition_whose_last_write_failed_is_opened_anew_and_nothing_is_lost(tmp_path: Path) -> None:
    with Store.open(tmp_path, clock=ManualClock()) as store:
        store.append([make_sighting(id="s-1")])
        newest = store.partitions.newest
        assert newest is not None
        with last_write_fails(newest.path):
            with pytest.raises(StoreError):
                store.append([make_sighting(id="s-2")])
        with pytest.raises(StoreError, match="an earlier write failed"):
            store.append([make_sighting(id="s-2")])
        (event,) = store.append([make_sighting(id="s-2")])
        assert event.seq == 2
        assert [event.record.id for event in store.events()] == ["s-1", "s-2"]
        assert not store.stuck
    with Store.open(tmp_path, clock=ManualClock(), read_only=True) as store:
        assert store.last_seq == 2


def test_a_root_whose_last_write_failed_says_that_only_a_new_start_helps(tmp_path: Path) -> None:
    with Store.open(tmp_path, clock=ManualClock()) as store:
        store.append([make_sighting(id="s-1")])
        with last_write_fails(tmp_path), pytest.raises(StoreError):
            store.mark_alive()
        with pytest.raises(StoreError, match="an earlier write failed"):
            store.mark_alive()
        assert store.stuck
        assert store.append([make_sighting(id="s-2")])
    with Store.open(tmp_path, clock=ManualClock()) as store:
        store.mark_alive()
        assert (store.stuck, store.last_seq) == (False, 2)


def test_what_a_killed_reader_held_is_given_back_with_the_next_sign_of_life(tmp_path: Path) -> None:
    with Store.open(tmp_path, clock=ManualClock()) as store:
        store.append([make_sighting(id="s-1")])
        newest = store.partitions.newest
        assert newest is not None
        command = [sys.executable, "-c", READER, str(newest.path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "reading\n"
            reader.kill()
        handle: lmdb.Environment = newest.environment.handle
        assert str(reader.pid) in handle.readers()
        store.mark_alive()
        assert str(reader.pid) not in handle.readers()
