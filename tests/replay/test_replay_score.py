"""Scoring against hand-made truth."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_records import make_sighting

from anpr.errors import VideoError
from anpr.records import Sighting
from anpr.replay.score import edit_distance, score
from anpr.replay.truth import Truth, load_truth

FPS = 10
TEXTS = {1: "30A12345", 2: "29C54321", 3: "51F00001"}
"""Vehicle 1 passes in frames 0 to 19, 2 in 10 to 29, 3 in 40 to 49 without ever being readable."""
SHOWN = {1: range(20), 2: range(10, 30), 3: range(40, 50)}


def quad_at(vehicle: int, frame: int) -> list[list[float]]:
    x, y = 300.0 * vehicle, 100.0 + 20 * (frame - SHOWN[vehicle][0])
    return [[x, y], [x + 100, y], [x + 100, y + 22], [x, y + 22]]


def truth_lines() -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = [{"type": "clip", "file": "a.mp4", "frames": 60, "fps": FPS, "codec": "h264"}]
    for vehicle, text in TEXTS.items():
        readable = [] if vehicle == 3 else list(SHOWN[vehicle])
        lines.append(
            {
                "type": "vehicle", "id": vehicle, "text": text, "colour": "white", "lines": 1, "kind": "car", "lane": 0,
                "direction": "approaching", "speed_kmh": 90.0, "readable_frames": len(readable),
                "first_readable": readable[0] if readable else None,
                "last_readable": readable[-1] if readable else None,
            }
        )  # fmt: skip
    for frame in range(60):
        plates = [
            {"vehicle": vehicle, "quad": quad_at(vehicle, frame), "char_px": 15.0, "readable": vehicle != 3}
            for vehicle in TEXTS
            if frame in SHOWN[vehicle]
        ]
        lines.append({"type": "frame", "index": frame, "pts_seconds": frame / FPS, "plates": plates})
    return lines


@pytest.fixture
def truth(tmp_path) -> Truth:
    path = tmp_path / "a.truth.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in truth_lines()))
    return load_truth(path)


def seen(vehicle: int, text: str, *, frame: int, name: str = "", **changes: Any) -> Sighting:
    """A sighting of the vehicle's plate as it stands in that frame; its track lasts half a second each way."""
    quad = tuple((x + 3, y - 2) for x, y in quad_at(vehicle, frame))
    wall = 1_000_000.0 + frame / FPS
    times = {"first_seconds": wall - 0.5, "seen_seconds": wall, "last_seconds": wall + 0.5}
    given = {"id": name or f"{vehicle}", "text": text, "quad": quad, "pts_seconds": frame / FPS} | times
    return make_sighting(**(given | changes))


def test_all_right(truth):
    result = score([seen(1, "30A12345", frame=10), seen(2, "29C54321", frame=15)], truth)
    assert (result.passed, result.captured, result.exact, result.missed, result.duplicates) == (2, 2, 2, 0, 0)
    assert result.false == ()
    assert (result.capture_rate, result.exact_rate) == (1.0, 1.0)
    assert [(row.vehicle.id, row.text, row.edits, row.sightings) for row in result.rows] == [
        (1, "30A12345", 0, 1),
        (2, "29C54321", 0, 1),
    ]


def test_missed_misread_duplicate_and_false(truth):
    far_off = ((1700.0, 900.0), (1800.0, 900.0), (1800.0, 920.0), (1700.0, 920.0))
    result = score(
        [
            seen(1, "30A12845", frame=10),
            seen(1, "30A12345", frame=18, name="again"),
            seen(1, "88X99999", frame=5, name="nobody", quad=far_off),
        ],
        truth,
    )
    assert (result.passed, result.captured, result.exact, result.missed, result.duplicates) == (2, 1, 1, 1, 1)
    assert [sighting.id for sighting in result.false] == ["nobody"]
    assert result.rows[0].text == "30A12345", "the better of the two"
    assert (result.rows[1].text, result.rows[1].edits, result.rows[1].exact) == ("", None, False)


def test_an_unreadable_sighting_in_the_right_place_captures(truth):
    result = score([seen(1, "", frame=10, unreadable="blurred")], truth)
    assert (result.captured, result.exact) == (1, 0)
    assert (result.rows[0].unreadable, result.rows[0].edits) == ("blurred", 8)


def test_a_similar_text_at_the_right_time_captures_wherever_the_plate_was_put(truth):
    elsewhere = seen(3, "", frame=45).quad
    assert score([seen(1, "30A12X45", frame=10, quad=elsewhere)], truth).captured == 1
    assert score([seen(1, "30AXXX45", frame=10, quad=elsewhere)], truth).captured == 0


def test_the_right_text_at_another_time_is_false(truth):
    late = seen(1, "30A12345", frame=55, quad=((5.0, 5.0), (50.0, 5.0), (50.0, 15.0), (5.0, 15.0)))
    result = score([late], truth)
    assert (result.captured, len(result.false)) == (0, 1)


def test_a_plate_that_nobody_can_read_neither_counts_nor_is_false(truth):
    result = score([seen(3, "51F00001", frame=45)], truth)
    assert (result.passed, result.captured, result.false) == (2, 0, ())


def test_the_highest_revision_counts_and_withdrawn_ones_do_not(truth):
    first = seen(1, "30A12845", frame=10, revision=0, state="preview")
    final = seen(1, "30A12345", frame=12, revision=1)
    gone = seen(2, "29C54321", frame=15, revision=3, state="withdrawn")
    result = score([first, final, seen(2, "29C54321", frame=15, revision=1), gone], truth)
    assert (result.captured, result.exact, result.duplicates) == (1, 1, 0)


def test_neighbours_in_one_frame_are_told_apart_by_place(truth):
    result = score([seen(1, "", frame=15), seen(2, "", frame=15)], truth)
    assert [row.sightings for row in result.rows] == [1, 1]


def test_nothing_passed_is_no_failure(tmp_path):
    path = tmp_path / "empty.jsonl"
    path.write_text(json.dumps(truth_lines()[0]))
    assert score([], load_truth(path)).capture_rate == 1.0


@given(st.text("AB1", max_size=6), st.text("AB1", max_size=6), st.text("AB1", max_size=6))
def test_edit_distance_is_a_metric(a, b, c):
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert edit_distance(a, "") == len(a)


def test_edit_distance_of_known_pairs():
    assert edit_distance("30A12345", "30A12346") == 1
    assert edit_distance("30A12345", "30A1234") == 1
    assert edit_distance("30A12345", "03A12345") == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"type":"clip","file":"a","frames":1,"fps":10}\n{"type":"vehicle"}', ":2: not a line of a truth file"),
        ("not json", ":1: not a line of a truth file"),
        ("", "one line of type clip, this has 0"),
        (
            '{"type":"clip","file":"a","frames":1,"fps":10}\n'
            '{"type":"frame","index":0,"pts_seconds":0,"plates":'
            '[{"vehicle":9,"quad":[[0,0],[1,0],[1,1],[0,1]],"readable":true}]}',
            "frame 0 shows unknown vehicle 9",
        ),
    ],
)
def test_a_bad_truth_file_is_named_with_its_line(tmp_path, text, problem):
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(VideoError, match=problem):
        load_truth(path)


def test_a_missing_truth_file_is_named(tmp_path):
    with pytest.raises(VideoError, match=r"nowhere\.jsonl: cannot read the truth file"):
        load_truth(tmp_path / "nowhere.jsonl")
