"""Three-valued logic, zones and the map."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_rules import PLACES

from anpr.plates.provinces import codes
from anpr.records import Direction
from anpr.rules.language import ZoneText
from anpr.rules.logic import Truth, both, either, opposite
from anpr.rules.places import Place, Places, same_province
from anpr.rules.zones import Zone, codes_of

TRUTHS = st.sampled_from([True, False, None])


def says(truth: Truth) -> Callable[[object], Truth]:
    return lambda _: truth


@given(st.lists(TRUTHS, min_size=1, max_size=6))
def test_kleene(truths: list[Truth]) -> None:
    order = {False: 0, None: 1, True: 2}
    tests = [says(truth) for truth in truths]
    assert both(tests)(None) is min(truths, key=order.__getitem__)
    assert either(tests)(None) is max(truths, key=order.__getitem__)


@given(st.lists(TRUTHS, min_size=1, max_size=6))
def test_de_morgan(truths: list[Truth]) -> None:
    tests = [says(truth) for truth in truths]
    assert opposite(both(tests))(None) is either([opposite(test) for test in tests])(None)
    assert opposite(opposite(both(tests)))(None) is both(tests)(None)


def test_a_false_predicate_spares_the_later_ones() -> None:
    asked: list[int] = []
    test = both([says(False), lambda _: asked.append(1)])
    assert test(None) is False
    assert asked == []


def zone(*periods: dict[str, object]) -> Zone:
    return Zone.of(ZoneText.model_validate({"name": "z", "vi": "z", "en": "z", "periods": list(periods)}))


def test_a_zone_is_all_that_its_periods_hold() -> None:
    one = zone({"until": "2021-06-30", "codes": ["98"]}, {"from": "2021-06-01", "codes": ["99"], "cameras": ["km3"]})
    june, july = 1_622_600_000.0, 1_626_000_000.0
    assert (one.holds_code("98", june), one.holds_code("99", june)) == (True, True)
    assert (one.holds_code("98", july), one.holds_code("99", july)) == (False, True)
    assert one.holds_place("km3", "site", july)
    assert not one.holds_place("km25", "site", july)


@pytest.mark.parametrize(
    ("names", "before", "after", "expected"),
    [
        (("Thái Nguyên",), True, False, {"20"}),
        (("Thái Nguyên",), False, True, {"20", "97"}),
        (("Bắc Giang",), False, True, set()),
        (("Bắc Ninh", "Bắc Giang"), True, True, {"98", "99"}),
        ((), True, True, set()),
    ],
)
def test_codes_of_provinces(names: tuple[str, ...], before: bool, after: bool, expected: set[str]) -> None:
    assert codes_of(names, before=before, after=after) == expected


def test_a_province_is_in_a_zone_if_all_of_it_is() -> None:
    giang = zone({"provinces_before": ["Bắc Giang"]})
    assert giang.holds_province("Bắc Giang", 0.0)
    assert not giang.holds_province("Bắc Ninh", 0.0)
    assert zone({"provinces": ["Bắc Ninh"]}).holds_province("Bắc Giang", 0.0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Bắc Giang", "Bắc Ninh", True),
        ("Bắc Ninh", "Bắc Giang", True),
        ("Hà Nội", "Hà Nội", True),
        ("Hà Nội", "Thái Nguyên", False),
        ("Bắc Kạn", "Thái Nguyên", True),
        ("Bắc Kạn", "Bắc Giang", False),
    ],
)
def test_same_province(one: str, other: str, same: bool) -> None:
    assert same_province(one, other) is same


@given(st.sampled_from(sorted(codes())))
def test_a_code_means_one_province_by_both_maps(code: str) -> None:
    entry = codes()[code]
    if entry.before:
        assert same_province(entry.before, entry.after)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("km3", "km60", 57.0), ("km60", "km3", 57.0), ("yard", "km3", 10.0), ("yard", "km25", None), ("km3", "x", None)],
)
def test_distances(one: str, other: str, expected: float | None) -> None:
    assert PLACES.distance_km(one, other) == expected


def test_what_is_told_goes_before_the_chainage() -> None:
    places = Places.of(
        [Place(camera_id="a", road="r", km=1.0), Place(camera_id="b", road="r", km=2.0)], [("b", "a", 1.5)]
    )
    assert places.distance_km("a", "b") == 1.5
    assert places.neighbours("a") == (("b", 1.5),)


def test_roads_do_not_meet() -> None:
    places = Places.of([Place(camera_id="a", road="r", km=1.0), Place(camera_id="b", road="s", km=2.0)])
    assert places.distance_km("a", "b") is None
    assert places.neighbours("a") == ()


@given(
    st.sampled_from([(3.0, 25.0), (25.0, 3.0), (3.0, 3.0), (3.0, None)]),
    st.tuples(*[st.sampled_from(["approaching", "receding", "unknown"])] * 6),
    st.booleans(),
)
def test_a_road_leads_only_on(kms: tuple[float, float | None], told: tuple[Direction, ...], one_road: bool) -> None:
    """False only where a heading is known that leads away."""
    rising, then, only, other_rising, now, other_only = told
    places = Places.of(
        [
            Place(camera_id="a", road="r", km=kms[0], rising=rising, only=only),
            Place(camera_id="b", road="r" if one_road else "s", km=kms[1], rising=other_rising, only=other_only),
        ]
    )
    headings = []
    for up, seen, always in ((rising, then, only), (other_rising, now, other_only)):
        driven = always if seen == "unknown" else seen
        if "unknown" not in (up, driven):
            headings.append(1 if up == driven else -1)
    wanted = 0 if kms[1] is None or not one_road else (kms[1] > kms[0]) - (kms[1] < kms[0])
    assert places.may_lead("a", then, "b", now) is all(heading * wanted >= 0 for heading in headings)
    assert places.may_lead("a", then, "elsewhere", now)


@pytest.mark.parametrize(
    ("inbound", "only", "direction", "expected"),
    [
        ("approaching", "unknown", "approaching", "in"),
        ("approaching", "unknown", "receding", "out"),
        ("receding", "unknown", "receding", "in"),
        ("receding", "approaching", "unknown", "out"),
        ("receding", "approaching", "receding", "in"),
        ("receding", "unknown", "unknown", None),
        ("unknown", "approaching", "approaching", None),
    ],
)
def test_bound(inbound: Direction, only: Direction, direction: Direction, expected: str | None) -> None:
    assert Places.of([Place(camera_id="a", inbound=inbound, only=only)]).bound("a", direction) == expected
