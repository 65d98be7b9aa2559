"""How many sightings a second do the lists and all shipped rules judge, with two weeks of traffic in memory?

The road has 20 cameras at 10 kilometre posts, each passed by 15,000 vehicles a day: half of the trips are made by
20,000 regulars, the rest by 700,000 others, so that the usual plate in the stream was seen some dozens of times before.
The memory holds 14 days of it, the list a million plates and a thousand wildcards, the declarations and the register
20,000 and 200,000 plates; the zones of the shipped rules lie on this road and hold today, so that every rule has work.

Timed is one process and one core, for each sighting of the next day from its tuples to its hits: matching the list by
its lattice, all rules, and remembering it; in the processor's time, so that what else the machine does is left out.
Sightings come up to 3 s out of order, and two in a hundred are unreadable. Not in it: the commit to disk.
`stored_sightings_per_s` is the same through the hub with its group commits, each fsynced, by the clock on the wall.
`rebuild_s_per_million` is reading the memory back from a store, as after a restart, in the processor's time.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anpr import assets
from anpr.clock import SystemClock
from anpr.config.times import write_moment
from anpr.engine.hub import MATCHED_AT_ONCE, Hub
from anpr.engine.judge import Judge
from anpr.engine.messages import Passage
from anpr.log import configure
from anpr.ops.passages import ROW, Traits
from anpr.plates.grammar import readings
from anpr.plates.packed import pack
from anpr.records import ALPHABET, Sighting
from anpr.rules.book import RuleBook
from anpr.rules.declarations import Declaration, Declarations
from anpr.rules.history import HotHistory
from anpr.rules.load import load_rules
from anpr.rules.lookups import Lookups
from anpr.rules.places import Place, Places
from anpr.store import Store
from anpr.watch.hits import find_matches, raise_hit
from anpr.watch.lists import WatchList
from anpr.watch.matcher import Matcher
from anpr.watch.table import NONE, Entries, Texts
from bench import report
from bench.matching import draw_patterns, draw_plates, draw_reads

DAY_SECONDS = 86_400.0
PER_CAMERA_AND_DAY = 15_000
POSTS_KM = tuple(range(3, 63, 6))
CAMERAS = tuple(f"km{km}-{bound}" for bound in ("in", "out") for km in POSTS_KM)
REGULARS, OTHERS = 20_000, 700_000
BEGIN_SECONDS = 1_791_000_000.0
"""October 2026."""
LATENESS_SECONDS = 30.0
Trips = tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]
"""Seconds since the beginning, camera and vehicle of every passage, in the order of time."""
ZONES = """
[[zones]]
name = "epidemic"
vi = "vùng dịch"
en = "epidemic zone"
[[zones.periods]]
provinces_before = ["Bắc Giang", "Bắc Ninh"]
sites = ["viet-yen"]
[[zones]]
name = "gates"
vi = "cửa ngõ"
en = "gates"
[[zones.periods]]
sites = ["ct07-km3", "ct07-km57"]
[[zones]]
name = "closed"
vi = "khu vực phong tỏa"
en = "closed area"
[[zones.periods]]
sites = ["yen-binh"]
[[zones]]
name = "expressway"
vi = "cao tốc"
en = "expressway"
[[zones.periods]]
sites = [{sites}]
[[zones]]
name = "curfew"
vi = "đoạn cấm"
en = "curfew"
[[zones.periods]]
sites = ["ct07-km9"]
"""


@dataclass(frozen=True, slots=True)
class Afterwards(SystemClock):
    """The machine's clocks, set to when all these passages are over: a live box asks what has passed by its clock."""

    ahead_seconds: float

    def wall_seconds(self) -> float:
        return time.time() + self.ahead_seconds


def main() -> None:
    """Parse the options, run, print."""
    options = report.parser(__doc__).parse_args()
    configure(level="error", as_json=True)
    days, listed, stream, stored = (0.2, 20_000, 1500, 500) if options.quick else (14.0, 1_000_000, 40_000, 10_000)
    rng = np.random.default_rng(1)
    pool = draw_plates(REGULARS + OTHERS, rng)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="anpr-bench-") as folder, Store.open(folder, clock=SystemClock()) as store:
        matcher = matcher_of(listed, rng)
        book = book_of(Path(folder), pool, rng)
        clock = Afterwards(BEGIN_SECONDS + 2 * DAY_SECONDS - time.time())
        judge = Judge(book, store, lateness_seconds=LATENESS_SECONDS, clock=clock)
        count = 500 + stream + stored
        seen, camera, vehicle = trips(days + 2 * count / (PER_CAMERA_AND_DAY * len(CAMERAS)) + 0.1, rng)
        seen -= days * DAY_SECONDS
        now = int(np.searchsorted(seen, 0.0))
        rows = memory_of((seen[:now], camera[:now], vehicle[:now]), pool, rng)
        began = time.perf_counter()
        judge.history.load(*rows)
        figures["passages"] = float(judge.history.passages)
        figures["plates"] = float(judge.history.plates)
        figures["fill_s"] = time.perf_counter() - began
        del rows
        sightings = sightings_of((seen[now:], camera[now:], vehicle[now:]), count, pool, rng)
        gc.collect()
        gc.freeze()
        judge_all(matcher, judge, sightings[:500])  # compiles what is compiled, fills caches
        microseconds = judge_all(matcher, judge, sightings[500 : 500 + stream])
        figures |= {
            "sightings_per_s": len(microseconds) / microseconds.sum() * 1e6,
            "p50_us": float(np.median(microseconds)),
            "p99_ms": float(np.percentile(microseconds, 99)) / 1e3,
            "max_ms": float(microseconds.max()) / 1e3,
            "hits_per_1000": judge.counters.total("rule_hits") / stream * 1000,
            "judged_again_per_1000": judge.counters.total("passages_judged_again") / stream * 1000,
            "rss_mb": rss_mb(),
        }
        began = time.perf_counter()
        store_all(Hub(store, matcher, None, clock=clock, judge=judge), sightings[500 + stream :])
        figures["stored_sightings_per_s"] = stored / (time.perf_counter() - began)
        again = HotHistory(keep_seconds=judge.history.keep_seconds)
        began = time.process_time()
        for block in store.passages(from_seconds=0.0):
            again.load(block.rows, block.traits)
        figures["rebuild_s_per_million"] = (time.process_time() - began) / again.passages * 1e6
    report.show(
        f"Lists and {len(book)} rules over {figures['passages']:,.0f} passages of {figures['plates']:,.0f} plates",
        ("figure", "value"),
        list(figures.items()),
    )
    report.finish("rules", figures, as_json=options.json)


def judge_all(matcher: Matcher, judge: Judge, sightings: Sequence[Sighting]) -> NDArray[np.float64]:
    """Microseconds of the processor that each sighting takes, matched in groups as in the hub: a group's first sighting
    bears the matching of all."""
    clock, spent = time.thread_time_ns, np.zeros(len(sightings))
    for start in range(0, len(sightings), MATCHED_AT_ONCE):
        group = sightings[start : start + MATCHED_AT_ONCE]
        began = clock()
        if judge.clock_was_set:
            raise ValueError("the clock was set in the midst of it")
        for number, (sighting, matches) in enumerate(zip(group, find_matches(matcher, group), strict=True), start):
            judge.judge(sighting, [raise_hit(sighting, match) for match in matches])
            ended = clock()
            spent[number] = ended - began
            began = ended
    return spent / 1e3


def store_all(hub: Hub, sightings: Sequence[Sighting]) -> None:
    """All through the hub, as fast as it takes them."""
    for sighting in sightings:
        while hub.full:
            hub.tick()
        hub.take(Passage(sighting, (), time.monotonic()))
    hub.finish()


def matcher_of(count: int, rng: np.random.Generator) -> Matcher:
    """A list of so many plates, and a wildcard for each thousand."""
    plates = np.concatenate([np.unique(draw_plates(count, rng)), draw_patterns(count // 1000, rng)])
    return Matcher((WatchList("stolen", "1", entries_of(plates), authority="PC08"),))


def entries_of(plates: NDArray[np.bytes_]) -> Entries:
    """Entries that hold for another year."""
    rows = len(plates)
    nothing = Texts(b"", np.zeros(rows, np.int32))
    return Entries(
        plates=plates,
        kinds=np.full(rows, NONE, np.int8),
        severities=np.full(rows, NONE, np.int8),
        valid_from_seconds=np.full(rows, -np.inf),
        valid_until_seconds=np.full(rows, BEGIN_SECONDS + 365 * DAY_SECONDS),
        lines=np.zeros(rows, np.int32),
        reasons=nothing,
        authorities=nothing,
        references=nothing,
    )


def book_of(folder: Path, pool: NDArray[np.bytes_], rng: np.random.Generator) -> RuleBook:
    """The shipped rules, on this road."""
    zones = folder / "zones.toml"
    sites = ", ".join(f'"ct07-km{km}"' for km in POSTS_KM)
    zones.write_text(ZONES.replace("{sites}", sites), encoding="utf-8")
    rules = load_rules([assets.folder("configs") / "rules"], zones=zones)
    places = Places.of(
        Place(
            camera_id=camera,
            site_id=site_of(camera),
            road="CT.07",
            km=float(camera.partition("-")[0][2:]),
            province="Hà Nội" if camera.startswith("km3-") else "Thái Nguyên",
            inbound="approaching",
        )
        for camera in CAMERAS
    )
    chosen = rng.permutation(len(pool))[:200_000].tolist()
    known = [pool[number].decode() for number in chosen]
    register = {
        plate: {
            "colour": "yellow" if number % 5 == 0 else "white",
            "vehicle_class": "truck" if number % 5 == 0 else "car",
            "inspection_until": write_moment(BEGIN_SECONDS + (number % 1000 - 5) * DAY_SECONDS),
            "transport": "yes",
            "gross_tonnes": float(number % 20),
        }
        for plate, number in zip(known, chosen, strict=True)
    }
    registers = Lookups(SystemClock())
    registers.register("registry", register.get, timeout_seconds=None)
    declarations = Declarations()
    for number, plate in enumerate(known[:20_000]):
        declarations.add(
            Declaration(
                id=str(number),
                plate=plate,
                type=("khaibao", "luongxanh", "quacanh")[number % 3],
                declared_seconds=BEGIN_SECONDS - number % 40_000,
                valid_until_seconds=BEGIN_SECONDS + (number % 7 - 1) * DAY_SECONDS,
                origin="Hà Nội",
            )
        )
    return rules.book(places=places, registers=registers, declarations=declarations)


def site_of(camera: str) -> str:
    """Where a camera stands."""
    return f"ct07-{camera.partition('-')[0]}"


def memory_of(
    passages: Trips, pool: NDArray[np.bytes_], rng: np.random.Generator
) -> tuple[NDArray[Any], tuple[Traits, ...]]:
    """Passages as (n,) ROW with their traits."""
    seen, camera, vehicle = passages
    rows = np.zeros(len(seen), ROW)
    numbers = np.array([pack(plate.decode()) for plate in pool], np.uint64)
    rows["seen"] = BEGIN_SECONDS + seen
    rows["plate"] = numbers[vehicle]
    rows["id_high"] = rng.integers(0, 2**63, len(seen), np.uint64)
    rows["id_low"] = np.arange(len(seen))
    rows["millionths"] = 985_000
    rows["speed_kmh"] = np.nan
    yellow = vehicle % 5 == 0
    rows["traits"] = camera * 2 + yellow
    traits = tuple(
        Traits(name, site_of(name), "car", colour, "=", direction_at(name), "", "", "", False)
        for name in CAMERAS
        for colour in ("white", "yellow")
    )
    return rows, traits


def direction_at(camera: str) -> Any:
    """How vehicles pass a camera."""
    return "approaching" if camera.endswith("-in") else "receding"


def trips(days: float, rng: np.random.Generator) -> Trips:
    """Passages of so many days. Regulars drive there and back each day."""
    posts, mean = len(POSTS_KM), (1 + 7) / 2
    count = int(days * PER_CAMERA_AND_DAY * len(CAMERAS) / mean) // 2
    way = rng.integers(0, REGULARS * 2, count)  # a regular's way there or back
    home, length = np.random.default_rng(2).integers(0, [posts - 6, 7], (REGULARS, 2)).T
    leaves = np.random.default_rng(3).uniform(0.0, DAY_SECONDS / 2, REGULARS)
    day = rng.permutation(count) * max(days, 1.0) // count  # rarely twice a day
    regular, back = way // 2, way % 2
    vehicle = np.concatenate([regular, REGULARS + rng.integers(0, OTHERS, count)])
    bound = np.concatenate([back, rng.integers(0, 2, count)])
    length = np.concatenate([1 + length[regular], rng.integers(1, 8, count)])
    entry = np.concatenate([home[regular], rng.integers(0, posts - 6, count)])
    began = np.concatenate(
        [day * DAY_SECONDS + leaves[regular] + back * 36_000.0, rng.uniform(0.0, days * DAY_SECONDS, count)]
    )
    pace = 6.0 / rng.uniform(60.0, 105.0, 2 * count) * 3600.0
    trip = np.repeat(np.arange(2 * count), length)
    step = np.arange(len(trip)) - np.repeat(np.cumsum(length) - length, length)
    post = entry[trip] + np.where(bound[trip] == 0, step, length[trip] - 1 - step)
    camera = bound[trip] * posts + post
    seen = began[trip] + step * pace[trip]
    order = np.argsort(seen)
    order = order[seen[order] < days * DAY_SECONDS]
    return seen[order], camera[order], vehicle[trip][order]


def sightings_of(passages: Trips, count: int, pool: NDArray[np.bytes_], rng: np.random.Generator) -> list[Sighting]:
    """The first of these passages, in the order of arrival."""
    seen, camera, vehicle = (column[:count] for column in passages)
    reads = draw_reads(pool[vehicle], rng)
    comes = seen + rng.uniform(0.5, 3.5, count)
    made = []
    for number in np.argsort(comes).tolist():
        rows = reads.lattices[number]
        lattice = tuple(
            tuple(((ALPHABET + " ")[column].strip(), float(row[column])) for column in np.flatnonzero(row))
            for row in rows
            if row[-1] < 1.0
        )
        readable = rng.random() >= 0.02
        raw = reads.texts[number, 0].tobytes().rstrip(b"\0").decode()
        text = raw if readable else ""
        reading = next(iter(readings(text)), None) if text else None
        chance = float(reads.chances[number, 0])
        made.append(
            sighting(
                number,
                BEGIN_SECONDS + float(seen[number]),
                CAMERAS[camera[number]],
                text if reading else "",
                raw,
                display=reading.display if reading else "",
                kind=reading.kind if reading else "",
                province_code=(reading.province_code or "") if reading else "",
                probability=chance if reading else 0.0,
                lattice=lattice,
                yellow=vehicle[number] % 5 == 0,
            )
        )
    return made


def sighting(
    number: int, seen_seconds: float, camera: str, text: str, raw: str, *, yellow: bool, **facts: Any
) -> Sighting:
    """One passage."""
    return Sighting(
        id=f"{number:032x}",
        revision=0,
        state="final",
        site_id=site_of(camera),
        camera_id=camera,
        track=number,
        text=text,
        raw=raw,
        alternatives=((text, facts["probability"]),) if text else (),
        lines=1,
        colour="yellow" if yellow else "white",
        province="",
        province_before="",
        direction=direction_at(camera),
        first_seconds=seen_seconds - 1.0,
        seen_seconds=seen_seconds,
        last_seconds=seen_seconds + 1.0,
        pts_seconds=0.0,
        frames=12,
        reads=9,
        quad=((0.0, 0.0), (100.0, 0.0), (100.0, 25.0), (0.0, 25.0)),
        tainted=False,
        unreadable="" if text else "blurred",
        **facts,
    )


def rss_mb() -> float:
    """Memory of this process that is in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())
