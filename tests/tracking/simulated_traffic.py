"""A small world for tracker tests: vehicles in lanes, seen by a pinhole camera on a gantry, read with noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from anpr.plates.lattice import settle
from anpr.records import ALPHABET, EMPTY, Plate, Read, Sighting
from anpr.tracking.tracker import Tracker, Update

FOCAL_PX, WIDTH, HEIGHT = 5000.0, 1920, 1080
CAMERA_M, PITCH = 5.9, np.arctan2(5.9, 22.0)
"""Height of the camera above the plates, and the tilt that puts 22 m ahead in the middle of the picture."""
FAR_M, NEAR_M = 40.0, 14.0
LOOKALIKES = {"0": "D", "8": "B", "5": "S", "1": "7", "7": "1", "B": "8", "D": "0", "6": "G", "3": "8", "4": "A"}
WALL_SECONDS = 1_780_000_000.0


@dataclass(frozen=True, slots=True)
class Vehicle:
    text: str
    lane_m: float
    """Sideways from the camera."""
    speed_m: float
    """Metres per second; positive comes nearer."""
    starts_seconds: float
    """Stream time at which it is FAR_M (coming) or NEAR_M (going) away."""
    lines: int = 1
    hidden: tuple[float, float] = (0.0, 0.0)
    """Stream time between which something stands before the plate."""
    blurred: bool = False

    def distance_m(self, seconds: float) -> float:
        start = FAR_M if self.speed_m > 0 else NEAR_M
        return start - self.speed_m * (seconds - self.starts_seconds)


@dataclass(frozen=True, slots=True)
class Seen:
    """One frame of the world."""

    index: int
    pts_seconds: float
    plates: list[Plate]
    reads: list[Read]
    truth: list[str]
    """Text of the vehicle behind each plate; empty for a false detection."""


def quad_of(lane_m: float, distance_m: float, lines: int) -> NDArray[np.float64]:
    """Corners of a plate that faces along the road, (4, 2)."""
    half_w, half_h = (0.26, 0.055) if lines == 1 else (0.165, 0.0825)
    corners = np.array([(-half_w, -half_h), (half_w, -half_h), (half_w, half_h), (-half_w, half_h)])
    x, y = lane_m + corners[:, 0], CAMERA_M + corners[:, 1]
    depth = distance_m * np.cos(PITCH) + y * np.sin(PITCH)
    height = y * np.cos(PITCH) - distance_m * np.sin(PITCH)
    return np.stack([WIDTH / 2 + FOCAL_PX * x / depth, HEIGHT / 2 + FOCAL_PX * height / depth], axis=1)


def lattice_of(
    text: str, rng: np.random.Generator, *, sharpness: float = 6.0, misreads: float = 0.03
) -> NDArray[np.float32]:
    """A noisy (10, 37) lattice of `text`: noise on every character, here and there a sure misread."""
    logits = rng.normal(0.0, 0.6, (10, EMPTY + 1))
    for slot in range(10):
        character = text[slot] if slot < len(text) else ""
        if character and rng.random() < misreads:
            wrong = LOOKALIKES.get(character, ALPHABET[rng.integers(10)])
            logits[slot, ALPHABET.index(wrong)] += sharpness + rng.normal(0.0, 1.0)
            logits[slot, ALPHABET.index(character)] += sharpness - rng.exponential(1.5)
            continue
        column = ALPHABET.index(character) if character else EMPTY
        logits[slot, column] += sharpness + rng.normal(0.0, 0.8) + (3.0 if not character else 0.0)
    return _normalised(logits)


def sure_lattice(text: str, certainty: float = 0.97) -> NDArray[np.float32]:
    """A (10, 37) lattice that gives each character of `text` this probability."""
    probabilities = np.full((10, EMPTY + 1), (1.0 - certainty) / EMPTY)
    for slot in range(10):
        probabilities[slot, ALPHABET.index(text[slot]) if slot < len(text) else EMPTY] = certainty
    return np.log(probabilities).astype(np.float32)


def noise_lattice(rng: np.random.Generator) -> NDArray[np.float32]:
    """A (10, 37) lattice that a reader gives for something that is no plate."""
    return _normalised(rng.normal(0.0, 1.0, (10, EMPTY + 1)))


def _normalised(logits: NDArray[np.float64]) -> NDArray[np.float32]:
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def read_of(log_probs: NDArray[np.float32], *, unreadable: str = "") -> Read:
    settled = settle(log_probs)
    return Read(log_probs, settled.raw, settled.text, settled.probability, settled.alternatives, unreadable)


def random_text(rng: np.random.Generator) -> str:
    code = rng.choice(["30", "29", "20", "51", "99", "15", "88"])
    return f"{code}{rng.choice(list('ABCDEFGHK'))}{rng.integers(1, 100000):05d}"


def plate_at(x: float, y: float, *, width_px: float = 120.0, lines: int = 1, score: float = 0.9) -> Plate:
    """An upright plate around a centre."""
    w, h = width_px / 2, width_px * (0.11 / 0.52 if lines == 1 else 0.5) / 2
    quad = np.array([(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)], np.float32)
    return Plate(quad, score, 1 if lines == 1 else 2)


@dataclass(slots=True)
class Traffic:
    """Vehicles before one camera."""

    vehicles: list[Vehicle]
    fps: float
    rng: np.random.Generator
    misses: float = 0.08
    """Chance that the detector overlooks a plate in one frame."""
    flickers: float = 0.03
    """False detections per frame."""
    misreads: float = 0.03
    """Chance that a character is misread with confidence."""
    corner_noise: float = 0.015
    """Deviation of a corner, in plate widths."""
    shown: dict[str, int] = field(default_factory=dict)
    """Frames in which each vehicle was really detected, counted as they are made."""

    def frames(self, seconds: float) -> Iterator[Seen]:
        for index in range(int(seconds * self.fps)):
            yield self._frame(index, index / self.fps)

    def _frame(self, index: int, now: float) -> Seen:
        rng, seen = self.rng, Seen(index, now, [], [], [])
        for vehicle in self.vehicles:
            distance = vehicle.distance_m(now)
            if not NEAR_M <= distance <= FAR_M or vehicle.hidden[0] <= now < vehicle.hidden[1]:
                continue
            quad = quad_of(vehicle.lane_m, distance, vehicle.lines)
            inside = (quad > 0).all() and (quad[:, 0] < WIDTH).all() and (quad[:, 1] < HEIGHT).all()
            if not inside or rng.random() < self.misses:
                continue
            quad += rng.normal(0.0, self.corner_noise * np.ptp(quad[:, 0]), (4, 2))
            size = np.sqrt(np.ptp(quad[:, 0]) * np.ptp(quad[:, 1]))
            sharpness = 4.5 + 2.5 * min(size / 60.0, 1.0)
            log_probs = lattice_of(vehicle.text, rng, sharpness=sharpness, misreads=self.misreads)
            seen.plates.append(
                Plate(quad.astype(np.float32), float(rng.uniform(0.6, 0.99)), 1 if vehicle.lines == 1 else 2)
            )
            seen.reads.append(read_of(log_probs, unreadable="blurred" if vehicle.blurred else ""))
            seen.truth.append(vehicle.text)
            self.shown[vehicle.text] = self.shown.get(vehicle.text, 0) + 1
        if rng.random() < self.flickers:
            seen.plates.append(plate_at(rng.uniform(100, 1800), rng.uniform(100, 1000), width_px=rng.uniform(50, 200)))
            seen.reads.append(read_of(noise_lattice(rng)))
            seen.truth.append("")
        return seen


def random_traffic(
    seed: int, *, fps: float, seconds: float, coming: bool = True, lanes: tuple[float, ...] = (-1.9, 1.9)
) -> Traffic:
    """Each lane at its own speed, so lanes overtake each other; headways from 0.9 s, some plates hidden for a while."""
    rng = np.random.default_rng(seed)
    vehicles: list[Vehicle] = []
    for lane in lanes:
        speed, now = rng.uniform(60, 120) / 3.6, rng.uniform(0.0, 1.0)
        while now < seconds - 3.0:
            through = (FAR_M - NEAR_M) / speed
            hidden = (0.0, 0.0)
            if rng.random() < 0.15:
                begin = now + rng.uniform(0.2, 0.8) * through
                hidden = (begin, begin + rng.uniform(0.1, 0.5) * through)
            vehicles.append(
                Vehicle(random_text(rng), lane, speed if coming else -speed, now, int(rng.integers(1, 3)), hidden)
            )
            now += 0.9 + rng.exponential(1.0)
    return Traffic(vehicles, fps, rng)


def newest(updates: Iterable[Update]) -> list[Sighting]:
    """The last word on each sighting that was told; withdrawn ones are left out. Revisions must count up from 0."""
    last: dict[str, Sighting] = {}
    for update in updates:
        for sighting in update.sightings:
            expected = last[sighting.id].revision + 1 if sighting.id in last else 0
            assert sighting.revision == expected, f"{sighting.id}: revision {sighting.revision} after {expected - 1}"
            last[sighting.id] = sighting
    return [sighting for sighting in last.values() if sighting.state != "withdrawn"]


def feed(tracker: Tracker, seen: Seen, *, tainted: bool = False) -> Update:
    return tracker.update(
        pts_seconds=seen.pts_seconds,
        wall_seconds=WALL_SECONDS + seen.pts_seconds,
        plates=seen.plates,
        reads=seen.reads,
        frame_index=seen.index,
        tainted=tainted,
    )


def run(tracker: Tracker, frames: Iterable[Seen]) -> list[Update]:
    """All updates of the frames and of the flush after them."""
    return [*(feed(tracker, seen) for seen in frames), tracker.flush()]
