"""What one camera's loop knows of its vehicles: the tracker, the best picture of each, and the sightings told of them.

The loops differ (one picture after the other on the processor, many cameras' pictures at once on a GPU), this does not:
so the same plates and reads become the same sightings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Generic, Protocol, TypeVar

from anpr.config.pipeline import Pictures
from anpr.engine.messages import Passage
from anpr.engine.pictures import Picture, Quad, pictures_of
from anpr.metrics import Counters
from anpr.ops.window import Window
from anpr.records import Frame, Plate, Read, Sighting
from anpr.tracking.fixtures import Fixtures
from anpr.tracking.options import TrackOptions
from anpr.tracking.sighting import Origin
from anpr.tracking.sparing import Attention, SpareOptions
from anpr.tracking.tracker import Tracker, Update


class Pictured(Protocol):
    """What is asked of a picture, wherever it lies."""

    @property
    def index(self) -> int: ...
    @property
    def pts_seconds(self) -> float: ...
    @property
    def wall_seconds(self) -> float: ...
    @property
    def tainted(self) -> bool: ...
    @property
    def arrival_seconds(self) -> float: ...


PictureT = TypeVar("PictureT", bound=Pictured)


@dataclass(slots=True)
class StageSeconds:
    """Where the time of a loop goes."""

    source: float = 0.0
    """Waiting for the next picture; for a recording this is decoding."""
    gate: float = 0.0
    """Deciding whether a picture is looked at."""
    detect: float = 0.0
    read: float = 0.0
    track: float = 0.0
    pictures: float = 0.0
    emit: float = 0.0

    def to_dict(self) -> dict[str, float]:
        """Seconds by stage."""
        return asdict(self)


class Follower(Generic[PictureT]):
    """Follows the vehicles of one camera and hands out each sighting with its pictures. Not thread-safe.

    The newest best picture of every live track is held until its sighting has been told; pictures share their memory
    with the decoder, so holding one costs its planes only.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        track: TrackOptions,
        spare: SpareOptions,
        pictures: Pictures,
        emit: Callable[[Passage], None],
        bring_home: Callable[[PictureT], Frame],
        counters: Counters,
    ) -> None:
        """`emit` is called in the thread that calls; `bring_home` gives a picture's planes in the host's memory."""
        self.counters = counters
        self.seconds = StageSeconds()
        self._emit = emit
        self._bring_home = bring_home
        self._pictures = pictures
        self._tracker = Tracker(origin, options=track, sparing=spare, counters=counters)
        self._fixtures = Fixtures()
        self._sparing = spare.active
        self._best: dict[int, PictureT] = {}
        """The picture that shows each track's plate best."""
        self._told: dict[int, tuple[PictureT, Quad, tuple[Picture, ...]]] = {}
        """What the newest revision of each track was told with: a better picture does not come for each."""

    @property
    def attention(self) -> Attention:
        """What the vehicles in view need."""
        return self._tracker.attention

    @property
    def held(self) -> int:
        """Pictures held for their tracks."""
        return len(self._best)

    def places(self, pts_seconds: float) -> list[Window]:
        """Where the plates of the vehicles in view will be at that stream time."""
        return self._tracker.places(pts_seconds)

    def pass_over(self, reason: str) -> None:
        """A picture was not looked at."""
        self.counters.add("frames_gated", reason=reason)

    def sift(self, plates: Sequence[Plate], *, pts_seconds: float) -> list[Plate]:
        """The plates of the next picture without the camera's fixtures."""
        if not self._sparing:
            return list(plates)
        kept = [plate for plate in plates if not self._fixtures.hides(plate, pts_seconds)]
        if len(kept) < len(plates):
            self.counters.add("plates_ignored", len(plates) - len(kept), reason="fixture")
        return kept

    def wanted(self, plates: Sequence[Plate], *, pts_seconds: float) -> list[bool]:
        """Which of the plates of the next picture need a read."""
        return [not reason for reason in self._tracker.spare(plates, pts_seconds=pts_seconds)]

    def take(self, picture: PictureT, plates: Sequence[Plate], reads: Sequence[Read | None], *, reason: str) -> None:
        """A picture was looked at for `reason`: track its plates, with their reads, and tell what comes of it."""
        started = time.perf_counter()
        if self._sparing:
            self._fixtures.learn(plates, reads, picture.pts_seconds)
        update = self._tracker.update(
            pts_seconds=picture.pts_seconds,
            wall_seconds=picture.wall_seconds,
            plates=plates,
            reads=reads,
            frame_index=picture.index,
            tainted=picture.tainted,
        )
        self.seconds.track += time.perf_counter() - started
        for track, _ in update.pictures:
            self._best[track] = picture
            self._told.pop(track, None)  # with the picture that was the best before
        self._tell(update, picture.arrival_seconds)
        self.counters.add("frames_inferred")
        if reason:
            self.counters.add("looks", reason=reason)
        self.counters.add("plates_found", len(plates))

    def settle(self, arrival_seconds: float) -> None:
        """Make final what is in view: the source has fallen silent, changed or ended."""
        self._tell(self._tracker.flush(), arrival_seconds)

    def _tell(self, update: Update, arrival_seconds: float) -> None:
        """Send the sightings of `update` with their pictures, and let go of the pictures no longer needed."""
        for track, other in update.joined:
            self._best[other] = self._best.pop(track)
            self._told.pop(track, None)
            self._told.pop(other, None)
        for sighting in update.sightings:
            self._send(sighting, arrival_seconds)
        for track in update.closed:
            self._best.pop(track, None)
            self._told.pop(track, None)

    def _send(self, sighting: Sighting, arrival_seconds: float) -> None:
        clock = time.perf_counter
        started = clock()
        pictures = self._pictures_of(sighting)
        encoded = clock()
        self._emit(Passage(sighting, pictures, arrival_seconds))
        self.seconds.pictures += encoded - started
        self.seconds.emit += clock() - encoded

    def _pictures_of(self, sighting: Sighting) -> tuple[Picture, ...]:
        best = self._best.get(sighting.track)
        if best is None:
            return ()
        told = self._told.get(sighting.track)
        if told is not None and told[0] is best and told[1] == sighting.quad:
            return told[2]
        made = pictures_of(self._bring_home(best), sighting.quad, self._pictures)
        self._told[sighting.track] = best, sighting.quad, made
        return made
