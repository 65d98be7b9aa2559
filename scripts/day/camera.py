"""From a passing to the sighting that the engine's own reader, track and vote make of it.

The plate of each passing is drawn afresh, soiled and photographed from one to three times, larger as it comes nearer,
and each picture is read by the bundled model. Only the detector is left out: the corners are the drawn ones, shaken as
a detector's are. What is seen once and not plausibly read is no vehicle to the engine, which counts it as a `flicker`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from anpr import assets
from anpr.nets.colour import PATCH, classify
from anpr.nets.model import ModelFolder
from anpr.nets.reader import Reader
from anpr.records import Colour, Frame, Plate, Sighting
from anpr.tracking import sighting
from anpr.tracking.look import Moment
from anpr.tracking.options import TrackOptions
from anpr.tracking.track import Track
from anpr.video.planes import planes_from_bgr
from scripts.day.road import Passing
from scripts.render.plate import draw_plate
from scripts.render.weather import photograph, weather

PX_PER_MM = 0.45
SCALES = (0.62, 0.8, 1.0)
"""Of the looks, from far to near: characters 17 to 28 pixels high on a long plate."""
CORNER_NOISE = 0.02
"""Deviation of a corner, as a share of the plate's height."""
LOOK_SECONDS = 0.12
CHUNK = 256


def photograph_all(passings: Sequence[Passing], *, seed: int, processes: int = 1) -> Iterator[tuple[Sighting, ...]]:
    """The sightings of each passing in turn: its final one, after a preview where one was asked for; none of a
    flicker."""
    jobs = [
        (passings[start : start + CHUNK], range(start, start + CHUNK), seed) for start in range(0, len(passings), CHUNK)
    ]
    if processes == 1 or len(jobs) == 1:
        for job in jobs:
            yield from _photograph(job)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for sightings in pool.map(_photograph, jobs):
            yield from sightings


def _photograph(job: tuple[Sequence[Passing], range, int]) -> list[tuple[Sighting, ...]]:
    passings, numbers, seed = job
    cv2.setNumThreads(1)
    return [see(passing, number, seed=seed) for passing, number in zip(passings, numbers)]


@cache
def _reader() -> Reader:
    return Reader.open(ModelFolder.load(assets.find("models", "reader"), "reader"))


def see(passing: Passing, number: int, *, seed: int) -> tuple[Sighting, ...]:
    """What the camera tells of a passing, nothing of a flicker; `number` is the track's, and with `seed` decides the
    pictures."""
    rng = np.random.default_rng((seed, number))
    spec = passing.vehicle.spec(lines=1 if passing.inbound else 2)
    clean = draw_plate(spec, rng, px_per_mm=PX_PER_MM)
    scene = clean if passing.clear else weather(clean, rng)
    if passing.covered:
        scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), 40.0), np.uint8)
    infrared = float(np.ptp(scene.astype(np.int16), axis=2).mean()) < 3.0 and not passing.clear
    looks = 3 if passing.clear or passing.preview else int(rng.integers(1, 4))
    scales = SCALES[-looks:] if passing.inbound else SCALES[: -looks - 1 : -1]
    track: Track | None = None
    told = []
    origin = sighting.Origin(site_id=passing.site.id, camera_id=passing.site.camera_id, run_seconds=0.0)
    for index, scale in enumerate(scales):
        plate, frame = _look(scene, scale, passing, spec.lines, index, rng, infrared=infrared)
        read = _reader().read(frame, [plate])[0]
        moment = Moment(index, frame.pts_seconds, frame.wall_seconds, False)
        if track is None:
            track = Track(number, plate, read, moment)
        else:
            track.add(plate, read, moment)
        if passing.preview and index == looks - 2:
            track.revision += 1
            told.append(sighting.build(track, track.vote(), origin=origin, state="preview", options=TrackOptions()))
    assert track is not None
    track.revision += 1
    told.append(sighting.build(track, track.vote(), origin=origin, state="final", options=TrackOptions()))
    if not told[:-1] and _flickers(told[-1]):
        return ()
    facts: dict[str, str] = {"direction": "approaching" if passing.inbound else "receding"}
    if passing.site.classifies:
        facts["vehicle_class"] = passing.vehicle.body
    return tuple(msgspec.structs.replace(each, **facts) for each in told)


def _flickers(final: Sighting) -> bool:
    """Whether the tracker would drop it, as `anpr.tracking.tracker` says."""
    options = TrackOptions()
    plausible = final.text and (final.raw == final.text or final.probability >= options.plausible_probability)
    return not plausible and final.frames <= options.flicker_frames


def _look(
    scene: NDArray[np.uint8], scale: float, passing: Passing, lines: int, index: int, rng: np.random.Generator, *,
    infrared: bool,
) -> tuple[Plate, Frame]:  # fmt: skip
    """One picture of the plate, with its corners a little off."""
    size = (max(8, round(scene.shape[1] * scale)), max(8, round(scene.shape[0] * scale)))
    small = np.asarray(cv2.resize(scene, size, interpolation=cv2.INTER_AREA), np.uint8)
    picture = small if passing.clear else photograph(small, rng)
    luma, chroma_u, chroma_v = planes_from_bgr(picture)
    right, bottom = size[0] - 1.0, size[1] - 1.0
    corners = np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float32)
    corners += rng.normal(0, CORNER_NOISE * size[1], (4, 2)).astype(np.float32)
    at = index * LOOK_SECONDS
    wall = passing.at_seconds + passing.site.clock_error_seconds + at
    frame = Frame(passing.site.camera_id, index, at, wall, luma, chroma_u, chroma_v)
    colour: Colour = "unknown" if infrared else _colour(chroma_u, chroma_v)
    return Plate(corners, 0.95, 2 if lines == 2 else 1, colour), frame


def _colour(chroma_u: NDArray[np.uint8], chroma_v: NDArray[np.uint8]) -> Colour:
    """By the engine's own rule, from the middle of a picture that shows the plate alone."""
    u, v = (
        np.asarray(cv2.resize(plane, PATCH, interpolation=cv2.INTER_AREA), np.uint8)[2:-2, 3:-3]
        for plane in (chroma_u, chroma_v)
    )
    return classify(u, v)
