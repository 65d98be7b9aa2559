"""The planted day: its judge, its ordinary traffic, and a short day through the real reader and hub."""

from __future__ import annotations

import json

import numpy as np
import pytest
from making_records import make_hit, make_sighting

from anpr.records import Hit, Sighting
from scripts.day import report
from scripts.day.__main__ import arrivals, main, make_day
from scripts.day.planting import Case, Expected, trip
from scripts.day.road import FASTEST_KMH, SITES, Passing
from scripts.day.traffic import ordinary_traffic
from scripts.day.vehicles import PROVINCES, Registry

NUMBERS = {"stolen": 1, "epidemic-inbound": 2}


@pytest.fixture
def registry() -> Registry:
    return Registry(np.random.default_rng(5))


def _seen(passings: list[Passing], **misread: str) -> list[Sighting]:
    """Sightings `s0`, `s1`, … of the passings; `s1="text"` is what the reader made of the second."""
    return [
        make_sighting(id=f"s{index}", text=misread.get(f"s{index}", passing.vehicle.text))
        for index, passing in enumerate(passings)
    ]


def _hit(rule: str, sighting_id: str, **changes: object) -> Hit:
    return make_hit(id=f"{rule} {sighting_id}", rule=rule, sighting_id=sighting_id, **changes)


def test_a_planted_hit_is_found_with_its_severity_or_missed(registry: Registry) -> None:
    passings = trip(registry.car("29"), 8.0)
    case = Case(1, "planted", passings, [Expected("stolen", index, "ALERT") for index in range(3)], ())
    hits = [_hit("stolen", "s0"), _hit("stolen", "s1", severity="CHECK")]

    verdict = report.judge([case], passings, _seen(passings), hits, NUMBERS)

    row = verdict.rows[1]
    assert (row.planted, row.found, row.missed, row.unplanned) == (3, 1, 2, 0)
    assert not verdict.passed
    assert [line.split(":")[0] for line in verdict.problems] == [
        "stolen ALERT came as CHECK",
        "stolen ALERT did not come",
    ]


def test_a_near_miss_that_fires_is_a_problem(registry: Registry) -> None:
    passings = trip(registry.car("29"), 8.0)
    case = Case(1, "close", passings, [], ("stolen",))
    verdict = report.judge([case], passings, _seen(passings), [_hit("stolen", "s2")], NUMBERS)
    assert (verdict.rows[1].near_misses, verdict.rows[1].fired, verdict.passed) == (3, 1, False)


def test_other_hits_are_not_planted_and_told_apart_by_their_reading(registry: Registry) -> None:
    passings = trip(registry.car("29"), 8.0)
    finals = _seen(passings, s1="98A12345")
    hits = [_hit("epidemic-inbound", "s0"), _hit("epidemic-inbound", "s1")]
    verdict = report.judge([], passings, finals, hits, NUMBERS)
    assert (verdict.rows[2].unplanned, verdict.rows[2].unplanned_misread, verdict.passed) == (2, 1, True)
    assert report.reading(passings, finals) == {"right": 2, "wrong": 1, "unreadable": 0}


def test_what_was_withdrawn_was_not_raised(registry: Registry) -> None:
    passings = trip(registry.car("29"), 8.0)
    hits = [_hit("stolen", "s0", revision=0), _hit("stolen", "s0", revision=1, state="withdrawn")]
    verdict = report.judge([], passings, _seen(passings), hits, NUMBERS)
    assert (verdict.rows[1].unplanned, verdict.withdrawn) == (0, 1)


def test_ordinary_vehicles_keep_the_limit_and_are_of_no_zone() -> None:
    rng = np.random.default_rng(7)
    passings = ordinary_traffic(rng, Registry(rng), trips=200)
    places = {passing.site for passing in passings}
    assert places == set(SITES)
    codes = {passing.vehicle.text[:2] for passing in passings if passing.vehicle.colour != "red"}
    assert codes <= {code for code, _ in PROVINCES}
    last: dict[str, Passing] = {}
    for passing in sorted(passings, key=lambda each: each.at_seconds):
        before = last.get(passing.vehicle.text)
        if before is not None and before.site != passing.site:
            hours = (passing.at_seconds - before.at_seconds) / 3600.0
            assert abs(passing.site.km - before.site.km) / hours <= FASTEST_KMH + 1e-6
        last[passing.vehicle.text] = passing


def test_every_one_of_the_seventeen_is_planted_more_than_once_and_nearly() -> None:
    world, passings = make_day(trips=1, seed=3)
    for number in range(1, 18):
        cases = [case for case in world.cases if case.number == number]
        assert sum(bool(case.expected) for case in cases) >= 2, number
        assert any(set(case.silent) - {each.rule for each in case.expected} for case in cases), number
    assert len({id(passing) for passing in passings}) == len(passings)


def test_the_box_learns_of_a_preview_before_the_final_one(registry: Registry) -> None:
    passings = trip(registry.car("29"), 8.0)
    told = [(make_sighting(id=f"s{n}", revision=0), make_sighting(id=f"s{n}", revision=1)) for n in range(3)]
    order = arrivals(passings, told, seed=0)
    assert [(each.id, each.revision) for _, each in order] == [(f"s{n}", r) for n in range(3) for r in (0, 1)]
    assert [seconds for seconds, _ in order] == sorted(seconds for seconds, _ in order)


def test_a_short_day_finds_all_that_was_planted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    total = figures["total"]
    assert total["planted"] == total["found"] > 100
    assert (total["missed"], total["fired"]) == (0, 0)
    assert all(row["planted"] > 0 for row in figures["rules"].values())
    assert len(figures["rules"]) == 17
    assert figures["reading"]["right"] > 50 * figures["reading"]["wrong"]
