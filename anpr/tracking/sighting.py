"""From a track and its vote to the Sighting that leaves the worker."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from anpr.plates.grammar import readings
from anpr.plates.provinces import MERGER, codes, vietnam_date
from anpr.records import Sighting, State
from anpr.tracking.options import TrackOptions
from anpr.tracking.track import Track
from anpr.tracking.vote import Vote

SURE_READ = 0.6
"""A track whose single reads were this sure and whose vote is not, disagrees with itself."""
MOST_REPAIRS = 2
"""If the grammar had to change more characters than this, the plate is no Vietnamese one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a tracker's sightings come from."""

    site_id: str
    camera_id: str
    run_seconds: float
    """Wall time at which the camera's run began; a replay gives the clip's own, so that its ids come out the same."""
    pipeline: str = ""
    models: tuple[str, ...] = ()


def sighting_id(origin: Origin, number: int) -> str:
    """32 hex digits, the same for the same site, camera, start of run and track number."""
    name = f"{origin.site_id}\0{origin.camera_id}\0{origin.run_seconds:.3f}\0{number}"
    return blake2b(name.encode(), digest_size=16).hexdigest()


def unreadable_reason(track: Track, vote: Vote | None, options: TrackOptions) -> str:
    """Why the track gives no text; empty if it gives one."""
    if vote is None:
        return max(track.unreadable, key=track.unreadable.__getitem__)
    if track.tainted:
        return "only damaged pictures"
    if not vote.settled.text or _repairs(vote.settled.raw, vote.settled.text) > MOST_REPAIRS:
        return "not a Vietnamese plate"
    if vote.settled.probability < options.text_probability:
        return "reads disagree" if vote.surest_read >= SURE_READ else "blurred"
    return ""


def _repairs(raw: str, text: str) -> int:
    return sum(a != b for a, b in zip(raw, text, strict=False)) + abs(len(raw) - len(text))


def build(track: Track, vote: Vote | None, *, origin: Origin, state: State, options: TrackOptions) -> Sighting:
    """The sighting of `track` with the track's present revision; `vote` is None if no read was readable."""
    unreadable = unreadable_reason(track, vote, options)
    text = "" if unreadable or vote is None else vote.settled.text
    reading = next(iter(readings(text, colour=track.colour, lines=track.lines)), None) if text else None
    code = (reading.province_code or "") if reading else ""
    entry = codes().get(code)
    picture = track.picture
    province = ""
    if entry is not None:
        province = entry.before if vietnam_date(picture.moment.wall_seconds) < MERGER else entry.after
    return Sighting(
        id=sighting_id(origin, track.number),
        revision=track.revision,
        state=state,
        site_id=origin.site_id,
        camera_id=origin.camera_id,
        track=track.number,
        text=text,
        raw=vote.settled.raw if vote else "",
        display=reading.display if reading else "",
        kind=reading.kind if reading else "",
        probability=vote.settled.probability if vote and text else 0.0,
        alternatives=vote.settled.alternatives if vote else (),
        lattice=vote.positions if vote else (),
        lines=track.lines,
        colour=track.colour,
        province_code=code,
        province=province,
        province_before=entry.before if entry else "",
        direction=track.direction,
        first_seconds=track.first.wall_seconds,
        seen_seconds=picture.moment.wall_seconds,
        last_seconds=track.last.wall_seconds,
        pts_seconds=picture.moment.pts_seconds,
        frames=track.frames,
        reads=track.reads,
        quad=tuple((float(x), float(y)) for x, y in picture.quad),
        tainted=track.tainted,
        unreadable=unreadable,
        pipeline=origin.pipeline,
        models=origin.models,
    )
