"""The tracker's promises, one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_traffic import WALL_SECONDS, newest, noise_lattice, np, plate_at, read_of, sure_lattice

from anpr.metrics import Counters
from anpr.tracking.options import TrackOptions
from anpr.tracking.sighting import Origin, sighting_id
from anpr.tracking.tracker import Tracker, Update

ORIGIN = Origin(site_id="north", camera_id="gate-1", run_seconds=WALL_SECONDS, pipeline="cpu 1a2b", models=("reader",))


class Road:
    """A tracker fed by hand: one call per frame, each plate as (x, y, text)."""

    def __init__(self, *, fps: float = 25.0, **options) -> None:
        self.counters = Counters()
        self.tracker = Tracker(ORIGIN, options=TrackOptions(**options), counters=self.counters)
        self.index, self.step, self.updates = 0, 1 / fps, []
        self.score = 0.9

    def frame(self, *plates, tainted: bool = False, lines: int = 1, colour: str = "unknown") -> Update:
        """`text` may be a lattice; a text that begins with '!' is why the read is unreadable."""
        seen, reads = [], []
        for x, y, text in plates:
            plate = plate_at(x, y, width_px=80 + y / 10, lines=lines)
            seen.append(type(plate)(plate.quad, self.score, plate.lines, colour))
            unreadable = text[1:] if isinstance(text, str) and text.startswith("!") else ""
            lattice = sure_lattice("" if unreadable else text) if isinstance(text, str) else text
            reads.append(read_of(lattice, unreadable=unreadable))
        update = self.tracker.update(
            pts_seconds=self.index * self.step,
            wall_seconds=WALL_SECONDS + self.index * self.step,
            plates=seen,
            reads=reads,
            frame_index=self.index,
            tainted=tainted,
        )
        self.index += 1
        self.updates.append(update)
        return update

    def skip(self, seconds: float) -> None:
        """Frames without plates."""
        for _ in range(round(seconds / self.step)):
            self.frame()

    def end(self):
        """The last word on each vehicle, in order of tracks."""
        self.updates.append(self.tracker.flush())
        return sorted(newest(self.updates), key=lambda sighting: sighting.track)


def test_a_passage_is_told_early_and_again_when_it_is_over():
    road = Road()
    assert not road.frame((400, 300, "30A12345")).sightings
    (preview,) = road.frame((405, 330, "30A12345")).sightings
    assert (preview.state, preview.revision, preview.text, preview.reads) == ("preview", 0, "30A12345", 2)
    assert not road.frame((410, 362, "30A12345")).sightings
    road.skip(0.9)
    assert not any(update.sightings for update in road.updates[2:])
    road.skip(0.2)
    (final,) = [sighting for update in road.updates[2:] for sighting in update.sightings]
    assert (final.state, final.revision, final.id) == ("final", 1, preview.id)
    assert (final.frames, final.reads, final.display, final.kind) == (3, 3, "30A-123.45", "car")
    assert (final.province_code, final.province) == ("30", "Hà Nội")
    assert final.first_seconds == WALL_SECONDS
    assert final.last_seconds == pytest.approx(WALL_SECONDS + 0.08)
    assert final.seen_seconds - final.first_seconds == pytest.approx(final.pts_seconds)
    assert (final.pipeline, final.models, final.tainted, final.direction) == (
        "cpu 1a2b",
        ("reader",),
        False,
        "approaching",
    )
    assert road.tracker.live_tracks == 0


def test_without_a_preview_the_final_is_revision_0():
    road = Road(preview_reads=10)
    for step in range(3):
        road.frame((400, 300 + 30 * step, "30A12345"))
    (final,) = road.end()
    assert (final.state, final.revision) == ("final", 0)


def test_no_preview_while_unsure():
    road = Road()
    doubtful = np.log(0.5 * np.exp(sure_lattice("30A12345")) + 0.5 * np.exp(sure_lattice("30A12845")))
    for step in range(6):
        assert not road.frame((400, 300 + 30 * step, doubtful)).sightings
    (final,) = road.end()
    assert final.text in ("30A12345", "30A12845")
    assert 0.4 < final.probability < 0.6
    assert {text for text, _ in final.alternatives[:2]} == {"30A12345", "30A12845"}


def test_two_vehicles_with_one_read_each_are_two():
    road = Road(fps=5)
    road.frame((900, 300, "30A12345"))
    road.frame((905, 420, "51F67890"))
    assert [sighting.text for sighting in road.end()] == ["30A12345", "51F67890"]


def test_followers_in_the_same_place_are_split_where_the_text_changes():
    road = Road(preview_reads=100)
    for text in ("30A12345",) * 4 + ("51F67890",) * 5:
        road.frame((900, 300, text))
    first, second = road.end()
    assert (first.text, second.text) == ("30A12345", "51F67890")
    assert (first.frames, second.frames) == (4, 5)
    assert second.first_seconds > first.last_seconds
    assert first.id != second.id
    assert road.counters.total("tracks_split") == 1
    owners = [each for update in road.updates for each in update.joined]
    assert owners in ([], [(first.track, second.track)])


def test_a_half_that_proves_to_be_another_track_in_view_is_joined_once():
    road = Road()
    for _ in range(4):
        road.frame((400, 300, "30A12345"))
    for _ in range(4):
        road.frame((400, 300, "30A12345"), (400, 410, "51F67890"))
    for _ in range(4):
        road.frame((400, 300, "51F67890"))
    assert road.tracker.live_tracks == 2
    told = road.end()
    assert [(each.text, each.state) for each in told] == [("30A12345", "final"), ("51F67890", "final")]
    assert (road.counters.total("tracks_split"), road.counters.total("tracks_joined")) == (1, 1)


def test_one_misread_frame_does_not_make_a_second_vehicle():
    road = Road()
    for text in ("30A12345", "30A12345", "30A12345", "88D99999", "30A12345", "30A12345"):
        road.frame((400 + road.index, 300 + 20 * road.index, text))
    (only,) = road.end()
    assert (only.text, only.frames) == ("30A12345", 6)
    assert only.probability > 0.95


def test_a_vehicle_lost_for_two_seconds_comes_back_as_the_same_sighting():
    road = Road()
    for step in range(4):
        road.frame((400, 300 + 2 * step, "30A12345"))
    road.skip(2.0)
    for step in range(4):
        road.frame((400, 420 + 2 * step, "30A12345"))
    (only,) = road.end()
    assert (only.frames, only.revision, only.first_seconds) == (8, 2, WALL_SECONDS)
    assert road.counters.total("tracks_joined") == 1
    states = [(sighting.state, sighting.revision) for update in road.updates for sighting in update.sightings]
    assert states == [("preview", 0), ("final", 1), ("final", 2)]


def test_another_vehicle_after_two_seconds_does_not():
    road = Road()
    for y, text in ((300, "30A12345"), (420, "30A12346")):
        for step in range(4):
            road.frame((400, y + 2 * step, text))
        road.skip(2.0)
    assert [sighting.text for sighting in road.end()] == ["30A12345", "30A12346"]


def test_the_same_plate_much_later_is_another_passage():
    road = Road()
    for _ in range(2):
        for step in range(4):
            road.frame((400, 300 + 30 * step, "30A12345"))
        road.skip(8.0)
    first, second = road.end()
    assert first.text == second.text == "30A12345"
    assert first.id != second.id


def test_a_preview_that_proves_to_be_an_earlier_vehicle_is_withdrawn():
    road = Road()
    for text, frames in (("30A12345", 5), ("", 40), ("30A17845", 2), ("30A12345", 30)):
        for _ in range(frames):
            road.frame(*([(400, 300 + 2 * road.index, text)] if text else []))
    (only,) = road.end()
    assert (only.text, only.state, only.frames, only.track) == ("30A12345", "final", 37, 0)
    withdrawn = [sighting for update in road.updates for sighting in update.sightings if sighting.state == "withdrawn"]
    assert [(sighting.track, sighting.text, sighting.revision) for sighting in withdrawn] == [(1, "30A12345", 1)]


def test_a_number_painted_on_the_same_truck_is_no_second_vehicle():
    road = Road()
    for step in range(8):
        road.frame((400, 500 + 20 * step, "29C12345"), (600, 300 + 12 * step, "29C12345" if step else "29C1Z345"))
    (only,) = road.end()
    assert (only.text, only.frames) == ("29C12345", 8)
    assert road.counters.counts[("tracks_dropped", "same text as another plate in view")] == 1


def test_a_convoy_with_consecutive_plates_is_as_many_vehicles():
    road = Road()
    for step in range(8):
        road.frame((400, 600 + 20 * step, "29C12345"), (420, 200 + 12 * step, "29C12346"))
    assert [sighting.text for sighting in road.end()] == ["29C12345", "29C12346"]


def test_a_false_detection_of_one_frame_is_counted_not_told():
    road = Road()
    road.frame((400, 300, noise_lattice(np.random.default_rng(1))))
    road.frame((1500, 800, "!too small"))
    assert road.end() == []
    assert road.counters.counts[("tracks_dropped", "flicker")] == 2
    assert [track for update in road.updates for track in update.closed] == [0, 1]


def test_a_single_frame_with_a_plate_is_a_sighting():
    road = Road()
    road.frame((400, 300, "30A12345"))
    (only,) = road.end()
    assert (only.text, only.frames, only.direction) == ("30A12345", 1, "unknown")


def test_a_thing_that_never_moves_and_has_no_text_is_no_passage():
    road = Road()
    for _ in range(40):
        road.frame((400, 300, noise_lattice(np.random.default_rng(1))))
    assert road.end() == []
    assert road.counters.counts[("tracks_dropped", "stood still without a plate text")] == 1


@pytest.mark.parametrize(
    ("text", "tainted", "reason"),
    [
        ("!too small", False, "too small"),
        ("30A12345", True, "only damaged pictures"),
        ("WQJ7IO3K", False, "not a Vietnamese plate"),
    ],
)
def test_an_unreadable_passage_says_why(text, tainted, reason):
    road = Road()
    for step in range(5):
        road.frame((400, 300 + 30 * step, text), tainted=tainted)
    (only,) = road.end()
    assert (only.text, only.display, only.probability, only.unreadable) == ("", "", 0.0, reason)
    assert only.frames == 5
    assert only.tainted is tainted
    assert bool(only.raw) == (not text.startswith("!"))


def test_reads_that_disagree_say_so():
    road = Road(text_probability=0.6, preview_reads=100)
    for text in ("30A12345", "30A12845") * 3:
        road.frame((400, 300 + 30 * road.index, text))
    (only,) = road.end()
    assert (only.text, only.unreadable) == ("", "reads disagree")
    assert {text for text, _ in only.alternatives[:2]} == {"30A12345", "30A12845"}


def test_clean_frames_decide_among_damaged_ones():
    road = Road()
    for step in range(6):
        road.frame((400, 300 + 30 * step, "30A12345" if step == 3 else "30A12845"), tainted=step != 3)
    (only,) = road.end()
    assert (only.text, only.tainted) == ("30A12345", False)


@pytest.mark.parametrize("damaged", [12, 60])
def test_many_damaged_frames_do_not_outvote_a_weak_clean_one(damaged):
    road = Road()
    road.frame((400, 300, sure_lattice("30A12845", 0.6)))
    for step in range(damaged):
        road.frame((400, 300 + 5 * step, "30A12345"), tainted=True)
    (only,) = road.end()
    assert (only.text, only.tainted) == ("30A12845", False)
    assert only.probability < 0.95
    assert not any(sighting.state == "preview" for update in road.updates for sighting in update.sightings)


def test_lines_and_colour_are_those_of_most_frames():
    road = Road()
    for step in range(5):
        lines, colour = (1, "blue") if step == 2 else (2, "yellow")
        road.frame((400, 300 + 30 * step, "30A12345"), lines=lines, colour=colour)
    (only,) = road.end()
    assert (only.lines, only.colour) == (2, "yellow")


@pytest.mark.parametrize("jump", [3.5, -1.0])
def test_a_jump_of_stream_time_closes_all_tracks(jump):
    road = Road()
    for step in range(3):
        road.frame((400, 300 + 30 * step, "30A12345"))
    road.index += round(jump / road.step)
    update = road.frame((400, 390, "30A12345"))
    assert [sighting.state for sighting in update.sightings] == ["final"]
    assert update.closed == (0,)
    assert len(road.end()) == 2
    assert road.counters.counts[("tracks_cut", "time jump")] == 1


def test_numbers_are_each_trackers_own_and_ids_repeat_in_a_replay():
    first, again = Road(), Road()
    for road in (first, again):
        road.frame((400, 300, "30A12345"), (1500, 300, "29C11111"))
    assert first.end() == again.end()
    assert [sighting.track for sighting in newest(first.updates)] == [0, 1]
    other = Origin(site_id="north", camera_id="gate-2", run_seconds=WALL_SECONDS)
    later = Origin(site_id="north", camera_id="gate-1", run_seconds=WALL_SECONDS + 1)
    ids = {sighting_id(origin, number) for origin in (ORIGIN, other, later) for number in range(50)}
    assert len(ids) == 150


def test_numbers_are_not_used_again_after_flush():
    road = Road()
    road.frame((400, 300, "30A12345"))
    road.tracker.flush()
    road.frame((400, 300, "29C11111"))
    (later,) = road.tracker.flush().sightings
    assert later.track == 1


def test_pictures_are_wanted_of_ever_better_frames_and_let_go_at_the_end():
    road = Road()
    wanted = []
    for certainty in (0.8, 0.9, 0.97, 0.9, 0.95):
        update = road.frame((1500, 50, "29C11111"), (400, 300 + 30 * road.index, sure_lattice("30A12345", certainty)))
        wanted += [road.index - 1 for track, plate in update.pictures if (track, plate) == (1, 1)]
    assert wanted == [0, 1, 2]
    sighting = next(each for each in road.end() if each.track == 1)
    assert sighting.pts_seconds == pytest.approx(2 * road.step)
    assert sighting.quad == tuple((float(x), float(y)) for x, y in plate_at(400, 360, width_px=116).quad)
    assert sorted(track for update in road.updates for track in update.closed) == [0, 1]


def test_too_many_plates_are_cut_and_counted():
    road = Road(max_tracks=5)
    road.frame(*((100 + 200 * i, 100 + 90 * i, f"30A0000{i + 1}") for i in range(8)))
    assert road.tracker.live_tracks == 5
    assert road.counters.counts[("tracks_cut", "too many")] == 3
    assert len(road.end()) == 8


def test_plates_without_reads_are_refused():
    with pytest.raises(ValueError, match="1 plates and 0 reads"):
        Road().tracker.update(pts_seconds=0, wall_seconds=0, plates=[plate_at(0, 0)], reads=[], frame_index=0)


@pytest.mark.parametrize(
    ("name", "value"), [("max_gap_seconds", 0.0), ("preview_probability", 1.5), ("max_tracks", -1)]
)
def test_options_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        TrackOptions(**{name: value})


FRAMES = st.lists(
    st.tuples(
        st.integers(1, 40),
        st.lists(
            st.tuples(st.integers(0, 1900), st.integers(0, 1000), st.sampled_from(["30A12345", "29C5", "!blurred"])),
            max_size=4,
        ),
        st.booleans(),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(FRAMES)
def test_whatever_comes_every_picture_is_let_go_and_every_sighting_ends_final(frames):
    road, held = Road(), set()
    for step, plates, tainted in frames:
        road.index += step
        update = road.frame(*plates, tainted=tainted)
        follow(held, update)
    sightings = road.end()
    follow(held, road.updates[-1])
    assert not held
    for sighting in sightings:
        assert sighting.state == "final"
        assert bool(sighting.text) != bool(sighting.unreadable)
        assert 0.0 <= sighting.probability <= 1.0
        assert sighting.first_seconds <= sighting.seen_seconds <= sighting.last_seconds
        assert sighting.reads <= sighting.frames


def follow(held: set[int], update: Update) -> None:
    """Do with an update what a worker does."""
    held |= {track for track, _ in update.pictures}
    for track, other in update.joined:
        held.remove(track)
        held.add(other)
    for track in update.closed:
        held.discard(track)


def test_what_the_detector_was_never_sure_of_is_a_sighting_only_with_a_plausible_text():
    def passage(text, score: float) -> Road:
        road = Road()
        road.score = score
        for index in range(8):
            road.frame((400 + 30 * index, 300 + 60 * index, text))
        return road

    badge = passage("!blurred", 0.5)
    assert not badge.end()
    assert badge.counters.counts["tracks_dropped", "never surely a plate"] == 1
    assert [sighting.text for sighting in passage("!blurred", 0.9).end()] == [""]
    assert [sighting.text for sighting in passage("30A12345", 0.5).end()] == ["30A12345"]


def test_where_the_reader_mostly_sees_no_plate_the_detector_must_be_surer():
    def passage(*texts: str) -> Road:
        road = Road()
        road.score = 0.75
        for index, text in enumerate(texts):
            road.frame((400 + 30 * index, 300 + 60 * index, text))
        return road

    grille = passage(*["!no plate"] * 6, "!too blurred")
    assert not grille.end()
    assert grille.counters.counts["tracks_dropped", "never surely a plate"] == 1
    assert len(passage("!no plate", *["!too blurred"] * 6).end()) == 1


def texts(road):
    return [each.text or each.unreadable for each in road.end()]


@pytest.mark.parametrize("begins", [0, 4], ids=["its beginning", "its middle"])
def test_a_plate_that_jumps_is_one_vehicle(begins):
    """The detector puts a far plate a size and a half too far left in three pictures, where nothing can be read."""
    road = Road()
    for step in range(14):
        astray = begins <= step < begins + 3
        road.frame((400 - 75 * astray, 300 + 6 * step, "!blurred" if astray else "30A12345"))
    assert texts(road) == ["30A12345"]
    assert road.counters.counts["tracks_dropped", "lost and found beside"] == 1


def test_a_vehicle_that_cannot_be_read_beside_another_is_a_vehicle():
    road = Road()
    for step in range(14):
        plate, other = (400, 300 + 20 * step, "30A12345"), (325, 300 + 20 * step, "!blurred")
        if step == 4:  # the first is missed as the second begins
            road.frame(other)
        else:
            road.frame(plate, *([other] if 4 < step < 12 else []))
    assert sorted(texts(road)) == ["30A12345", "blurred"]
    assert not road.counters.counts.get(("tracks_dropped", "lost and found beside"))


def test_a_vehicle_that_cannot_be_read_and_hides_a_parked_one_is_a_vehicle():
    road = Road(fps=10)
    for _ in range(10):
        road.frame((400, 300, "30A12345"))
    for step in range(10):  # it comes into view beside the parked one's plate, and drives past it
        road.frame((463 + 70 * step, 300 + 5 * step, "!blurred"))
    for _ in range(10):
        road.frame((400, 300, "30A12345"))
    assert sorted(texts(road)) == ["30A12345", "blurred"]


@pytest.mark.parametrize("text", ["30A12345", "!too blurred"])
def test_a_vehicle_that_hides_the_one_in_front_is_another(text):
    """As motorbikes do, one close behind the other: what was in view for as long is no piece of it."""
    road = Road(fps=10)
    for step in range(8):
        road.frame((400, 300 + 20 * step, "!blurred"))
    for step in range(8, 20):
        road.frame((400, 220 + 20 * step, text))
    assert texts(road) == ["blurred", text.removeprefix("!")]


def test_a_plate_that_is_lost_again_and_again_holds_nothing_of_its_past():
    road = Road(fps=10)
    for step in range(60):
        road.frame((400 + 75 * (step // 5 % 2), 300, "30A12345"))
    (track,) = road.tracker._live
    assert track.beside is None or track.beside.beside is None


def test_what_is_read_beside_a_plate_that_comes_back_is_a_vehicle():
    road = Road()
    for step in range(14):
        beside = 4 <= step < 8
        road.frame((400 - 75 * beside, 300 + 6 * step, "51F67890" if beside else "30A12345"))
    assert sorted(texts(road)) == ["30A12345", "51F67890"]


def test_a_vehicle_that_cannot_be_read_is_told_though_another_follows_elsewhere():
    road = Road()
    for step in range(5):
        road.frame((400, 300 + 30 * step, "!blurred"))
    for step in range(9):
        road.frame((900, 300 + 30 * step, "30A12345"))
    assert texts(road) == ["blurred", "30A12345"]
