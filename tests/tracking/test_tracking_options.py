"""What is believed without a text, and what is refused."""

from __future__ import annotations

import pytest

from anpr.records import NO_PLATE, TOO_SMALL
from anpr.tracking.options import TrackOptions

OPTIONS = TrackOptions(plate_score=0.6)


@pytest.mark.parametrize(
    ("unreadable", "readable", "least"),
    [
        ("", 0.9, 0.6),
        ("not a Vietnamese plate", 0.01, 0.6),
        (NO_PLATE, 0.4, 0.9),
        (TOO_SMALL, 0.01, 0.8),
        (TOO_SMALL, 0.9, 0.6),
    ],
)
def test_the_less_the_reader_sees_the_surer_the_detector_must_be(
    unreadable: str, readable: float, least: float
) -> None:
    assert OPTIONS.score_least(unreadable, readable=readable) == pytest.approx(least)


@pytest.mark.parametrize(("name", "value"), [("plate_score", 1.1), ("text_probability", -0.1), ("max_tracks", 0)])
def test_what_is_out_of_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        TrackOptions(**{name: value})
