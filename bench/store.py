"""How fast is a plate found among many sightings, how fast are they made durable, and how many bytes do they take?

Two stores are made, each of 30 days, with a fleet whose vehicles come again: some each day, many once. The *whole* one
has every row, index and signature, written as the box writes them but for the syncing of each commit; it says how many
bytes a sighting takes. The *light* one is as large as a busy centre's, on a disk that has no room for that: it has the
columns of all its sightings, which are what is searched, and the rows of those that the questions find. Questions are
asked warm, of a page of 50: for a plate as a whole, by its beginning, its end, its middle, with single characters left
open, with one character off, within two and three edits (`_none`: where there is no such plate). The figure of each
kind is its p95, `wildcard_page_ms` that of the slowest up to one character off. Beside the time that passed stands how
long the processor worked on it: on a machine that does other things meanwhile, the first says little.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from anpr.clock import SystemClock
from anpr.ops.plate_codes import BITS, decode, encode
from anpr.records import Event, Hit, Sighting
from anpr.store import Query, Store, column_file
from anpr.store.batch import Batch
from anpr.store.chain import NO_END
from anpr.store.columns import Columns, arrange
from anpr.store.finder import state_of
from anpr.store.partition import Name, Partition, id_key
from anpr.store.partitions import DAYS, make
from anpr.store.query import Look, Question
from anpr.store.root import MAP_SIZE_BYTES
from anpr.store.rows import encode_row
from anpr.store.scanning import scan
from anpr.store.signing import SigningKey
from bench import bus, report

FIRST_DAY = date(2026, 6, 1)
FIRST_SECONDS = 1_780_246_800.0
"""Its beginning in Viet Nam."""
DAY_SECONDS = 86_400.0
DAY_COUNT = 30
PASSAGES_A_VEHICLE = 33
"""In all days, in the mean."""
UNREAD_SHARE = 0.03
MISREAD_SHARE = 0.015
CAMERAS = 200
PROVINCES = tuple(
    str(code) for code in (51, 50, 59, 29, 30, 60, 61, 43, 15, 14, 36, 37, 38, 34, 98, 99, 88, 72, 65, 70)
)
"""The most frequent first."""
LETTERS = "AABBCCDEFGHKLMN"
TYPES = (("car", "white"), ("car", "yellow"), ("car", "blue"), ("military", "red"))
TYPE_SHARES = (0.8, 0.18, 0.015, 0.005)
DIRECTIONS = ("approaching", "receding")
HIT_EVERY = 500
ROWS_A_COMMIT = 64
COMMITS_AT_ONCE = 100
BYTES_A_SIGHTING = 2300
"""That a whole store may take, for the question whether there is room."""
TABLES = (
    *("events", "ids", "hits", "plates", "times", "cameras", "gaps", "passages", "hit_times", "hit_log"),
    *("links", "seals", "superseded"),
)
ASKED = 40
"""Questions of each kind, each asked ROUNDS times."""
ROUNDS = 3


class Day(NamedTuple):
    """What is seen in a day, by rising time."""

    seen: NDArray[np.float64]
    codes: NDArray[np.int64]
    looks: NDArray[np.uint32]


class Fleet:
    """Vehicles that come again."""

    def __init__(self, passages: int, *, seed: int = 20260601) -> None:
        self._random = np.random.default_rng(seed)
        count = max(100, passages // PASSAGES_A_VEHICLE)
        provinces = np.array([encode(each) for each in PROVINCES], np.int64)
        weights = 1.0 / np.arange(2, len(provinces) + 2)
        codes = self._random.choice(provinces, count, p=weights / weights.sum())
        letters = np.array([encode(each) for each in LETTERS], np.int64)
        codes = codes << BITS | self._random.choice(letters, count)
        digits = self._random.integers(0, 10, (5, count))
        for row in digits:
            codes = codes << BITS | (row + 1)
        self.codes = codes
        self.types = self._random.choice(len(TYPES), count, p=TYPE_SHARES).astype(np.uint32)
        self.looks = tuple(
            Look(f"camera-{camera:03}", kind, colour, direction, "=")
            for camera in range(CAMERAS)
            for kind, colour in TYPES
            for direction in DIRECTIONS
        )

    def vehicles(self, count: int) -> NDArray[np.int64]:
        """Vehicles that pass: a few come daily, many rarely."""
        return (len(self.codes) * self._random.random(count) ** 2).astype(np.int64)

    def day(self, number: int, count: int) -> Day:
        """What is seen in a day."""
        vehicles = self.vehicles(count)
        codes = self.codes[vehicles]
        misread = np.flatnonzero(self._random.random(count) < MISREAD_SHARE)
        place = self._random.integers(0, 5, len(misread)) * BITS
        codes[misread] &= ~(np.int64(63) << place)
        codes[misread] |= self._random.integers(1, 11, len(misread)) << place
        looks = self._random.integers(0, CAMERAS, count, dtype=np.uint32) * np.uint32(len(TYPES))
        looks = (looks + self.types[vehicles]) * np.uint32(2) + self._random.integers(0, 2, count, dtype=np.uint32)
        codes[self._random.random(count) < UNREAD_SHARE] = 0
        # Milliseconds, busiest in the morning and the evening.
        hours = self._random.choice(24, count, p=_HOURS) + self._random.random(count)
        seen = np.sort(np.round(FIRST_SECONDS + number * DAY_SECONDS + hours * 3600.0, 3))
        return Day(seen, codes, looks)


_HOURS = np.array([1, 1, 1, 1, 2, 4, 7, 8, 7, 6, 5, 5, 4, 5, 5, 6, 7, 8, 7, 5, 4, 3, 2, 1], float)
_HOURS /= _HOURS.sum()


@dataclass(slots=True)
class Writer:
    """Makes the rows."""

    fleet: Fleet
    random: np.random.Generator

    def sighting(self, seq: int, seen: float, code: int, look: Look) -> Sighting:
        """As a camera gives it: mostly clear, with two pictures."""
        text = decode(code)
        doubt = self.random.random(3 + len(text)).tolist()
        pictures = self.random.bytes(64).hex()
        base = bus.sighting(seq)
        return msgspec.structs.replace(
            base,
            id=self.random.bytes(16).hex(),
            camera_id=look.camera_id,
            text=text,
            raw=text,
            display=f"{text[:3]}-{text[3:6]}.{text[6:]}" if text else "",
            kind=look.kind if text else "",
            colour=look.colour,
            direction=look.direction,
            province_code=text[:2],
            province="Hà Nội" if text else "",
            province_before="Hà Nội" if text else "",
            unreadable="" if text else "too blurred",
            probability=1 - 0.05 * doubt[0] if text else 0.0,
            alternatives=((text, 1 - 0.05 * doubt[0]), (f"{text[:-1]}8", 0.01 * doubt[1])) if text else (),
            lattice=tuple(
                ((character, 1 - 0.1 * each), ("8", 0.1 * each)) if each > 0.8 else ((character, 1 - 0.01 * each),)
                for character, each in zip(text, doubt[3:])
            ),
            first_seconds=seen - 0.4,
            seen_seconds=seen,
            last_seconds=seen + 0.4,
            pts_seconds=seen - FIRST_SECONDS,
            evidence=tuple(
                msgspec.structs.replace(each, sha256=pictures[64 * place : 64 * place + 64])
                for place, each in enumerate(base.evidence)
            ),
        )

    def events(self, day: Day, first_seq: int, rows: Sequence[int]) -> Iterator[Event]:
        """The passages of a day with the numbers of their events; now and then one that is on a list."""
        for row in rows:
            seq = first_seq + row
            seen, look = float(day.seen[row]), self.fleet.looks[int(day.looks[row])]
            sighting = self.sighting(seq, seen, int(day.codes[row]), look)
            yield Event(box=bus.BOX, epoch=1, seq=seq, committed_seconds=seen, record=sighting)


def hit_on(event: Event, seq: int) -> Event:
    """What a list says of a sighting."""
    sighting = event.record
    assert isinstance(sighting, Sighting)
    hit: Hit = msgspec.structs.replace(
        bus.hit(seq),
        sighting_id=sighting.id,
        camera_id=sighting.camera_id,
        seen_seconds=sighting.seen_seconds,
        text=sighting.text,
        listed=sighting.text,
        list_name="stolen" if seq % 20 == 0 else "toll debts",
        evidence=sighting.evidence,
    )
    return Event(box=bus.BOX, epoch=1, seq=seq, committed_seconds=event.committed_seconds, record=hit)


# Making stores


def fill_whole(path: Path, fleet: Fleet, count: int) -> None:
    """A store with all rows of `count` sightings."""
    with Store.open(path, clock=SystemClock(), box=bus.BOX):
        pass
    key = SigningKey.open(path)
    writer = Writer(fleet, np.random.default_rng(1))
    seq, chain = 1, NO_END
    for number in range(DAY_COUNT):
        day = fleet.day(number, count // DAY_COUNT)
        name = Name(FIRST_DAY + timedelta(days=number), seq)
        partition = make(path / DAYS / str(name), name, chain=chain, map_size_bytes=MAP_SIZE_BYTES, durable=False)
        rows = range(len(day.seen))
        raised: list[Event] = []
        for first in range(0, len(rows), ROWS_A_COMMIT * COMMITS_AT_ONCE):
            events = list(writer.events(day, seq, rows[first : first + ROWS_A_COMMIT * COMMITS_AT_ONCE]))
            raised += [event for event in events if event.seq % HIT_EVERY == 0]
            put(partition, events, key)
        seq += len(rows)
        put(partition, [hit_on(event, seq + place) for place, event in enumerate(raised)], key)
        seq += len(raised)
        with partition.reading() as txn:
            assert partition.chain is not None
            chain = partition.chain.end(txn)
        partition.environment.handle.sync(True)
        partition.environment.close()


def put(partition: Partition, events: Sequence[Event], key: SigningKey) -> None:
    """Write events as `Store.append` does, some commits' worth of them at once, and not synced."""
    assert partition.chain is not None
    with partition.writing() as txn:
        for first in range(0, len(events), ROWS_A_COMMIT):
            batch = Batch(partition, txn)
            for event in events[first : first + ROWS_A_COMMIT]:
                batch.add(event, encode_row(event), key=id_key(event.record))
            batch.write(signed_by=key)


def fill_light(path: Path, fleet: Fleet, count: int, asked: Sequence[Query]) -> None:
    """A store with the columns of `count` sightings, and the rows that may answer what is asked."""
    with Store.open(path, clock=SystemClock(), box=bus.BOX):
        pass
    key = SigningKey.open(path)
    writer = Writer(fleet, np.random.default_rng(1))
    questions = [Question(query) for query in asked]
    seq = 1
    for number in range(DAY_COUNT + 1):  # the last is open, and nearly empty
        day = fleet.day(number, count // DAY_COUNT if number < DAY_COUNT else 100)
        name = Name(FIRST_DAY + timedelta(days=number), seq)
        partition = make(path / DAYS / str(name), name, chain=NO_END, map_size_bytes=MAP_SIZE_BYTES, durable=False)
        columns = columns_of(day, fleet, seq)
        rows = set(range(len(day.seen) - 100, len(day.seen)))
        for question in questions:
            for at, _ in zip(scan(columns, question, low=question.low, high=question.high), range(question.wanted)):
                rows.add(columns.row_of(at))
        put(partition, list(writer.events(day, seq, sorted(rows))), key)
        partition.environment.handle.sync(True)
        if number < DAY_COUNT:
            column_file.write(columns, partition.path / column_file.FILE, state=state_of(partition))
        partition.environment.close()
        seq += len(day.seen)


def columns_of(day: Day, fleet: Fleet, first_seq: int) -> Columns:
    """What `columns.gather` would make of a day's rows."""
    stamps = np.empty((len(day.seen), 2), np.uint64)
    stamps[:, 0] = day.seen.view(np.uint64) | np.uint64(1 << 63)  # as keys.pack_seconds does with what is not negative
    stamps[:, 1] = np.arange(first_seq, first_seq + len(day.seen))
    last_seq = first_seq + len(day.seen) - 1
    return arrange(stamps, day.codes, day.looks, known=fleet.looks, odd=(), first_seq=first_seq, last_seq=last_seq)


# Asking


def questions(fleet: Fleet) -> dict[str, list[Query]]:
    """What is asked, by its kind: of vehicles as they come."""
    plates = [decode(int(fleet.codes[vehicle])) for vehicle in fleet.vehicles(ASKED).tolist()]
    return {
        "exact": [Query(plate=plate) for plate in plates],
        "beginning": [Query(plate=f"{plate[:5]}*") for plate in plates],
        "end": [Query(plate=f"*{plate[3:]}") for plate in plates],
        "middle": [Query(plate=f"*{plate[2:7]}*") for plate in plates],
        "single": [Query(plate=f"{plate[0]}?{plate[2:4]}??{plate[6:]}") for plate in plates],
        "one_off": [Query(plate=plate, edits=1) for plate in plates],
        "two_edits": [Query(plate=plate, edits=2) for plate in plates],
        "two_edits_none": [Query(plate=f"ZZZ{plate[3:]}", edits=2) for plate in plates],
        "three_edits": [Query(plate=plate, edits=3) for plate in plates],
        "alike": [Query(plate=plate, near="alike") for plate in plates],
        "none": [Query(plate=f"*{letter}?Q*{digit}") for letter in "XYZR" for digit in range(10)],
        "common": [Query(plate=f"*{plate[-1]}*") for plate in plates],
    }


def filters(fleet: Fleet) -> list[Query]:
    """Questions with several conditions."""
    asked = [
        Query(province="Bắc Giang", colour="yellow", direction="receding"),
        Query(kind="military", camera_id="camera-007"),
        Query(plate="*99", province="Hà Nội", camera_id="camera-123"),
        Query(list_name="stolen"),
        Query(list_name="stolen", province="Hải Phòng"),
    ]
    return asked * (ASKED // len(asked))


def measure(store: Store, queries: Sequence[Query]) -> tuple[list[float], list[float]]:
    """Seconds that each answer took, warm; and how long the processor worked on it."""
    for query in queries:
        store.search(query)
    taken, worked = [], []
    for _ in range(ROUNDS):
        for query in queries:
            began, worked_before = time.perf_counter(), time.thread_time()
            store.search(query)
            worked.append(time.thread_time() - worked_before)
            taken.append(time.perf_counter() - began)
    return taken, worked


def bytes_by_table(path: Path) -> dict[str, int]:
    """Of all partitions: what each table takes, and the columns."""
    taken: dict[str, int] = {}
    with Store.open(path, clock=SystemClock(), read_only=True) as store:
        for partition in store.partitions.all:
            with partition.reading() as txn:
                for name in TABLES:
                    stat = txn.stat(partition.table(name))
                    pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
                    taken[name] = taken.get(name, 0) + pages * stat["psize"]
        files = path.glob(f"{DAYS}/*/{column_file.FILE}")
        taken["columns"] = sum(file.stat().st_size for file in files)
    return taken


def p95(seconds: Sequence[float]) -> float:
    """Milliseconds."""
    return bus.percentile(seconds, 0.95) * 1000


WILD = ("beginning", "end", "middle", "single", "one_off", "alike", "none", "common")


def ask(path: Path, asked: dict[str, list[Query]], prefix: str, figures: dict[str, float]) -> list[list[object]]:
    """Ask a store all questions; rows of a table."""
    rows: list[list[object]] = []
    slowest: dict[str, float] = {}
    work: dict[str, float] = {}
    with Store.open(path, clock=SystemClock(), read_only=True) as store:
        for kind, queries in asked.items():
            taken, worked = measure(store, queries)
            found = statistics.mean(len(store.search(query).sightings) for query in queries[:10])
            rows.append([kind, found, statistics.median(taken) * 1000, p95(taken), p95(worked)])
            slowest[kind], work[kind] = p95(taken), p95(worked)
            figures[f"{prefix}{kind}_ms"] = slowest[kind]
    figures[f"{prefix}exact_lookup_ms"] = slowest["exact"]
    figures[f"{prefix}exact_lookup_cpu_ms"] = work["exact"]
    figures[f"{prefix}wildcard_page_ms"] = max(slowest[kind] for kind in WILD)
    figures[f"{prefix}wildcard_page_cpu_ms"] = max(work[kind] for kind in WILD)
    return rows


COLUMNS = ("question", "found", "p50 ms", "p95 ms", "p95 processor ms")


def measure_whole(folder: Path, count: int, figures: dict[str, float]) -> None:
    """A store with all that belongs to a sighting."""
    path = folder / "whole"
    fleet = Fleet(count)
    began = time.perf_counter()
    fill_whole(path, fleet, count)
    figures["sightings"] = count // DAY_COUNT * DAY_COUNT
    figures["filled_per_s"] = count / (time.perf_counter() - began)
    began = time.perf_counter()
    with Store.open(path, clock=SystemClock(), read_only=True) as store:
        while store.make_columns():
            pass
    figures["columns_s_per_million"] = (time.perf_counter() - began) * 1e6 / count
    tables = bytes_by_table(path)
    report.show(
        "bytes a sighting takes, with its indexes, its part of the chain of evidence, and hits; without pictures",
        ["table", "bytes"],
        [[name, taken / count] for name, taken in sorted(tables.items(), key=lambda each: -each[1])],
    )
    data = sum(file.stat().st_blocks * 512 for file in path.glob(f"{DAYS}/*/data.mdb"))
    figures["bytes_per_sighting"] = (data + tables["columns"]) / count
    figures["columns_bytes_per_sighting"] = tables["columns"] / count
    asked = {**questions(fleet), "filtered": filters(fleet)}
    rows = ask(path, asked, "", figures)
    report.show(f"whole store of {count:,} sightings", COLUMNS, rows)
    shutil.rmtree(path)


def measure_light(folder: Path, count: int, figures: dict[str, float]) -> None:
    """A store with the columns of many sightings."""
    path = folder / "light"
    fleet = Fleet(count)
    asked = questions(fleet)
    began = time.perf_counter()
    fill_light(path, fleet, count, [query for queries in asked.values() for query in queries])
    figures["light_sightings"] = count // DAY_COUNT * DAY_COUNT
    figures["light_filled_s"] = time.perf_counter() - began
    rows = ask(path, asked, "light_", figures)
    report.show(f"light store of {count:,} sightings of {len(fleet.codes):,} vehicles", COLUMNS, rows)
    shutil.rmtree(path)


def main() -> int:
    """Measure and print."""
    parser = report.parser(__doc__)
    parser.add_argument("--folder", type=Path, help="on the disk that shall be measured (default: the system's own)")
    parser.add_argument("--sightings", type=int, help="in the whole store (default: 1,000,000)")
    parser.add_argument("--light", type=int, help="in the light store (default: 100,000,000); 0: none")
    parser.add_argument("--full", action="store_true", help="100,000,000 in the whole store: hours, and 230 GB of disk")
    arguments = parser.parse_args()
    usual = (6_000, 120_000) if arguments.quick else (1_000_000, 100_000_000)
    whole = 100_000_000 if arguments.full else usual[0] if arguments.sightings is None else arguments.sightings
    light = usual[1] if arguments.light is None else arguments.light
    figures: dict[str, float] = {"load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory(prefix="anpr-bench-", dir=arguments.folder) as name:
        folder = Path(name)
        free = shutil.disk_usage(folder).free
        if free < whole * BYTES_A_SIGHTING:
            parser.error(f"{whole:,} sightings need {whole * BYTES_A_SIGHTING:,} bytes of disk, {free:,} are free")
        measure_whole(folder, whole, figures)
        if light:
            measure_light(folder, light, figures)
        appended = 20 if arguments.quick else 300
        rates = [bus.append_rate(appended * bus.COMMIT, folder / f"append-{number}") for number in range(3)]
        figures["appends_per_s"] = statistics.median(rates)
    print(f"durable: {figures['appends_per_s']:,.0f} sightings/s in commits of {bus.COMMIT}")
    report.finish("store", figures, as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
