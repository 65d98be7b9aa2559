"""One vehicle's plates through the frames of one camera, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log

import numpy as np
from numpy.typing import NDArray

from anpr.records import Colour, Direction, Plate, Read
from anpr.tracking.association import agreement
from anpr.tracking.look import Look, Moment, quality, smoothed
from anpr.tracking.motion import Motion, Spot, spot_of
from anpr.tracking.vote import Vote, effective_looks, vote

KEPT_LOOKS = 24
"""Best reads kept for the vote. More add nothing: their errors are those of the kept ones."""
MOVED_SIZES = 1.0
"""A plate that went less than this many of its own sizes has stood still."""
GROWN = 0.10
"""Change of log size that tells approaching from receding."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """The most legible plate so far."""

    legibility: float
    moment: Moment
    quad: NDArray[np.float32]


class Track:
    """State of one vehicle. Made by a Tracker from the vehicle's first plate and its read; `add` takes each further
    plate, with its read or None if it was not read."""

    __slots__ = (
        "_ballot",
        "_belief",
        "_colours",
        "_lines",
        "_log_sum",
        "_squares",
        "_weights",
        "beside",
        "best_score",
        "clean_frames",
        "clean_reads",
        "doubted",
        "first",
        "first_spot",
        "frames",
        "gaps",
        "last",
        "last_read_readable",
        "looks",
        "missed",
        "motion",
        "moved_sizes",
        "next_preview_reads",
        "number",
        "picture",
        "read_seconds",
        "read_size",
        "reads",
        "reads_tried",
        "revision",
        "unreadable",
    )

    def __init__(self, number: int, plate: Plate, read: Read, moment: Moment) -> None:
        self.number = number
        self.revision = -1
        """Of the last sighting told of this track; -1 if none yet."""
        self.first = self.last = moment
        self.first_spot = spot_of(plate.quad)
        self.motion = Motion(self.first_spot, moment.pts_seconds)
        self.moved_sizes = 0.0
        """Greatest distance from the first spot, in sizes of the plate there."""
        self.frames = 0
        self.missed = 0
        """Frames looked at in vain since the last plate …"""
        self.gaps = 0
        """… and before it."""
        self.reads = 0
        """Readable reads taken in, kept or not …"""
        self.reads_tried = 0
        """… and all, also of plates that could not be read."""
        self.read_seconds = moment.pts_seconds
        """Stream time of the last of them …"""
        self.last_read_readable = False
        """… and whether it was readable."""
        self.read_size = 0.0
        """Size of the largest plate that was readable."""
        self.beside: Track | None = None
        """One that was near when this one began, without a plate of its own in that picture or any since that shows
        this one: the detector may have lost its plate and found it again a little beside."""
        self.doubted = False
        """True if the last readable read contradicts those before it."""
        self.looks: list[Look] = []
        """The best readable reads, at most KEPT_LOOKS, in order of time."""
        self.best_score = 0.0
        """The detector's best."""
        self.unreadable: dict[str, int] = {}
        """Why the other reads were not readable, counted."""
        self.clean_frames = 0
        self.clean_reads = 0
        self.picture = Picture(-1.0, moment, plate.quad)
        self.next_preview_reads = 0
        self._log_sum = np.zeros(read.log_probs.shape, np.float32)
        self._weights = self._squares = 0.0
        self._ballot: Vote | None = None
        self._belief: NDArray[np.float32] | None = None
        self._lines = [0.0, 0.0]
        self._colours: dict[Colour, float] = {}
        self._take(plate, read, moment, self.first_spot)

    @property
    def lines(self) -> int:
        """The line count most of the detector's confidence says."""
        return 1 if self._lines[0] >= self._lines[1] else 2

    @property
    def colour(self) -> Colour:
        """The background most of the detector's confidence says; unknown only if nothing else was ever said."""
        return max(self._colours, key=self._colours.__getitem__) if self._colours else "unknown"

    @property
    def tainted(self) -> bool:
        """True if every read came from possibly damaged pictures."""
        return not (self.clean_reads if self.reads else self.clean_frames)

    @property
    def direction(self) -> Direction:
        """From the growth of the plate, else from its way down or up the picture (cameras look down on a road)."""
        spot = self.motion.spot
        growth = log(spot.size / self.first_spot.size)
        if abs(growth) < GROWN:
            descent = (spot.y - self.first_spot.y) / spot.size
            growth = descent if abs(descent) > MOVED_SIZES else 0.0
        return "approaching" if growth > 0.0 else "receding" if growth < 0.0 else "unknown"

    @property
    def still(self) -> bool:
        """True if the plate is known not to move in the picture."""
        return self.frames > 2 and self.motion.speed_sizes < 0.5

    @property
    def belief(self) -> NDArray[np.float32] | None:
        """(slots, 37) probabilities of the characters by all reads so far; None before the first readable one."""
        if self._belief is None and self._weights > 0.0:
            scale = effective_looks(self._weights, self._squares) / self._weights
            logits = self._log_sum * scale
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            self._belief = odds / odds.sum(axis=1, keepdims=True)
        return self._belief

    @property
    def surety(self) -> float:
        """The chance of the least sure character, by all reads so far."""
        belief = self.belief
        return 0.0 if belief is None else float(belief.max(axis=1).min())

    def add(self, plate: Plate, read: Read | None, moment: Moment) -> bool:
        """Take in the vehicle's plate of a later frame; True if it is the most legible so far."""
        spot = spot_of(plate.quad)
        self.motion.correct(spot, moment.pts_seconds)
        start = self.first_spot
        distance = ((spot.x - start.x) ** 2 + (spot.y - start.y) ** 2) ** 0.5
        self.moved_sizes = max(self.moved_sizes, distance / start.size)
        return self._take(plate, read, moment, spot)

    def _take(self, plate: Plate, read: Read | None, moment: Moment, spot: Spot) -> bool:
        ordinal, self.frames, self.last = self.frames, self.frames + 1, moment
        self._ballot = None
        self.gaps += self.missed
        self.missed = 0
        self.clean_frames += not moment.tainted
        self.best_score = max(self.best_score, plate.score)
        self._lines[plate.lines - 1] += plate.score
        if plate.colour != "unknown":
            self._colours[plate.colour] = self._colours.get(plate.colour, 0.0) + plate.score
        if read is None:
            return False
        weight = quality(read, size_px=spot.size, tainted=moment.tainted)
        self.reads_tried += 1
        self.read_seconds, self.last_read_readable = moment.pts_seconds, not read.unreadable
        if read.unreadable:
            self.unreadable[read.unreadable] = self.unreadable.get(read.unreadable, 0) + 1
        else:
            self.reads += 1
            self.clean_reads += not moment.tainted
            self.read_size = max(self.read_size, spot.size)
            self.doubted = self._contradicted(read)
            self._keep(Look(plate, read, weight, ordinal, moment))
            self._log_sum += weight * smoothed(read.log_probs)
            self._weights += weight
            self._squares += weight * weight
            self._belief = None
        legibility = weight * (0.1 + read.probability) * (0.05 if read.unreadable else 1.0)
        if legibility <= self.picture.legibility:
            return False
        self.picture = Picture(legibility, moment, plate.quad)
        return True

    def _contradicted(self, read: Read) -> bool:
        """Whether `read` shows another text than the reads so far."""
        belief = self.belief
        return belief is not None and float(agreement(belief[None], np.exp(read.log_probs)[None])[0, 0]) < 0.0

    def _keep(self, look: Look) -> None:
        self.looks.append(look)
        if len(self.looks) > KEPT_LOOKS:
            # Damaged ones go first: they must not push out the clean ones, which decide.
            worst = min(self.looks, key=lambda look: (not look.moment.tainted, look.weight))
            self.looks.remove(worst)

    def vote(self) -> Vote | None:
        """What the reads say together, damaged pictures only if there are no others; None if none was readable."""
        if self._ballot is None and self.looks:
            clean = [look for look in self.looks if not look.moment.tainted]
            self._ballot = vote(clean or self.looks, colour=self.colour, lines=self.lines)
        return self._ballot

    def join(self, earlier: Track) -> bool:
        """Become the continuation of `earlier`: take its number and its past. True if this one's picture is the better.

        The earlier track must not be used afterwards.
        """
        offset = earlier.frames
        self.number, self.revision = earlier.number, earlier.revision
        self.first, self.first_spot = earlier.first, earlier.first_spot
        spot, start = self.motion.spot, earlier.first_spot
        distance = ((spot.x - start.x) ** 2 + (spot.y - start.y) ** 2) ** 0.5
        self.moved_sizes = max(earlier.moved_sizes, distance / start.size)
        self.frames += earlier.frames
        self.gaps += earlier.gaps
        self.reads += earlier.reads
        self.reads_tried += earlier.reads_tried
        self.read_size = max(self.read_size, earlier.read_size)
        self.clean_frames += earlier.clean_frames
        self.clean_reads += earlier.clean_reads
        later = [replace(look, ordinal=look.ordinal + offset) for look in self.looks]
        self.looks = list(earlier.looks)
        for look in later:
            self._keep(look)
        for reason, count in earlier.unreadable.items():
            self.unreadable[reason] = self.unreadable.get(reason, 0) + count
        self.best_score = max(self.best_score, earlier.best_score)
        self._lines = [mine + theirs for mine, theirs in zip(self._lines, earlier._lines, strict=True)]
        for colour, score in earlier._colours.items():
            self._colours[colour] = self._colours.get(colour, 0.0) + score
        self._log_sum += earlier._log_sum
        self._weights += earlier._weights
        self._squares += earlier._squares
        self._belief = self._ballot = None
        if earlier.picture.legibility >= self.picture.legibility:
            self.picture = earlier.picture
            return False
        return True

    def split(self, where: int, number: int) -> tuple[Track, Track]:
        """The vehicles before and from `looks[where]`; the second is `number`. Both live on their kept looks alone."""
        before = Track._of(self.number, self.looks[:where])
        after = Track._of(number, self.looks[where:])
        boundary = self.looks[where].ordinal
        before.revision, before.first, before.frames = self.revision, self.first, boundary
        # Only one of the two owns the picture that was kept.
        owner, other = (before, after) if self.picture.moment.pts_seconds < after.first.pts_seconds else (after, before)
        owner.picture, other.picture = self.picture, replace(other.picture, legibility=0.0)
        after.last, after.frames, after.motion = self.last, self.frames - boundary, self.motion
        return before, after

    @classmethod
    def _of(cls, number: int, looks: list[Look]) -> Track:
        track = cls(number, looks[0].plate, looks[0].read, looks[0].moment)
        for look in looks[1:]:
            track.add(look.plate, look.read, look.moment)
        return track

    def __repr__(self) -> str:
        return f"Track(#{self.number}, {self.frames} frames, {self.reads} reads, revision {self.revision})"
