"""Which rules can never be true at a site, and for want of what."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from making_rules import PLACES, rule_text

from anpr import assets
from anpr.config.times import parse_moment
from anpr.rules.explain import explain
from anpr.rules.load import RuleSet, load_rules
from anpr.rules.places import Place, Places
from anpr.rules.silence import Known, silence_of, silent_rules

Load = Callable[..., RuleSet]
EMPTY_ZONE = '\n[[zones]]\nname = "exits"\nvi = "lối ra"\nen = "exits"\n'
ZONES = (
    EMPTY_ZONE
    + """
[[zones]]
name = "epidemic"
vi = "vùng dịch"
en = "epidemic zone"
[[zones.periods]]
from = 2021-05-08
until = 2021-06-30
provinces_before = "Bắc Giang"
cameras = "km3"
[[zones]]
name = "yard"
vi = "bãi xe"
en = "yard"
[[zones.periods]]
sites = "elsewhere"
[[zones.periods]]
until = 2021-06-30
cameras = "yard"
[[zones]]
name = "gates"
vi = "cửa ngõ"
en = "gates"
[[zones.periods]]
from = 2021-06-01
cameras = ["km3", "km4"]
"""
)
OVER = "the epidemic zone (epidemic): all its periods are over since 2021-07-01 00:00:00"
ELSEWHERE = "the yard (yard): it holds no camera or site of this site"


@pytest.mark.parametrize(
    ("when", "reasons", "silent"),
    [
        ('{ kind = "car" }', [], False),
        ('{ vehicle_class = "truck" }', ["vehicle class: no camera tells it"], True),
        ("{ speed_kmh = { min = 150 } }", ["speed: no camera tells it"], True),
        ('{ lane = "1" }', ["lane: no camera tells it"], True),
        ('{ not = { vehicle_class = "truck" } }', ["vehicle class: no camera tells it"], True),
        ('{ any = [{ vehicle_class = "truck" }, { kind = "car" }] }', ["vehicle class: no camera tells it"], False),
        ('{ not = { vehicle_class = "truck", kind = "car" } }', ["vehicle class: no camera tells it"], False),
        ('{ lookup = { from = "registry", known = true } }', ["register registry: not set up"], True),
        ("{ declared = {} }", ["declarations: the site has none"], True),
        ('{ bound = "in" }', ["bound: no camera has inbound"], True),
        ('{ seen = { within = "1h", bound = "in" } }', ["bound: no camera has inbound"], True),
        ('{ not = { seen = { within = "1h", bound = "in" } } }', ["bound: no camera has inbound"], False),
        (
            '{ travel = { within = "1h", faster_than_kmh = 180 } }',
            ["road distance between any two cameras"],
            True,
        ),
        ('{ zone = "exits" }', ["the exits (exits): the zone is empty"], True),
        ('{ not = { zone = "exits" } }', ["the exits (exits): the zone is empty"], False),
        ('{ seen = { within = "1h", zone = "exits" } }', ["the exits (exits): the zone is empty"], True),
        ('{ order = { within = "1h", zones = ["exits", "exits"] } }', ["the exits (exits): the zone is empty"], True),
        ('{ all = [{ kind = "car" }, { lane = "1" }] }', ["lane: no camera tells it"], True),
    ],
)
def test_what_a_bare_site_cannot_know(load: Load, when: str, reasons: list[str], silent: bool) -> None:
    rules = load(rule_text(when) + EMPTY_ZONE)
    bare = Known(Places.of([Place(camera_id="a")]))
    silence = silence_of(rules.rules["rule"], bare, rules.zones)
    assert [each.en for each in silence.missing] == reasons
    assert bool(silence.causes) is silent
    lines = explain("rule", rules, bare)[1]
    assert (lines[-1].startswith("→ the rule is silent at this site: ")) is silent


def test_an_exemption_that_is_unknown_silences_the_rule(load: Load) -> None:
    rules = load(rule_text('{ kind = "car" }', "unless = { declared = {} }"))
    assert silence_of(rules.rules["rule"], Known(PLACES), rules.zones).causes


def test_a_site_that_knows_it_all(load: Load) -> None:
    rules = load(
        rule_text(
            '{ bound = "in", vehicle_class = "truck", declared = {}, lookup = { from = "registry", known = true }, '
            'travel = { within = "1h", faster_than_kmh = 180 } }'
        )
    )
    known = Known(PLACES, registers={"registry": None}, declarations=True, fields={"vehicle_class"})
    assert silence_of(rules.rules["rule"], known, rules.zones) == ([], [])


KNOWN = Known(
    PLACES,
    registers={"registry": ["plate", "fines"], "remote": None},
    declarations=True,
    lists=["xe-mat-cap"],
    now_seconds=parse_moment("2026-10-14T10:00"),
)


@pytest.mark.parametrize(
    ("when", "cause"),
    [
        ('{ listed = { list = "xe-mat-cap" } }', ""),
        ("{ listed = {} }", ""),
        ('{ listed = { list = ["stolen", "xe-mat-cap"] } }', ""),
        ('{ listed = { list = "stolen" } }', "list stolen: none of this name holds at the site (it has xe-mat-cap)"),
        (
            '{ list_hits = { list = "stolen", within = "1h", more_than = 2 } }',
            "list stolen: none of this name holds at the site (it has xe-mat-cap)",
        ),
        ('{ not = { listed = { list = "stolen" } } }', ""),
        ('{ any = [{ listed = { list = "stolen" } }, { kind = "car" }] }', ""),
        ('{ zone = "gates" }', ""),
        ('{ zone = "yard" }', ELSEWHERE),
        ('{ zone = "epidemic" }', OVER),
        ('{ province_zone = "epidemic" }', OVER),
        ('{ province_zone = "gates" }', "the gates (gates): it holds no province"),
        ('{ declared = { origin_zone = "epidemic" } }', OVER),
        ('{ seen = { within = "14d", zone = "epidemic" } }', OVER),
        ('{ seen = { within = "14d", zone = "yard" } }', ELSEWHERE),
        ('{ seen = { within = "14d", zone = "gates" } }', ""),
        ('{ order = { within = "4h", zones = ["gates", "yard"] } }', ELSEWHERE),
        (
            '{ order = { within = "4h", cameras = ["km3", "km4"] } }',
            "camera km4: the site file has none of this name",
        ),
        ('{ camera = ["km3", "km4"] }', ""),
        ('{ camera = "km4" }', "camera km4: the site file has none of this name"),
        ('{ site = "ct07" }', "site ct07: the site file has none of this name"),
        ('{ dwell = { within = "4h", camera = "km4", longer_than = "1h" } }', "camera km4: the site file has none of "),
        ('{ convoy = { plates = 3, gap = "10s", cameras = 4, within = "1h" } }', ""),
        (
            '{ convoy = { plates = 3, gap = "10s", cameras = 5, within = "1h" } }',
            "convoy: needs 5 cameras, there are 4",
        ),
        ('{ seen = { within = "1h", cameras = 5 } }', "seen: needs 5 cameras, there are 4"),
        ('{ seen = { within = "1h", cameras = 5, at_most_times = 3 } }', ""),
        ('{ lookup = { from = "registry", field = "fines", over = 1 } }', ""),
        ('{ lookup = { from = "registry", field = "colour", is = "red" } }', "register registry: no column colour"),
        ('{ not = { lookup = { from = "registry", field = "x", is = "y" } } }', "register registry: no column x"),
        ('{ lookup = { from = "registry", known = false } }', ""),
        ('{ lookup = { from = "remote", field = "colour", is = "red" } }', ""),
        (
            '{ lookup = { from = "remote", field = "class", differs_from = "vehicle_class" } }',
            "vehicle class: no camera tells it",
        ),
        ('{ declared = { contradicted_within = "6h" } }', ""),
    ],
)
def test_what_a_site_lacks(load: Load, when: str, cause: str) -> None:
    rules = load(rule_text(when) + ZONES)
    silence = silence_of(rules.rules["rule"], KNOWN, rules.zones)
    causes = "; ".join(each.en for each in silence.causes)
    assert causes.startswith(cause) if cause else not causes, causes


def test_a_zone_that_has_ended_counts_as_long_as_the_rule_looks_back(load: Load) -> None:
    rules = load(rule_text('{ seen = { within = "14d", zone = "epidemic" } }') + ZONES)
    last = parse_moment("2021-07-15")
    for now_seconds, silent in ((last - 1.0, False), (last + 1.0, True)):
        known = Known(PLACES, now_seconds=now_seconds)
        assert bool(silence_of(rules.rules["rule"], known, rules.zones).causes) is silent


def test_where_all_cameras_stand_in_one_province_nothing_is_contradicted(load: Load) -> None:
    rules = load(rule_text('{ declared = { contradicted_within = "6h" } }'))
    here = [Place(camera_id="a", province="Bắc Giang"), Place(camera_id="b", province="Bắc Ninh")]
    one, none = Known(Places.of(here), declarations=True), Known(Places.of([Place(camera_id="a")]), declarations=True)
    assert [each.en for each in silence_of(rules.rules["rule"], one, {}).causes] == [
        "provinces: all cameras stand in the same"
    ]
    assert [each.en for each in silence_of(rules.rules["rule"], none, {}).causes] == ["provinces: no camera has one"]


def test_an_exemption_by_a_list_that_is_not_there_is_told_and_silences_nothing(load: Load) -> None:
    rules = load(rule_text('{ kind = "car" }', 'unless = { listed = { list = "supply" } }'))
    silence = silence_of(rules.rules["rule"], KNOWN, rules.zones)
    assert [each.en for each in silence.missing] == [
        "list supply: none of this name holds at the site (it has xe-mat-cap)"
    ]
    assert not silence.causes
    assert silent_rules(rules.rules, KNOWN, rules.zones) == ()


def test_a_rule_that_has_ended_or_needs_more_cameras_to_confirm_is_silent(load: Load) -> None:
    more = 'confirmations = { sightings = 9, cameras = 9, within = "1h" }'
    rules = load(
        rule_text('{ kind = "car" }', "valid_until = 2025-12-31", name="old"),
        rule_text('{ kind = "car" }', more, name="sure"),
        rule_text('{ kind = "car" }', name="plain"),
        rule_text('{ lane = "1" }', name="lane"),
        rule_text('{ lane = "2", not = { listed = { list = "x" } } }', name="other-lane"),
        rule_text('{ lane = "1" }', "enabled = false", name="off"),
    )
    assert silent_rules(rules.rules, KNOWN, rules.zones) == (
        "old: the rule ended at 2026-01-01 00:00:00",
        "sure: confirmations: needs 9 cameras, there are 4",
        "lane, other-lane: lane: no camera tells it",
    )


def test_at_another_site_the_shipped_zones_leave_rules_silent_and_it_is_told() -> None:
    rules = load_rules([assets.folder("configs") / "rules"])
    cameras = [Place(camera_id=name, site_id="km5", road="CT.07", km=5.0, inbound="approaching") for name in "ab"]
    known = Known(Places.of(cameras), lists=["xe-mat-cap"], now_seconds=parse_moment("2026-10-14"))
    silent = {
        name for line in silent_rules(rules.rules, known, rules.zones) for name in line.partition(":")[0].split(", ")
    }
    assert {
        "stolen",
        "stolen-near",
        "epidemic-inbound",
        "stay-in-zone",
        "transit",
        "transit-not-left",
        "motorbike-on-expressway",
        "heavy-goods-curfew",
        "repeated-visits",
        "zone-dwell",
        "zone-not-left",
    } <= silent
    assert not {"list-entry-incomplete", "colour-mismatch", "list-flood"} & silent
    for language in (0, 1):
        assert "im lặng" in explain("stolen", rules, known)[0][-1]
        assert "xe-mat-cap" in explain("stolen", rules, known)[language][-1]
