"""A day of traffic past three cameras, with planted cases of all 17 rules: `python -m scripts.day`.

Plates are rendered and read by the bundled model; the sightings go through a hub with lists, rules and store, as a box
runs them, in a temporary folder. Ends with 1 if a planted hit did not come, or a near-miss raised one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from anpr import log
from anpr.records import Hit, Sighting
from scripts.day import cases_files, cases_origin, cases_road, report
from scripts.day.box import rule_numbers, run_day
from scripts.day.camera import photograph_all
from scripts.day.planting import Planting
from scripts.day.road import ELSEWHERE, NORTH, Passing
from scripts.day.traffic import at, ordinary_traffic
from scripts.day.vehicles import Registry
from scripts.day.world import write_site

QUICK_TRIPS = 100
KNOWN = 0.6
"""Share of the ordinary vehicles that the register knows."""


def main(words: Sequence[str]) -> int:
    """Plant, photograph, run and judge; 1 if something planted was missed."""
    parser = argparse.ArgumentParser(prog="python -m scripts.day", description=__doc__)
    parser.add_argument("--passages", type=int, default=15_000, help="ordinary vehicles (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="that read plates")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_TRIPS} vehicles in one process")
    parser.add_argument("--json", action="store_true", help="print one line of JSON; the table goes to stderr")
    parser.add_argument("--unplanned", type=int, default=20, help="hits not planted that are told one by one")
    options = parser.parse_args(words)
    trips, processes = (QUICK_TRIPS, 1) if options.quick else (options.passages, options.processes)
    out = sys.stderr if options.json else sys.stdout
    log.configure(level="warning")

    world, passings = make_day(trips=trips, seed=options.seed)
    began = time.monotonic()
    sightings = list(photograph_all(passings, seed=options.seed, processes=processes))
    read_seconds = time.monotonic() - began
    flickers = sum(not told for told in sightings)
    passings = [passing for passing, told in zip(passings, sightings, strict=True) if told]
    sightings = [told for told in sightings if told]
    finals = [told[-1] for told in sightings]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="anpr-day-") as folder:
        hits = run_day(write_site(Path(folder), world), arrivals(passings, sightings, seed=options.seed))
    run_seconds = time.monotonic() - began

    verdict = report.judge(world.cases, passings, finals, [hit for hit in hits if hit.rule], rule_numbers())
    reading = report.reading(passings, finals)
    of_lists = list_hits(hits)
    planted = sum(len(case.passings) for case in world.cases)
    print(
        f"{len(passings)} passages, {planted} of them planted in {len(world.cases)} cases, and {flickers} seen once and"
        f" not read, which the engine takes for no vehicle. Plates: {reading['right']} right, {reading['wrong']} wrong,"
        f" {reading['unreadable']} unreadable, read in {read_seconds:.0f} s.\n"
        f"Through the hub in {run_seconds:.0f} s. Hits of the lists themselves: {of_lists}; of rules withdrawn:"
        f" {verdict.withdrawn}.\n",
        file=out,
    )
    print(report.table(verdict), file=out)
    for problem in verdict.problems:
        print(f"PROBLEM {problem}", file=out)
    for line in verdict.unplanned[: options.unplanned]:
        print(f"not planted: {line}", file=out)
    if options.json:
        totals = {number: asdict(row) for number, row in verdict.rows.items()}
        figures = {
            "passages": len(passings), "flickers": flickers, "cases": len(world.cases), "reading": reading,
            "rules": totals,
            "total": asdict(verdict.totals()), "list_hits": of_lists, "withdrawn": verdict.withdrawn,
            "read_seconds": round(read_seconds, 1), "run_seconds": round(run_seconds, 1), "passed": verdict.passed,
        }  # fmt: skip
        print(json.dumps(figures))
    return 0 if verdict.passed else 1


def make_day(*, trips: int, seed: int) -> tuple[Planting, list[Passing]]:
    """The planted world, and all passings: the planted ones, the ordinary ones, and one of the next day.

    The last makes the box's time go on, so that what waits for an absence is judged.
    """
    rng = np.random.default_rng(seed)
    registry = Registry(rng)
    world = Planting(rng, registry)
    for plant in (*cases_files.PLANTERS, *cases_origin.PLANTERS, *cases_road.PLANTERS):
        plant(world)
    ordinary = ordinary_traffic(rng, registry, trips=trips)
    for vehicle in dict.fromkeys(passing.vehicle for passing in ordinary):
        if rng.random() < KNOWN:
            world.register(vehicle)
    last = Passing(registry.car("20"), NORTH, True, at(48.0), clear=True)
    return world, [*(passing for case in world.cases for passing in case.passings), *ordinary, last]


def arrivals(
    passings: Sequence[Passing], sightings: Sequence[tuple[Sighting, ...]], *, seed: int
) -> list[tuple[float, Sighting]]:
    """(true time, sighting) in the order in which the box learns of them: not quite that of the passings."""
    rng = np.random.default_rng((seed, 1))
    told = []
    for passing, revisions in zip(passings, sightings, strict=True):
        later = float(rng.uniform(5.0, 20.0)) if passing.site in ELSEWHERE else float(rng.uniform(0.3, 2.0))
        for revision, sighting in enumerate(revisions, start=1 - len(revisions)):
            told.append((passing.at_seconds + later + 0.8 * (revision + 1), sighting))
    return sorted(told, key=lambda each: each[0])


def list_hits(hits: Sequence[Hit]) -> int:
    """How many hits the lists raised themselves, revisions counted once and withdrawn ones left out."""
    states = {hit.id: hit.state for hit in hits if not hit.rule}
    return sum(state != "withdrawn" for state in states.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
