"""Each predicate: when it is true, false, and unknown. Unknown shows in `not`: it is never true either way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from making_rules import PLACES, Answers, rule_text, sighting

from anpr.records import Sighting
from anpr.rules.book import RuleBook
from anpr.rules.compile import Sources, parts_of
from anpr.rules.declarations import Declarations
from anpr.rules.fixtures import Seen, hits_of
from anpr.rules.judgement import Judgement
from anpr.rules.language import Condition, ZoneText
from anpr.rules.lookups import Record
from anpr.rules.memory import MemoryHistory
from anpr.rules.passage import Ground
from anpr.rules.zones import Zone

ZONES = {
    text.name: Zone.of(text)
    for text in (
        ZoneText.model_validate(
            {
                "name": "epidemic",
                "vi": "vùng dịch",
                "en": "epidemic zone",
                "periods": [
                    {"from": "2026-05-08", "until": "2026-05-20", "provinces_before": ["Bắc Giang"], "cameras": ["km3"]}
                ],
            }
        ),
        ZoneText.model_validate({"name": "yards", "vi": "bãi", "en": "yards", "periods": [{"sites": ["site"]}]}),
    )
}


def ask(
    condition: dict[str, Any],
    passage: Sighting | None = None,
    *,
    past: Sequence[Sighting] = (),
    listed: Sequence[dict[str, Any]] = (),
    declarations: Declarations | None = None,
    answers: dict[tuple[str, str], Record] | None = None,
    wait_seconds: float = 0.0,
) -> bool | None:
    """What a condition says of a passage."""
    passage = passage or sighting()
    history = MemoryHistory()
    for each in (*past, passage):
        history.add(each)
    seen = Seen.model_validate(
        {"plate": passage.text, "camera": passage.camera_id, "at": "2026-05-20", "listed": list(listed)}
    )
    sources = Sources(Ground(ZONES, PLACES), Answers(answers or {}), declarations)
    judgement = Judgement(
        passage, history=history, hits=hits_of(seen, passage), known_seconds=passage.seen_seconds + wait_seconds
    )
    return parts_of(Condition.model_validate(condition), sources).whole()(judgement)


UNREAD = {"plate": "", "colour": "unknown"}
LOOKS = ((15, "white"), (16, "yellow"), (17, "blue"))


@pytest.mark.parametrize(
    ("condition", "fields", "expected"),
    [
        ({"kind": "car"}, {}, True),
        ({"kind": ["motorbike", "special"]}, {}, False),
        ({"kind": "car"}, UNREAD, None),
        ({"colour": ["white"]}, {}, True),
        ({"colour": "blue"}, {}, False),
        ({"colour": "blue"}, {"colour": "unknown"}, None),
        ({"series": ["C"]}, {}, True),
        ({"series": ["LD"]}, {"plate": "30LD-123.45"}, True),
        ({"series": ["Đ"]}, {"plate": "30D-123.45"}, True),
        ({"series": ["A"]}, {}, False),
        ({"series": ["A"]}, UNREAD, None),
        ({"plate": "98C-012.*"}, {}, True),
        ({"plate": ["98C-012.3?", "29A-123.45"]}, {"plate": "29A-123.45"}, True),
        ({"plate": "30*"}, {}, False),
        ({"plate": "30*"}, UNREAD, None),
        ({"code": ["98", "80"]}, {"plate": "80A-123.45"}, True),
        ({"code": "98"}, {"plate": "29A-123.45"}, False),
        ({"code": "98"}, {"plate": "TM-12-34"}, None),
        ({"province": "Bắc Ninh"}, {}, True),
        ({"province": "Bắc Ninh"}, {"at": "2025-06-30T23:59:59"}, False),
        ({"province": "Bắc Giang"}, {"at": "2025-06-30T23:59:59"}, True),
        ({"province": "Thái Nguyên"}, {"plate": "97A-123.45", "at": "2025-06-30T23:59:59"}, False),
        ({"province": "Thái Nguyên"}, {"plate": "97A-123.45", "at": "2025-07-01T00:00:00"}, True),
        ({"province": "Thái Nguyên"}, {"plate": "80A-123.45"}, False),
        ({"province": "Thái Nguyên"}, {"plate": "TM-12-34"}, None),
        ({"province_before": "Bắc Giang"}, {}, True),
        ({"province_before": "Bắc Ninh"}, {}, False),
        ({"province_zone": "epidemic"}, {}, True),
        ({"province_zone": "epidemic"}, {"at": "2026-05-20T23:59:59"}, True),
        ({"province_zone": "epidemic"}, {"at": "2026-05-21T00:00:00"}, False),
        ({"province_zone": "epidemic"}, {"plate": "99A-123.45"}, False),
        ({"province_zone": "epidemic"}, {"plate": "TM-12-34"}, None),
        ({"probability": {"min": 0.99}}, {}, True),
        ({"probability": {"max": 0.98}}, {}, False),
        ({"probability": {"max": 0.98}}, UNREAD, None),
        ({"readable": True}, {}, True),
        ({"readable": False}, UNREAD, True),
        ({"unreadable": "too blurred"}, UNREAD, True),
        ({"unreadable": "too small"}, UNREAD, False),
        ({"camera": "km25"}, {}, True),
        ({"camera": "km3"}, {}, False),
        ({"site": "site"}, {}, True),
        ({"zone": "epidemic"}, {"camera": "km3"}, True),
        ({"zone": "epidemic"}, {"camera": "km3", "at": "2026-05-07T23:59:59"}, False),
        ({"zone": "yards"}, {}, True),
        ({"lane": "1"}, {"lane": "1"}, True),
        ({"lane": "1"}, {"lane": "2"}, False),
        ({"lane": "1"}, {}, None),
        ({"direction": "approaching"}, {}, True),
        ({"direction": "receding"}, {}, False),
        ({"direction": "receding"}, {"direction": "unknown"}, None),
        ({"bound": "in"}, {}, True),
        ({"bound": "out"}, {"direction": "receding"}, True),
        ({"bound": "in"}, {"direction": "unknown"}, None),
        ({"bound": "in"}, {"camera": "yard"}, None),
        ({"speed_kmh": {"min": 150}}, {"speed_kmh": 150.0}, True),
        ({"speed_kmh": {"min": 150}}, {"speed_kmh": 149.9}, False),
        ({"speed_kmh": {"min": 150}}, {}, None),
        ({"vehicle_class": ["truck", "bus"]}, {"vehicle_class": "truck"}, True),
        ({"vehicle_class": "truck"}, {"vehicle_class": "car"}, False),
        ({"vehicle_class": "truck"}, {}, None),
        ({"time": "06:00-10:00"}, {"at": "2026-05-20T09:59:59"}, True),
        ({"time": "06:00-10:00"}, {"at": "2026-05-20T10:00:00"}, False),
        ({"time": "22:00-05:00"}, {"at": "2026-05-20T00:30:00"}, True),
        ({"time": ["22:00-05:00", "12:00-13:00"]}, {"at": "2026-05-20T05:00:00"}, False),
        ({"weekday": "wed"}, {}, True),
        ({"weekday": ["sat", "sun"]}, {}, False),
        ({"weekday": "thu"}, {"at": "2026-05-20T17:00:00Z"}, True),
    ],
)
def test_the_passage(condition: dict[str, Any], fields: dict[str, Any], expected: bool | None) -> None:
    passage = sighting(**fields)
    assert ask(condition, passage) is expected
    assert ask({"not": condition}, passage) is (None if expected is None else not expected)


@pytest.mark.parametrize(
    ("condition", "listed", "expected"),
    [
        ({}, [], False),
        ({}, [{"list": "stolen"}], True),
        ({"list": "stolen"}, [{"list": "other"}], False),
        ({"list": ["other", "stolen"]}, [{"list": "other"}], True),
        ({"exact": True}, [{"list": "stolen", "reason": "8 read as B at position 3"}], False),
        ({"exact": False}, [{"list": "stolen", "reason": "wildcard"}], True),
        ({"min_probability": 0.95}, [{"list": "stolen", "probability": 0.94}], False),
        ({"min_probability": 0.95}, [{"list": "stolen", "probability": 0.95}], True),
        ({"severity": "ALERT"}, [{"list": "stolen", "severity": "CHECK"}], False),
        ({"without": ["authority"]}, [{"list": "stolen"}], True),
        ({"without": ["authority"]}, [{"list": "stolen", "authority": "PC08"}], False),
        ({"without": ["authority", "expiry"]}, [{"list": "stolen", "authority": "PC08"}], True),
        ({"without": ["expiry"]}, [{"list": "stolen", "until": "2027-01-01"}], False),
        ({"without": ["reference"]}, [{"list": "stolen", "reference": "7"}], False),
        ({"without": ["reason"]}, [{"list": "stolen", "entry_reason": "theft"}], False),
        ({"list": "stolen", "exact": True}, [{"list": "stolen", "reason": "wildcard"}, {"list": "other"}], False),
    ],
)
def test_lists(condition: dict[str, Any], listed: list[dict[str, Any]], expected: bool) -> None:
    assert ask({"listed": condition}, listed=listed) is expected


def before(minutes: float, **fields: Any) -> Sighting:
    """The same plate some minutes before 10:00."""
    fields = {"id": f"before-{minutes:g}", "camera": "km3", **fields}
    clock = 600 - minutes
    at = f"2026-05-20T{int(clock // 60):02}:{int(clock % 60):02}:{round(clock % 1 * 60):02}"
    return sighting(at=fields.pop("at", at), **fields)


@pytest.mark.parametrize(
    ("condition", "past", "expected"),
    [
        ({"within": "6h"}, [], False),
        ({"within": "6h"}, [before(30)], True),
        ({"within": "6h"}, [before(361)], False),
        ({"within": "6h"}, [before(360)], True),
        ({"within": "6h"}, [before(30, plate="29A-123.45")], False),
        ({"within": "6h", "at_least": "35m"}, [before(30)], False),
        ({"within": "6h", "at_least": "30m"}, [before(30)], True),
        ({"within": "6h", "times": 2}, [before(30)], False),
        ({"within": "6h", "times": 2}, [before(30), before(40)], True),
        ({"within": "6h", "at_most_times": 0}, [], True),
        ({"within": "6h", "at_most_times": 0}, [before(30)], False),
        ({"within": "6h", "times": 1, "at_most_times": 1}, [before(30), before(40)], False),
        ({"within": "6h", "times": 2, "cameras": 2}, [before(30), before(40)], False),
        ({"within": "6h", "times": 2, "cameras": 2}, [before(30), before(40, camera="km60")], True),
        ({"within": "6h", "camera": "km60"}, [before(30)], False),
        ({"within": "6h", "other_camera": True}, [before(30, camera="km25")], False),
        ({"within": "6h", "other_camera": True}, [before(30)], True),
        ({"within": "6h", "bound": "in"}, [before(30, direction="receding")], False),
        ({"within": "6h", "bound": "in"}, [before(30, direction="unknown")], False),
        ({"within": "6h", "direction": "receding"}, [before(30, direction="receding")], True),
        ({"within": "6h", "min_probability": 0.98}, [before(30, probability=0.97)], False),
        ({"within": "14d", "zone": "epidemic"}, [before(30)], True),
        ({"within": "14d", "zone": "epidemic"}, [before(30, at="2026-05-07T12:00:00")], False),
        ({"within": "14d", "zone": "epidemic"}, [before(30, at="2026-05-08T00:00:00")], True),
        ({"within": "6h", "site": "site"}, [before(30)], True),
    ],
)
def test_seen(condition: dict[str, Any], past: list[Sighting], expected: bool) -> None:
    assert ask({"seen": condition}, past=past) is expected


def test_what_happens_at_the_same_moment_is_ordered_by_its_id() -> None:
    twin = sighting(id="a", camera="km3")
    assert ask({"seen": {"within": "1h"}}, sighting(id="b"), past=[twin]) is True
    assert ask({"seen": {"within": "1h"}}, sighting(id="A"), past=[twin]) is False


def test_later_looks_ahead_only_as_far_as_is_known() -> None:
    gone = before(-60, id="gone", camera="km60")
    condition = {"seen": {"within": "4h", "later": True, "camera": "km60"}}
    assert ask(condition, past=[gone], wait_seconds=4 * 3600.0) is True
    assert ask(condition, past=[gone], wait_seconds=1800.0) is False
    assert ask(condition, past=[before(10, camera="km60")], wait_seconds=4 * 3600.0) is False


@pytest.mark.parametrize("predicate", ["seen", "dwell", "travel"])
def test_history_of_an_unreadable_plate_is_unknown(predicate: str) -> None:
    more = {"dwell": {"longer_than": "1m"}, "travel": {"faster_than_kmh": 180}}.get(predicate, {})
    assert ask({predicate: {"within": "6h", **more}}, sighting(**UNREAD), past=[before(30)]) is None


@pytest.mark.parametrize(
    ("cameras", "past", "expected"),
    [
        (["km3", "km25"], [before(30)], True),
        (["km25", "km3"], [before(30)], False),
        (["km3", "km60", "km25"], [before(30), before(20, camera="km60")], True),
        (["km3", "km60", "km25"], [before(20), before(30, camera="km60")], False),
        (["km3", "km60", "km25"], [before(20), before(30, camera="km60"), before(40)], True),
        (["km3", "km25"], [before(90)], False),
    ],
)
def test_order(cameras: list[str], past: list[Sighting], expected: bool) -> None:
    assert ask({"order": {"within": "1h", "cameras": cameras}}, past=past) is expected


def test_order_of_zones() -> None:
    condition = {"order": {"within": "1h", "zones": ["epidemic", "yards"]}}
    assert ask(condition, past=[before(30)]) is True
    assert ask(condition, past=[before(30, camera="km60")]) is False


@pytest.mark.parametrize(
    ("condition", "past", "expected"),
    [
        ({"longer_than": "4h"}, [], False),
        ({"longer_than": "4h"}, [before(240)], False),
        ({"longer_than": "4h"}, [before(241)], True),
        ({"longer_than": "4h"}, [before(300), before(10)], False),
        ({"longer_than": "4h", "bound": "in"}, [before(300), before(10, direction="receding")], True),
        ({"shorter_than": "4h"}, [before(240)], True),
        ({"shorter_than": "4h"}, [before(241)], False),
        ({"longer_than": "0s", "shorter_than": "1h"}, [before(30)], True),
    ],
)
def test_dwell(condition: dict[str, Any], past: list[Sighting], expected: bool) -> None:
    assert ask({"dwell": {"within": "7d", **condition}}, past=past) is expected


@pytest.mark.parametrize(
    ("condition", "past", "expected"),
    [
        ({"faster_than_kmh": 180}, [], False),
        ({"faster_than_kmh": 180}, [before(8)], False),  # 22 km in 8 min: 165 km/h
        ({"faster_than_kmh": 180}, [before(7)], True),  # 189 km/h
        ({"faster_than_kmh": 180, "clock_skew": "30s"}, [before(7)], False),
        ({"faster_than_kmh": 180}, [before(7), before(6.5, camera="km25")], True),
        ({"faster_than_kmh": 180}, [before(7), before(60)], True),
        ({"faster_than_kmh": 180, "min_probability": 0.995}, [before(7)], False),
        ({"faster_than_kmh": 180, "camera": "km60"}, [before(7)], False),
        ({"slower_than_kmh": 20}, [before(70)], True),
        ({"slower_than_kmh": 20}, [before(60)], False),
        ({"faster_than_kmh": 100, "slower_than_kmh": 150}, [before(7)], False),
        ({"faster_than_kmh": 180}, [before(7, camera="yard")], None),
        ({"faster_than_kmh": 180}, [before(7, camera="yard"), before(7, id="x")], True),
        ({"faster_than_kmh": 180}, [before(0, id="before")], True),
    ],
)
def test_travel(condition: dict[str, Any], past: list[Sighting], expected: bool | None) -> None:
    assert ask({"travel": {"within": "6h", **condition}}, past=past) is expected


def convoy(
    gap_seconds: float, cameras: Sequence[str], order: Sequence[str] = ("29A-111.11", "30A-222.22")
) -> list[Sighting]:
    """Two leaders before the judged plate at each camera, an hour apart; it passed the earlier ones too."""
    found: list[Sighting] = []
    for index, camera in enumerate(cameras):
        minutes = 60.0 * (len(cameras) - 1 - index)
        for place, plate in enumerate(reversed(order), start=1):
            found.append(
                before(minutes + place * gap_seconds / 60.0, id=f"{camera}-{plate}", camera=camera, plate=plate)
            )
        if index < len(cameras) - 1:
            found.append(before(minutes, id=f"{camera}-own", camera=camera))
    return found


@pytest.mark.parametrize(
    ("past", "expected"),
    [
        (convoy(6.0, ["km3", "km60", "km25"]), True),
        (convoy(12.0, ["km3", "km60", "km25"]), False),
        (convoy(6.0, ["km3", "km25"]), False),
        (convoy(6.0, ["km60", "km25"]) + convoy(6.0, ["km3", "km60", "km25"], ("30A-222.22", "29A-111.11"))[:3], False),
        ([], False),
    ],
)
def test_convoy(past: list[Sighting], expected: bool) -> None:
    condition = {"convoy": {"plates": 3, "gap": "10s", "cameras": 3, "within": "24h"}}
    assert ask(condition, past=past) is expected


@pytest.mark.parametrize(
    ("condition", "past", "expected"),
    [
        ({}, [], False),
        ({}, [before(15, **UNREAD)], True),  # 22 km in 15 min: 88 km/h
        ({}, [before(9, **UNREAD)], False),  # 147 km/h
        ({}, [before(27, **UNREAD)], False),  # 49 km/h
        ({}, [before(15)], False),
        ({}, [before(15, camera="km25", **UNREAD)], False),
        ({"alike": "colour"}, [before(15, **UNREAD | {"colour": "yellow"})], False),
        ({"alike": "colour"}, [before(15, **UNREAD | {"colour": "white"})], True),
        ({"alike": "colour"}, [before(15, **UNREAD | {"colour": "unknown"})], True),
        ({"alike": "colour"}, [before(15, **UNREAD | {"colour": "white", "vehicle_class": "bus"})], True),
        ({"alike": ["colour", "vehicle_class"]}, [before(15, **UNREAD | {"vehicle_class": "bus"})], False),
        ({"alike": "vehicle_class"}, [before(15, **UNREAD | {"vehicle_class": "truck"})], True),
        ({"alike": "vehicle_class"}, [before(15, **UNREAD)], True),
        ({"at_most": 2}, [before(15, **UNREAD), before(16, **UNREAD)], True),
        ({"at_most": 2}, [before(15, **UNREAD), before(16, **UNREAD), before(17, **UNREAD)], None),
        ({"at_most": 2}, [before(15, **UNREAD), before(16, **UNREAD), before(40, **UNREAD)], True),
        ({"at_most": 1, "alike": "colour"}, [before(m, **UNREAD | {"colour": c}) for m, c in LOOKS], True),
        ({"bound": "out"}, [before(15, **UNREAD)], False),
    ],
)
def test_unread_before(condition: dict[str, Any], past: list[Sighting], expected: bool | None) -> None:
    condition = {"within": "1h", "from_kmh": 50, "to_kmh": 130, **condition}
    passage = sighting(**UNREAD | {"colour": "white", "vehicle_class": "truck"})
    assert ask({"unread_before": condition}, passage, past=past) is expected
    assert ask({"unread_before": condition}, sighting(camera="elsewhere"), past=past) is None


def declared(**fields: str) -> Declarations:
    """One declaration of the judged plate, made at 09:00."""
    declarations = Declarations()
    declarations.push({"plate": "98C-012.34", "type": "khaibao", "declared": "2026-05-20T09:00", **fields})
    return declarations


@pytest.mark.parametrize(
    ("condition", "fields", "expected"),
    [
        ({}, {}, True),
        ({}, {"plate": "29A-123.45"}, False),
        ({}, {"declared": "2026-05-20T10:01"}, False),
        ({"type": "luongxanh"}, {}, False),
        ({"type": ["luongxanh", "khaibao"]}, {}, True),
        ({"within": "1h"}, {}, True),
        ({"within": "59m"}, {}, False),
        ({"valid": True}, {"valid_until": "2026-05-20"}, True),
        ({"valid": True}, {"valid_until": "2026-05-20T10:00"}, False),
        ({"valid": False}, {"valid_from": "2026-05-21"}, True),
        ({"test_within": "72h"}, {"test": "2026-05-17T10:00"}, True),
        ({"test_within": "72h"}, {"test": "2026-05-17T09:59"}, False),
        ({"test_within": "72h"}, {}, False),
        ({"test_older_than": "72h"}, {"test": "2026-05-17T09:59"}, True),
        ({"test_older_than": "72h"}, {}, True),
        ({"persons_more_than": 1}, {"persons": "2"}, True),
        ({"persons_more_than": 1}, {"persons": "1"}, False),
        ({"persons_more_than": 1}, {}, None),
        ({"origin": "Bắc Giang"}, {"origin": "Bắc Ninh"}, True),
        ({"origin": "Bắc Giang"}, {"origin": "Hà Nội"}, False),
        ({"origin": "Bắc Giang"}, {}, None),
        ({"origin_zone": "epidemic"}, {"origin": "Bắc Giang"}, True),
        ({"origin_zone": "epidemic"}, {"origin": "Bắc Ninh"}, False),
        ({"origin_zone": "epidemic"}, {}, None),
        ({"origin_is_plate_province": True}, {"origin": "Bắc Giang"}, True),
        ({"origin_is_plate_province": True}, {"origin": "Bắc Ninh"}, True),
        ({"origin_is_plate_province": False}, {"origin": "Hà Nội"}, True),
        ({"origin_is_plate_province": False}, {}, None),
        ({"contradicted_within": "6h"}, {"origin": "Thái Nguyên"}, True),
        ({"contradicted_within": "6h"}, {"origin": "Hà Nội"}, False),
        ({"contradicted_within": "6h"}, {"origin": "Lạng Sơn", "route": "Bắc Giang; Hà Nội"}, False),
        ({"contradicted_within": "20m"}, {"origin": "Thái Nguyên"}, False),
        ({"contradicted_within": "6h"}, {}, None),
    ],
)
def test_declared(condition: dict[str, Any], fields: dict[str, str], expected: bool | None) -> None:
    past = [before(35)]
    assert ask({"declared": condition}, past=past, declarations=declared(**fields)) is expected
    assert ask({"declared": condition}, past=past) is None


def test_the_newest_declaration_counts() -> None:
    declarations = declared(valid_until="2026-05-20T09:30")
    assert ask({"declared": {"valid": False}}, declarations=declarations) is True
    declarations.push({"plate": "98C-012.34", "type": "khaibao", "declared": "2026-05-20T09:45"})
    assert ask({"declared": {"valid": False}}, declarations=declarations) is False
    declarations.push({"plate": "98C-012.34", "type": "khaibao", "declared": "2026-05-20T11:00", "persons": "3"})
    assert ask({"declared": {"persons_more_than": 2}}, declarations=declarations) is None
    assert ask({"declared": {"persons_more_than": 2}}, declarations=declarations, wait_seconds=7200.0) is True


def test_a_contradiction_is_unknown_where_nobody_knows_where_the_camera_stands() -> None:
    condition = {"declared": {"contradicted_within": "6h"}}
    declarations = declared(origin="Thái Nguyên")
    assert ask(condition, past=[before(35, camera="yard")], declarations=declarations) is None
    assert ask(condition, past=[before(35, camera="yard"), before(36)], declarations=declarations) is True


@pytest.mark.parametrize(
    ("condition", "fields", "expected"),
    [
        ({"field": "until", "older_than": "0s"}, {"until": "2026-05-19"}, True),
        ({"field": "until", "older_than": "0s"}, {"until": "2026-05-20"}, False),
        ({"field": "until", "older_than": "20d"}, {"until": "2026-04-29"}, True),
        ({"field": "until", "older_than": "20d"}, {"until": "2026-04-30"}, False),
        ({"field": "until", "older_than": "0s"}, {"until": "soon"}, None),
        ({"field": "until", "older_than": "0s"}, {"other": 1.0}, None),
        ({"field": "tonnes", "over": 10}, {"tonnes": "10.5"}, True),
        ({"field": "tonnes", "over": 10}, {"tonnes": 10}, False),
        ({"field": "tonnes", "under": 10}, {"tonnes": "heavy"}, None),
        ({"field": "status", "is": ["wanted", "stolen"]}, {"status": "Stolen"}, True),
        ({"field": "status", "is_not": "ok"}, {"status": "ok"}, False),
        ({"field": "permit", "is": True}, {"permit": "true"}, True),
        ({"field": "count", "is": 3}, {"count": 3.0}, True),
        ({"field": "colour", "differs_from": "colour"}, {"colour": "yellow"}, True),
        ({"field": "colour", "differs_from": "colour"}, {"colour": "White"}, False),
        ({"field": "class", "differs_from": "vehicle_class"}, {"class": "truck"}, None),
        ({"field": "until", "older_than": "0s"}, {"until": "01/05/2026"}, True),
        ({"field": "until", "older_than": "0s"}, {"until": "05/06/2026"}, False),
        ({"field": "tonnes", "over": 10}, {"tonnes": "12,5"}, True),
        ({"field": "transport", "is": "no"}, {"transport": "Không"}, True),
        ({"field": "transport", "is": "no"}, {"transport": "có"}, False),
        ({"field": "vehicle_class", "is": ["truck", "trailer"]}, {"vehicle_class": "xe tải"}, True),
        ({"field": "colour", "differs_from": "colour"}, {"colour": "vàng"}, True),
        ({"field": "colour", "differs_from": "colour"}, {"colour": "trắng"}, False),
        ({"field": "colour", "differs_from": "colour"}, {"colour": "bạc"}, None),
        ({"known": True}, {"status": "ok"}, True),
        ({"known": False}, {}, True),
    ],
)
def test_lookup(condition: dict[str, Any], fields: Record, expected: bool | None) -> None:
    answers = {("registry", "98C01234"): fields}
    assert ask({"lookup": {"from": "registry", **condition}}, answers=answers) is expected
    assert ask({"lookup": {"from": "registry", **condition}}) is None


def test_a_register_is_asked_last_and_only_where_all_else_is_true(book: Callable[..., RuleBook]) -> None:
    text = rule_text('{ lookup = { from = "r", known = true }, seen = { within = "1h" }, colour = "white" }')
    rules = book(text, answers={("r", "98C01234"): {"x": 1}})
    registers = rules.rules[0].sources.registers
    assert isinstance(registers, Answers)
    history = MemoryHistory()
    assert rules.evaluate(sighting(), history=history) == ()
    assert rules.evaluate(sighting(colour="blue"), history=history) == ()
    assert registers.asked == []
    history.add(before(30))
    assert [each.hit.rule for each in rules.evaluate(sighting(), history=history)] == ["rule"]
    assert set(registers.asked) == {("r", "98C01234")}
