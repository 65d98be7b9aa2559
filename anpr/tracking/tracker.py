"""The tracks of one camera: each frame's plates go to their vehicles, and vehicles become sightings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from anpr.metrics import Counters
from anpr.ops.window import Window
from anpr.records import NO_PLATE, Plate, Read, Sighting, State
from anpr.tracking import sighting
from anpr.tracking.association import MOST_TEXT_EVIDENCE, agreement, assign, pair_score, same_text
from anpr.tracking.look import Moment
from anpr.tracking.motion import Motion, Spot, place_of, spot_of
from anpr.tracking.options import TrackOptions
from anpr.tracking.sighting import Origin
from anpr.tracking.sparing import CLEAR_NATS, SEEN_LATELY, Attention, SpareOptions, attention, spare_reason
from anpr.tracking.track import MOVED_SIZES, Track
from anpr.tracking.vote import Vote, switch

BESIDE_SIZES = 2.0
"""A plate so many of its sizes (0.24 m each) from where another should be, and is not, may be that one."""


@dataclass(frozen=True, slots=True)
class Update:
    """What a frame brought about. A worker acts on the fields in their order."""

    pictures: tuple[tuple[int, int], ...] = ()
    """(track, index of the plate): this frame shows the track's plate best so far; keep its picture under the track."""
    joined: tuple[tuple[int, int], ...] = ()
    """(track, other track): the picture kept under the first is from now on kept under the other, as its best."""
    sightings: tuple[Sighting, ...] = ()
    closed: tuple[int, ...] = ()
    """Tracks whose pictures are no longer needed."""


@dataclass(slots=True)
class _Draft:
    """An Update in the making."""

    pictures: list[tuple[int, int]] = field(default_factory=list)
    joined: list[tuple[int, int]] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)

    def done(self) -> Update:
        return Update(tuple(self.pictures), tuple(self.joined), tuple(self.sightings), tuple(self.closed))


class Tracker:
    """Gives each vehicle that passes one camera one sighting.

    Feed it every frame that was looked at, also those without plates, in order of stream time; `flush` at the end. Ids
    count per instance. Memory is bounded by `options.max_tracks`. Not thread-safe.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        options: TrackOptions | None = None,
        sparing: SpareOptions | None = None,
        counters: Counters | None = None,
    ) -> None:
        self.origin = origin
        self.options = options or TrackOptions()
        self.sparing = sparing or SpareOptions()
        self.counters = counters if counters is not None else Counters()
        self._live: list[Track] = []
        self._gone: list[Track] = []
        """Closed tracks that a vehicle may still turn out to continue."""
        self._next_number = 0
        self._pts_seconds: float | None = None
        self.attention: Attention = "none"
        """What the vehicles in view need."""

    @property
    def live_tracks(self) -> int:
        """Vehicles in view."""
        return len(self._live)

    def places(self, pts_seconds: float) -> list[Window]:
        """Where the plates of the vehicles in view will be at that stream time, those that were seen lately."""
        return [place_of(track.motion.predict(pts_seconds)) for track in self._live if track.missed <= SEEN_LATELY]

    def spare(self, plates: Sequence[Plate], *, pts_seconds: float) -> list[str]:
        """For each plate of the next frame why it need not be read; empty where it should be.

        A plate is spared only if its place alone says clearly whose it is.
        """
        reasons = [""] * len(plates)
        if not (self.sparing.active and self._live and plates):
            return reasons
        spots = [spot_of(plate.quad) for plate in plates]
        scores = self._scores(plates, spots, np.zeros((len(self._live), len(plates))).tolist(), pts_seconds)
        for row, column in assign(scores):
            own, track = scores[row][column], self._live[row]
            others = [line[column] for line in scores if line is not scores[row]]
            others += [score for other, score in enumerate(scores[row]) if other != column]
            if own - max(others, default=0.0) >= CLEAR_NATS <= own and plates[column].lines == track.lines:
                reasons[column] = spare_reason(track, spots[column], pts_seconds, self.sparing)
        for reason in filter(None, reasons):
            self.counters.add("reads_spared", reason=reason)
        return reasons

    def update(
        self,
        *,
        pts_seconds: float,
        wall_seconds: float,
        plates: Sequence[Plate],
        reads: Sequence[Read | None],
        frame_index: int,
        tainted: bool = False,
    ) -> Update:
        """Take in one frame: its plates and, in the same order, their reads; None where `spare` said so.

        Raises ValueError if there is not one read for each plate.
        """
        if len(plates) != len(reads):
            raise ValueError(f"each plate needs a read, got {len(plates)} plates and {len(reads)} reads")
        draft = _Draft()
        moment = Moment(frame_index, pts_seconds, wall_seconds, tainted)
        step = 0.0 if self._pts_seconds is None else pts_seconds - self._pts_seconds
        self._pts_seconds = pts_seconds
        if step < 0.0 or step > self.options.jump_seconds:
            if self._live:
                self.counters.add("tracks_cut", len(self._live), reason="time jump")
            self._close_all(draft)
        else:
            self._expire(pts_seconds, draft)
        if plates:
            self._take(plates, reads, moment, draft)
        for track in self._live:
            track.missed += track.last is not moment
        self.attention = attention(self._live, self.sparing)
        return draft.done()

    def flush(self) -> Update:
        """Close every track: the footage or the connection has ended."""
        draft = _Draft()
        self._close_all(draft)
        self.attention = "none"
        return draft.done()

    def _take(self, plates: Sequence[Plate], reads: Sequence[Read | None], moment: Moment, draft: _Draft) -> None:
        spots = [spot_of(plate.quad) for plate in plates]
        pairs = {plate: track for track, plate in self._pairs(plates, reads, spots, moment)}
        touched: list[Track] = []
        for index, (plate, read) in enumerate(zip(plates, reads, strict=True)):
            if index in pairs:
                track = self._live[pairs[index]]
                best = track.add(plate, read, moment)
            elif read is None:
                self.counters.add("plates_dropped", reason="not read")  # of no vehicle after all; read in the next look
                continue
            else:
                track, best = Track(self._number(), plate, read, moment), True
                track.beside = self._unseen_near(spots[index], moment.pts_seconds, pairs.values())
                self._live.append(track)
            touched.append(track)
            if best:
                draft.pictures.append((track.number, index))
        for track in touched:
            if track.beside in touched:
                track.beside = None
            self._preview(track, draft)
        while len(self._live) > self.options.max_tracks:
            oldest = min(self._live, key=lambda track: track.last.pts_seconds)
            self.counters.add("tracks_cut", reason="too many")
            self._close(oldest, draft)

    def _unseen_near(self, spot: Spot, pts_seconds: float, seen: Collection[int]) -> Track | None:
        """The longest of the live tracks that should be near and is not among `seen`, by their places."""
        near = [
            track
            for place, track in enumerate(self._live)
            if place not in seen and track.motion.predict(pts_seconds).distance_sizes(spot) <= BESIDE_SIZES
        ]
        return max(near, key=lambda track: track.frames, default=None)

    def _number(self) -> int:
        self._next_number += 1
        return self._next_number - 1

    def _pairs(
        self, plates: Sequence[Plate], reads: Sequence[Read | None], spots: Sequence[Spot], moment: Moment
    ) -> list[tuple[int, int]]:
        """(index of live track, index of plate) of those that belong together."""
        if not self._live:
            return []
        evidence = np.zeros((len(self._live), len(plates)), np.float32)
        known = [(row, belief) for row, track in enumerate(self._live) if (belief := track.belief) is not None]
        readable = [(column, read.log_probs) for column, read in enumerate(reads) if read and not read.unreadable]
        if known and readable:
            beliefs = np.stack([belief for _, belief in known])
            rows = [row for row, _ in known]
            columns = [column for column, _ in readable]
            evidence[np.ix_(rows, columns)] = agreement(beliefs, np.exp(np.stack([said for _, said in readable])))
        return assign(self._scores(plates, spots, evidence.tolist(), moment.pts_seconds))

    def _scores(
        self, plates: Sequence[Plate], spots: Sequence[Spot], said: Sequence[Sequence[float]], pts_seconds: float
    ) -> list[list[float]]:
        """`pair_score` of each live track with each plate; `said` is the text's word on each pair."""
        scores = []
        for row, track in enumerate(self._live):
            prediction = track.motion.predict(pts_seconds)
            scores.append(
                [
                    pair_score(
                        prediction,
                        spot,
                        same_lines=plate.lines == track.lines,
                        text_evidence=said[row][column],
                        missed=track.missed,
                    )
                    for column, (plate, spot) in enumerate(zip(plates, spots, strict=True))
                ]
            )
        return scores

    def _preview(self, track: Track, draft: _Draft) -> None:
        options = self.options
        if track.revision >= 0 or track.reads < max(options.preview_reads, track.next_preview_reads):
            return
        track.next_preview_reads = track.reads + 1 + track.reads // 4
        ballot = track.vote()
        if ballot is None or ballot.settled.probability < options.preview_probability:
            return
        if sighting.unreadable_reason(track, ballot, options):
            return
        ballot = self._join(track, ballot, draft)
        if track.revision < 0 and not self._told_already(track, ballot):
            self._tell(track, ballot, "preview", draft)

    def _expire(self, pts_seconds: float, draft: _Draft) -> None:
        options = self.options
        for track in list(self._live):
            unseen = pts_seconds - track.last.pts_seconds
            if unseen > options.max_gap_seconds and (unseen > options.still_gap_seconds or not track.still):
                self._close(track, draft)
        kept = []
        for track in self._gone:
            if pts_seconds - track.last.pts_seconds > options.join_seconds:
                draft.closed.append(track.number)
            else:
                kept.append(track)
        self._gone = kept

    def _close_all(self, draft: _Draft) -> None:
        for track in list(self._live):
            self._close(track, draft)
        draft.closed.extend(track.number for track in self._gone)
        self._gone.clear()

    def _close(self, track: Track, draft: _Draft) -> None:
        """The vehicle has left: tell what it was, unless it was none, or has just become part of another track."""
        if track not in self._live:
            return
        self._live.remove(track)
        for part in self._parts(track, draft):
            ballot = self._join(part, part.vote(), draft)
            noise = self._noise(part, ballot)
            if noise:
                self.counters.add("tracks_dropped", reason=noise)
                draft.closed.append(part.number)
            else:
                self._tell(part, ballot, "final", draft)
                self._gone.append(part)
            part.beside = None
        while len(self._gone) > self.options.max_tracks:
            draft.closed.append(self._gone.pop(0).number)

    def _parts(self, track: Track, draft: _Draft) -> Sequence[Track]:
        """The track, or the two vehicles that it turns out to hold."""
        where = switch(track.looks)
        if where is None:
            return (track,)
        self.counters.add("tracks_split")
        before, after = track.split(where, self._number())
        if after.picture is track.picture:
            draft.joined.append((before.number, after.number))
        return before, after

    def _noise(self, track: Track, ballot: Vote | None) -> str:
        """Why a closed track is no vehicle; empty if it is one."""
        options = self.options
        if track.revision >= 0:
            return ""
        if self._told_already(track, ballot):
            return "same text as another plate in view"
        if ballot is not None and not sighting.unreadable_reason(track, ballot, options):
            settled = ballot.settled
            # Noise is not read as a plate letter by letter.
            if settled.raw == settled.text or settled.probability >= options.plausible_probability:
                return ""
        if self._astray(track):
            return "lost and found beside"
        if track.frames - min(track.gaps, 2) <= options.flicker_frames:
            return "flicker"
        seen_none = track.unreadable.get(NO_PLATE, 0) * 2 > track.reads_tried
        if track.best_score < options.score_least(NO_PLATE if seen_none else ""):
            return "never surely a plate"
        if track.moved_sizes < MOVED_SIZES:
            return "stood still without a plate text"
        return ""

    def _astray(self, track: Track) -> bool:
        """Whether this is but a piece of another track's plate, which the detector put in the wrong place for a while:
        it is at most half as long as the other, the two were never seen in one picture, and either the other goes on
        after this one, which never went where it cannot have been, or has begun where this one ended."""
        beside, longer = track.beside, 2 * track.frames
        if beside is not None and beside.frames >= longer and beside.last.pts_seconds > track.last.pts_seconds:
            return not _apart(track, beside)
        return any(other.beside is track and other.frames >= longer for other in self._live)

    def _join(self, track: Track, ballot: Vote | None, draft: _Draft) -> Vote | None:
        """Make `track` one with an earlier one that was lost, if it continues it; the vote that then holds."""
        if ballot is None:
            return None
        for earlier in [*self._gone, *self._live]:
            gap = track.first.pts_seconds - earlier.last.pts_seconds
            if not 0.0 < gap <= self.options.join_seconds or not self._continues(earlier, track, ballot):
                continue
            (self._gone if earlier in self._gone else self._live).remove(earlier)
            earlier.beside = None  # else a plate that is lost for days would hold all that it was
            self.counters.add("tracks_joined")
            if track.revision >= 0:
                self._tell(track, ballot, "withdrawn", draft)
            number = track.number
            if track.join(earlier):
                draft.joined.append((number, track.number))
            else:
                draft.closed.append(number)
            return track.vote()
        return ballot

    def _continues(self, earlier: Track, track: Track, ballot: Vote) -> bool:
        """Whether both carry one text and the second can be where the first has gone, whatever its speed seemed."""
        before = earlier.vote()
        if before is None or not same_text(before.log_probs, ballot.log_probs):
            return False
        prediction = Motion(earlier.motion.spot, earlier.last.pts_seconds).predict(track.first.pts_seconds)
        same_lines = earlier.lines == track.lines
        return (
            pair_score(prediction, track.first_spot, same_lines=same_lines, text_evidence=MOST_TEXT_EVIDENCE, missed=0)
            > 0.0
        )

    def _told_already(self, track: Track, ballot: Vote | None) -> bool:
        """Whether a sighting with the same text was told of a plate in view at the same time.

        Trucks carry their number painted on doors and tailgate as well: one vehicle, two plates.
        """
        return ballot is not None and any(
            other.revision >= 0
            and other.first.pts_seconds <= track.last.pts_seconds
            and track.first.pts_seconds <= other.last.pts_seconds
            and (vote := other.vote()) is not None
            and same_text(vote.log_probs, ballot.log_probs)
            for other in (*self._gone, *self._live)
            if other is not track
        )

    def _tell(self, track: Track, ballot: Vote | None, state: State, draft: _Draft) -> None:
        track.revision += 1
        draft.sightings.append(sighting.build(track, ballot, origin=self.origin, state=state, options=self.options))
        self.counters.add("sightings", reason=state)


def _apart(track: Track, beside: Track) -> bool:
    """Whether a track went further than it can have if it was never farther than BESIDE_SIZES from where the other was:
    a vehicle that drives past a parked one and hides it."""
    size = max(track.first_spot.size, beside.motion.spot.size)
    way, room = (each.moved_sizes * each.first_spot.size for each in (track, beside))
    return way > 2.0 * (room + BESIDE_SIZES * size)
