"""What is to go next: nothing before its time, nothing out of order, pictures before records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.store.due import Due, Shelf, all_due
from anpr.store.retention import DAY_SECONDS, Policy, Retention, Watermarks
from anpr.store.trust import Age

NOW = 1_800_000_000.0
DEFAULT = Policy()


def shelf(number: int, days_old: float | None, *, thinned: bool = False, sure: bool = True) -> Shelf:
    """The partition of events 10·number + 1 to 10·number + 10."""
    last_seq = 10 * number + 10
    age = None if days_old is None else Age(NOW - days_old * DAY_SECONDS, last_seq, sure)
    return Shelf(10 * number + 1, last_seq, age, thinned)


def due(
    *shelves: Shelf, policy: Policy = DEFAULT, acknowledged_seq: int = 0, crowded: bool = False, many: bool = False
) -> Due | None:
    found = all_due(
        shelves,
        policy,
        now_seconds=NOW,
        acknowledged_seq=acknowledged_seq,
        crowded=crowded,
        too_many_pictures=many,
    )
    return next(found, None)


def test_a_partition_goes_when_all_of_it_is_old_enough() -> None:
    assert due() is None
    assert due(shelf(0, 29.9)) is None
    assert due(shelf(0, 30.0)) == Due("partition", 1, "retention")
    assert due(shelf(0, 30.0, sure=False)) is None
    assert due(shelf(0, 31.0, sure=False)) == Due("partition", 1, "retention")


def test_what_was_never_noted_or_grew_since_is_young() -> None:
    assert due(shelf(0, None), crowded=True, acknowledged_seq=99) is None
    grown = shelf(0, 400.0)._replace(last_seq=11)
    assert due(grown, crowded=True, acknowledged_seq=99) is None


def test_pictures_may_go_before_their_records() -> None:
    policy = Policy(retention=Retention(passage_pictures_days=7))
    shelves = (shelf(0, 20.0, thinned=True), shelf(1, 10.0), shelf(2, 6.0))
    assert due(*shelves, policy=policy) == Due("pictures", 11, "retention")
    assert due(*(each._replace(thinned=True) for each in shelves), policy=policy) is None


def test_plates_give_way_oldest_first_after_all_that_makes_room() -> None:
    policy = Policy(retention=Retention(passage_pictures_days=7, pseudonymise_after_days=5))
    shelves = [shelf(0, 20.0), shelf(1, 6.0), shelf(2, 5.5, sure=False), shelf(3, 4.0)]
    assert due(*shelves) is None
    assert due(*shelves, policy=policy) == Due("pictures", 1, "retention")
    shelves[0] = shelves[0]._replace(thinned=True)
    assert due(*shelves, policy=policy) == Due("plates", 1, "retention")
    shelves[0] = shelves[0]._replace(pseudonymised=True)
    assert due(*shelves, policy=policy) == Due("plates", 11, "retention")
    assert shelves[1].after("partition") == []
    assert shelves[1].after("pictures") == [shelves[1]._replace(thinned=True)]
    (shelves[1],) = shelves[1].after("plates")
    assert due(*shelves, policy=policy) is None


def test_a_full_disk_is_made_emptier_before_days_are_written_anew() -> None:
    policy = Policy(retention=Retention(pseudonymise_after_days=5))
    shelves = [shelf(0, 20.0), shelf(1, 6.0)]
    assert due(*shelves, policy=policy, crowded=True) == Due("pictures", 1, "disk")
    shelves = [each._replace(thinned=True) for each in shelves]
    assert due(*shelves, policy=policy, crowded=True, acknowledged_seq=10) == Due("partition", 1, "disk")
    assert due(*shelves, policy=policy, crowded=True) == Due("plates", 1, "retention")
    assert due(*shelves, policy=policy, many=True) == due(*shelves, policy=policy) == Due("plates", 1, "retention")


def test_a_filling_disk_takes_pictures_first_oldest_first_then_whole_days_that_everybody_has() -> None:
    shelves = [shelf(0, 9.0), shelf(1, 5.0), shelf(2, 0.5)]
    assert due(*shelves, crowded=True) == Due("pictures", 1, "disk")
    shelves[0] = shelves[0]._replace(thinned=True)
    assert due(*shelves, crowded=True) == Due("pictures", 11, "disk")
    shelves[1] = shelves[1]._replace(thinned=True)
    assert due(*shelves, crowded=True, acknowledged_seq=9) is None
    assert due(*shelves, crowded=True, acknowledged_seq=10) == Due("partition", 1, "disk")
    assert due(*shelves[2:], crowded=True, acknowledged_seq=99) is None


def test_a_quota_takes_pictures_only() -> None:
    assert due(shelf(0, 9.0), many=True) == Due("pictures", 1, "quota")
    assert due(shelf(0, 9.0, thinned=True), many=True, acknowledged_seq=99) is None


@pytest.mark.parametrize("days", [1, 3])
def test_what_is_young_is_never_purged_early(days: int) -> None:
    policy = Policy(disk=Watermarks(youngest_days=days))
    assert due(shelf(0, days - 0.01), policy=policy, crowded=True, many=True, acknowledged_seq=99) is None
    assert due(shelf(0, days), policy=policy, crowded=True) == Due("pictures", 1, "disk")


AGES = st.none() | st.floats(0.0, 60.0)


@given(
    st.lists(st.tuples(AGES, st.booleans(), st.booleans()), max_size=8),
    st.integers(1, 30),
    st.integers(0, 10),
    st.integers(1, 5),
    st.integers(0, 80),
    st.booleans(),
    st.booleans(),
)
def test_nothing_goes_before_its_time(
    drawn: list[tuple[float | None, bool, bool]],
    pictures_days: int,
    more_days: int,
    youngest_days: int,
    acknowledged_seq: int,
    crowded: bool,
    many: bool,
) -> None:
    passages_days = pictures_days + more_days
    policy = Policy(
        retention=Retention(passages_days=passages_days, passage_pictures_days=pictures_days),
        disk=Watermarks(youngest_days=youngest_days),
    )
    shelves = [shelf(number, age, thinned=thinned, sure=sure) for number, (age, thinned, sure) in enumerate(drawn)]
    found = due(*shelves, policy=policy, acknowledged_seq=acknowledged_seq, crowded=crowded, many=many)
    if found is None:
        return
    index = (found.first_seq - 1) // 10
    age, thinned, sure = drawn[index]
    assert age is not None
    surely_days = age if sure else age - 1.0
    slack = 1e-6
    if found.what == "partition":
        assert index == 0
        if found.reason == "retention":
            assert surely_days >= passages_days - slack
        else:
            assert crowded
            assert acknowledged_seq >= shelves[0].last_seq
            assert surely_days >= youngest_days - slack
    else:
        assert not thinned
        least = pictures_days if found.reason == "retention" else youngest_days
        assert surely_days >= least - slack
        assert crowded or many or found.reason == "retention"
