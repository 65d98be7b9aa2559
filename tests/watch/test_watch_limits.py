from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from anpr.config.listing import ListHead
from anpr.config.times import Hours, parse_hours, parse_moment, write_moment
from anpr.watch.entries import Entry
from anpr.watch.limits import Limits
from anpr.watch.lists import WatchList

CAR = Entry("30A12345")
SHARED = Entry("29H12345")
"""On a car of series H, or on a motorbike of series H1."""


def head(**values: object) -> ListHead:
    return ListHead.model_validate(values)


def at(text: str) -> float:
    """A moment in Viet Nam; 2026-01-05 is a Monday."""
    return parse_moment(text)


def watch(entry: Entry = CAR, **values: object) -> WatchList:
    return WatchList("x", "", (entry,), limits=Limits.of(head(**values)))


def test_no_limit_limits_nothing() -> None:
    assert watch().applies(CAR, seen_seconds=0.0)
    assert Limits().describe() == ""


def test_a_list_holds_from_its_first_day_to_its_last() -> None:
    limits = Limits.of(head(valid_from="2026-01-05", valid_until="2026-01-06"))
    moments = ("2026-01-04 23:59:59", "2026-01-05 00:00", "2026-01-06 23:59:59", "2026-01-07 00:00")
    assert [limits.hold_at(at(moment)) for moment in moments] == [False, True, True, False]
    assert limits.valid_from_seconds == datetime(2026, 1, 4, 17, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("moment", "holds"),
    [
        ("2026-01-09 21:59", False),  # Friday
        ("2026-01-09 22:00", True),
        ("2026-01-10 04:59", True),  # Saturday morning belongs to Friday's night
        ("2026-01-10 05:00", False),
        ("2026-01-10 23:00", False),
        ("2026-01-09 04:00", False),  # Friday morning belongs to Thursday's
        ("2026-01-09 12:00", True),
        ("2026-01-09 12:30", False),
        ("2026-01-10 12:00", False),
    ],
)
def test_hours_over_midnight_belong_to_the_day_on_which_they_begin(moment: str, holds: bool) -> None:
    limits = Limits.of(head(days=["fri"], hours=["22:00-05:00", "12:00-12:30"]))
    assert limits.hold_at(at(moment)) is holds


@given(st.integers(0, 1439), st.integers(1, 1440), st.integers(0, 20_000), st.integers(0, 1439))
def test_hours_are_those_of_a_clock_in_viet_nam(begin: int, end: int, day: int, minute: int) -> None:
    limits = Limits(hours=(Hours(begin, end),))
    seconds = day * 86_400.0 + minute * 60.0 - 7 * 3600
    wanted = begin <= minute < end if begin < end else minute >= begin or minute < end
    assert limits.hold_at(seconds) is wanted


@given(st.sets(st.integers(0, 6), min_size=1), st.integers(0, 20_000), st.integers(0, 86_399))
def test_days_are_those_of_a_calendar_in_viet_nam(days: set[int], day: int, second: int) -> None:
    seconds = day * 86_400.0 + second - 7 * 3600
    weekday = datetime.fromtimestamp(day * 86_400.0, UTC).weekday()
    assert Limits(days=frozenset(days)).hold_at(seconds) is (weekday in days)


@given(st.integers(0, 1439), st.integers(1, 1440))
def test_hours_can_be_written_and_read(begin: int, end: int) -> None:
    hours = Hours(begin, end)
    if begin != end:
        assert parse_hours(str(hours)) == hours


@pytest.mark.parametrize(
    "written", ["", "22-05", "24:00-05:00", "08:60-09:00", "08:00-25:00", "08:00-08:00", "8:00-9:00"]
)
def test_no_hours(written: str) -> None:
    with pytest.raises(ValueError):
        parse_hours(written)


def test_midnight_ends_a_day() -> None:
    assert parse_hours("18:00-24:00") == parse_hours("18:00-00:00") == Hours(1080, 1440)
    assert not parse_hours("18:00-24:00").overnight


@given(st.integers(-2_000_000_000, 4_000_000_000))
def test_moments_can_be_written_and_read(seconds: int) -> None:
    assert parse_moment(write_moment(float(seconds))) == seconds


def test_an_entry_has_its_own_time() -> None:
    entry = Entry("30A12345", valid_until_seconds=100.0)
    assert watch(entry).applies(entry, seen_seconds=99.0)
    assert not watch(entry).applies(entry, seen_seconds=100.0)


def test_sites_directions_and_kinds() -> None:
    limited = watch(sites=["km12"], directions=["approaching"], kinds=["car"])

    def applies(**seen: str) -> bool:
        return limited.applies(
            CAR, seen_seconds=0.0, **({"site_id": "km12", "direction": "approaching", "kind": "car"} | seen)
        )

    assert applies()
    assert not applies(site_id="km13")
    assert not applies(direction="receding")
    assert not limited.applies(Entry("TM1234"), seen_seconds=0.0, kind="military")


@pytest.mark.parametrize(
    ("seen", "doubt"),
    [
        ({"direction": "unknown"}, "direction unknown"),
        ({"kind": ""}, "kind unknown"),
        ({"site_id": ""}, "site unknown"),
        ({}, ""),
    ],
)
def test_what_is_unknown_leaves_a_doubt_but_loses_no_hit(seen: dict[str, str], doubt: str) -> None:
    limited = watch(sites=["km12"], directions=["approaching"], kinds=["car"])
    told = {"site_id": "km12", "direction": "approaching", "kind": "car"} | seen
    assert limited.applies(CAR, seen_seconds=0.0, **told)
    assert limited.doubt(CAR, **told) == doubt


def test_a_pattern_is_for_the_kinds_of_the_list() -> None:
    pattern = Entry("29H*")
    motorbikes = watch(pattern, kinds=["motorbike"])

    def applies(*reads: str) -> bool:
        return motorbikes.applies(pattern, seen_seconds=0.0, kind="car", reads=reads)

    assert motorbikes.applies(pattern, seen_seconds=0.0, kind="motorbike", reads=("29H112345",))
    assert not applies("29H1234"), "an old car's, and nothing else"
    assert applies("29H12345"), "a car's, or 29-H1 2345"
    assert applies("29H1234", "29H12345"), "what was read second may be right"
    assert not applies("29H1234", "30H12345"), "but must fit"
    assert applies("2BH1234"), "matched by a confusion: nobody knows by which plate"
    assert motorbikes.doubt(pattern, kind="car") == "listed as a motorbike, seen as a car"


def test_a_text_that_two_kinds_share_is_not_lost() -> None:
    motorbikes = watch(SHARED, kinds=["motorbike"])
    assert motorbikes.applies(SHARED, seen_seconds=0.0, kind="car")
    assert motorbikes.doubt(SHARED, kind="car") == "listed as a motorbike, seen as a car"
    assert motorbikes.doubt(SHARED, kind="motorbike") == ""
    meant = Entry("29H12345", kind="motorbike")
    assert watch(meant).doubt(meant, kind="car") == "listed as a motorbike, seen as a car"


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": ["friday"]},
        {"hours": ["8-9"]},
        {"hours": [8]},
        {"directions": ["north"]},
        {"directions": ["unknown"]},
        {"kinds": ["lorry"]},
        {"sites": ["two words"]},
        {"severity": "HIGH"},
        {"false_hits_per_day": -1.0},
        {"valid_from": "31/03/2026"},
        {"valid_from": 5},
        {"valid_from": "2026-02-01", "valid_until": "2026-01-01"},
        {"purpose": "x" * 501},
        {"colour": "red"},
    ],
)
def test_mistakes_of_a_head(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        head(**wrong)


def test_what_the_site_file_says_goes_first() -> None:
    told = head(purpose="theft", severity="CHECK", days=["mon"])
    merged = told.under(head(severity="ALERT", days=[]))
    assert (merged.purpose, merged.severity, merged.days) == ("theft", "ALERT", ())
    assert told.under(None) == told


def test_limits_can_be_told() -> None:
    limits = Limits.of(head(days=["fri", "mon"], hours=["22:00-05:00"], sites=["km12"], kinds=["car"]))
    assert limits.describe() == "mon fri 22:00-05:00, site km12, car"
