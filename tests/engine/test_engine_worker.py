"""The loop of one camera: from frames to passages."""

import threading
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pytest
from engine_fakes import HEIGHT, TEXTS, WIDTH, FakeDetector, fake_stages, frames

from anpr.config.pipeline import Pictures
from anpr.engine import follower
from anpr.engine.messages import Passage, decode, encode
from anpr.engine.pictures import Picture, Quad, pictures_of
from anpr.engine.worker import Worker
from anpr.ops.window import Window
from anpr.records import Frame, Plate
from anpr.tracking.sighting import Origin
from anpr.tracking.tracker import Update

ORIGIN = Origin(site_id="site", camera_id="cam", run_seconds=0.0)


def passages_of(count: int, **changes: object) -> tuple[Worker, list[Passage]]:
    passages: list[Passage] = []
    worker = Worker(fake_stages(**changes), ORIGIN, emit=passages.append)
    worker.run(frames(count))
    return worker, passages


def test_two_vehicles_give_two_sightings_with_pictures() -> None:
    worker, passages = passages_of(80)
    finals = [passage for passage in passages if passage.sighting.state == "final"]
    assert [final.sighting.text for final in finals] == list(TEXTS.values())
    assert worker.counters.total("frames_inferred") == 80
    assert worker.counters.total("plates_found") == 48
    for final in finals:
        kinds = {picture.kind: picture.jpeg for picture in final.pictures}
        overview = cv2.imdecode(np.frombuffer(kinds["overview"], np.uint8), cv2.IMREAD_COLOR)
        plate = cv2.imdecode(np.frombuffer(kinds["plate"], np.uint8), cv2.IMREAD_COLOR)
        assert overview is not None
        assert plate is not None
        assert overview.shape == (HEIGHT, WIDTH, 3)
        assert plate[plate.shape[0] // 2, plate.shape[1] // 2].min() > 150


def test_a_preview_comes_before_the_vehicle_has_passed() -> None:
    _, passages = passages_of(40)
    assert [passage.sighting.state for passage in passages] == ["preview", "final"]
    assert passages[0].arrival_seconds < 6.0 < passages[1].arrival_seconds


def test_pictures_are_made_once_for_as_long_as_no_better_one_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, object]] = []

    def counting(frame: Frame, quad: Quad, settings: Pictures) -> tuple[Picture, ...]:
        made.append((frame.index, quad))
        return pictures_of(frame, quad, settings)

    monkeypatch.setattr(follower, "pictures_of", counting)
    _, passages = passages_of(400)
    assert len({(passage.sighting.track, passage.sighting.quad) for passage in passages}) == len(made)
    assert len(made) == len(set(made)) < len(passages)
    finals = {passage.sighting.track: passage for passage in passages if passage.sighting.state == "final"}
    shown = {index: frame for index, frame in enumerate(frames(400)) if index in {index for index, _ in made}}
    for final in finals.values():
        fresh = [
            pictures_of(shown[i], final.sighting.quad, Pictures()) for i, quad in made if quad == final.sighting.quad
        ]
        assert final.pictures in fresh


def test_a_picture_is_let_go_of_when_a_better_one_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be one of the decoder's few."""
    worker, _ = passages_of(40)
    following = worker.follower
    first, second, third = frames(3)
    quad: Quad = ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0))
    for better in (Update(pictures=((7, 0),)), Update(joined=((8, 7),))):
        following._best, following._told = {7: first, 8: third}, {7: (first, quad, ()), 8: (third, quad, ())}
        monkeypatch.setattr(following._tracker, "update", lambda better=better, **_: better)
        following.take(second, [], [], reason="")
        held = [*following._best.values(), *(told for told, _, _ in following._told.values())]
        assert not any(picture is first for picture in held)


def test_the_same_frames_give_the_same_passages_bit_for_bit() -> None:
    first, second = passages_of(120)[1], passages_of(120)[1]
    assert [encode(passage) for passage in first] == [encode(passage) for passage in second]
    assert decode(encode(first[0])) == first[0]


def test_what_is_in_view_is_settled_when_the_source_fails() -> None:
    def broken() -> Iterator[Frame]:
        yield from frames(10)
        raise OSError("cable")

    passages: list[Passage] = []
    worker = Worker(fake_stages(), ORIGIN, emit=passages.append)
    with pytest.raises(OSError, match="cable"):
        worker.run(broken())
    assert passages[-1].sighting.state == "final"
    assert passages[-1].sighting.frames == 10


def test_what_is_in_view_is_settled_when_the_camera_falls_silent() -> None:
    told: list[list[str]] = []
    passages: list[Passage] = []

    def silent_after(count: int) -> Iterator[Frame | None]:
        yield from frames(count)
        yield None
        told.append([passage.sighting.state for passage in passages])
        yield from frames(44)[40:]

    worker = Worker(fake_stages(), ORIGIN, emit=passages.append)
    worker.run(silent_after(10))
    assert told == [["preview", "final"]]
    assert passages[1].sighting.frames == 10
    assert [passage.sighting.track for passage in passages if passage.sighting.state == "final"] == [0, 1]
    assert worker.counters.total("frames_inferred") == 14


def test_a_stage_that_raises_ends_the_loop_and_counts_its_frame() -> None:
    class Failing(FakeDetector):
        def detect(self, frame: Frame, windows: Sequence[Window] = (), /) -> list[Plate]:
            if frame.index == 7:
                raise RuntimeError("net")
            return super().detect(frame, windows)

    passages: list[Passage] = []
    worker = Worker(fake_stages(detector=Failing()), ORIGIN, emit=passages.append)
    with pytest.raises(RuntimeError, match="net"):
        worker.run(frames(20))
    assert worker.counters.counts["frames_inferred", ""] == 7
    assert worker.counters.counts["frames_dropped", "failed"] == 1
    assert passages[-1].sighting.frames == 7


def test_stop_ends_the_loop_after_the_frame_in_hand() -> None:
    stop = threading.Event()
    worker = Worker(fake_stages(), ORIGIN, emit=lambda passage: stop.set())
    worker.run(frames(40), stop=stop)
    assert 2 <= worker.counters.total("frames_inferred") < 10


def test_no_frames_are_held_once_their_tracks_are_closed() -> None:
    worker, _ = passages_of(400)
    assert worker.follower.held == 0


@pytest.mark.parametrize(
    "quad",
    [
        ((-500.0, -500.0), (-400.0, -500.0), (-400.0, -480.0), (-500.0, -480.0)),
        ((float("nan"), 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)),
        (),
    ],
)
def test_a_plate_outside_the_frame_gives_only_the_overview(quad: tuple[tuple[float, float], ...]) -> None:
    (picture,) = pictures_of(frames(1)[0], quad, Pictures())
    assert picture.kind == "overview"


@pytest.mark.parametrize(("height", "width"), [(241, 321), (2, 2), (1080, 1920), (99, 1000)])
def test_overviews_of_any_size(height: int, width: int) -> None:
    half = ((height + 1) // 2, (width + 1) // 2)
    frame = Frame("c", 0, 0.0, 0.0, np.zeros((height, width), np.uint8), *np.full((2, *half), 128, np.uint8))
    corner = ((width - 2.0, height - 2.0), (width + 9.0, height - 2.0), (width + 9.0, height + 9.0), (0.0, 0.0))
    *_, overview = pictures_of(frame, corner, Pictures())
    image = cv2.imdecode(np.frombuffer(overview.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert abs(image.shape[1] / image.shape[0] - width / height) < 0.05 * width / height
    assert image.shape[1] <= 1280
