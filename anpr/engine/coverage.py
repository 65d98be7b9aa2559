"""The coverage ledger: which camera was not watched, from when to when, and why.

It listens to what the cameras' loops report and writes a gap when one is no longer watched (revision 0) and again when
it is (revision 1). If the reason changes in between, one gap ends where the next begins, so that the gaps of a camera
never overlap. A box that was off, or killed, finds the time of its last sign of life in the store. When the clock is
set, what lasts ends by the old time and goes on by the new one.

A box without a clock of its own goes on, after it was off, at about the time at which it was cut off, until a time
service sets it. Only then is it known for how long nobody watched: from that old time to the new one.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

import msgspec
import structlog

from anpr.clock import Clock
from anpr.engine.messages import CameraReport
from anpr.health.report import OpenGap
from anpr.records import CoverageGap, GapReason

WATCHED_STATES = frozenset({"streaming", "running"})
OVER_STATES = frozenset({"ended", "closed"})
"""Nobody wants pictures of it any more."""
_WAITING_STATES = frozenset({"starting", "connecting"})
"""On the way; the reason stays what it was."""
_REASONS: dict[str, GapReason] = {
    "offline": "offline",
    "stalled": "offline",
    "refused": "refused",
    "failed": "failed",
    "crashed": "failed",
}
CONDITIONS = frozenset({"frozen", "black", "covered", "blurred"})
BURDENS = frozenset({"overload", "damaged"})
STEP_SECONDS = 5.0
"""A clock that was set by no more than this is not followed."""
ASK_SECONDS = 1.0
"""How often it is asked whether a time service keeps the clock, until one does."""


@dataclass(slots=True)
class _Watch:
    """One camera's entry."""

    watched_until_seconds: float
    """Wall time of the last good picture that is known of."""
    ended_seconds: float = -math.inf
    """Wall time at which its last gap ended."""
    open: CoverageGap | None = None
    burden: GapReason | None = None
    """`overload` or `damaged`, while its pictures come to nothing."""
    report: CameraReport | None = None
    closed_seconds: dict[GapReason, float] = field(default_factory=dict)
    """How long its gaps that are over were."""
    told_seconds: dict[GapReason, float] = field(default_factory=dict)
    """What was said of that, with the gap that lasts."""


class Ledger:
    """Turns reports into gaps. Use from one thread."""

    def __init__(
        self,
        camera_ids: Sequence[str],
        *,
        site_id: str,
        clock: Clock,
        take: Callable[[CoverageGap], None],
        is_kept: Callable[[], bool] = lambda: False,
    ) -> None:
        """`take` is given each revision of each gap; `is_kept` says whether a time service keeps the clock."""
        self._site_id = site_id
        self._clock = clock
        self._take = take
        self._log = structlog.get_logger()
        now = clock.wall_seconds()
        self._offset_seconds = now - clock.monotonic_seconds()
        self._is_kept = is_kept
        self._in_doubt = False
        """Whether no time service has kept the clock since the start of a box that was off."""
        self._alive_seconds = math.inf
        """Wall time of the box's last sign of life before its start; infinite if there was none."""
        self._leaps: list[tuple[float, float, list[str]]] = []
        """While it is in doubt: from when to when the clock was set forward, and the cameras that were watched then."""
        self._ask_at_seconds = clock.monotonic_seconds()
        self._cameras = {camera: _Watch(watched_until_seconds=now) for camera in camera_ids}

    def begin(self, *, alive_seconds: float | None, left_open: Iterable[CoverageGap] = ()) -> None:
        """Open the gaps that a start finds: nobody watched since the box's last sign of life.

        Gaps that an earlier life left open are ended there.
        """
        now = self._clock.wall_seconds()
        since = now if alive_seconds is None else min(alive_seconds, now)
        if alive_seconds is not None:
            self._alive_seconds, self._in_doubt = alive_seconds, not self._is_kept()
        for gap in left_open:
            self._take(_ended(gap, max(gap.from_seconds, since)))
        for camera, watch in self._cameras.items():
            watch.watched_until_seconds = since
            self._open(camera, watch, "starting" if alive_seconds is None else "not_running", "")

    def hear(self, report: CameraReport) -> None:
        """Take in how a camera's loop fares; reports of other cameras are left out."""
        self.look()
        watch = self._cameras.get(report.camera_id)
        if watch is None:
            return
        watch.report = report
        if report.state not in WATCHED_STATES:
            watch.burden = None
        self._judge(report.camera_id, watch)

    def burden(self, camera_id: str, reason: GapReason | None) -> None:
        """Most pictures of a camera come to nothing (`overload`, `damaged`), or (None) no longer."""
        self.look()
        watch = self._cameras.get(camera_id)
        if watch is not None and watch.burden != reason:
            watch.burden = reason
            if watch.report is not None:
                self._judge(camera_id, watch)

    def lose(self, camera_ids: Collection[str], detail: str) -> None:
        """The process that watched these cameras has died."""
        self.look()
        for camera in camera_ids:
            if (watch := self._cameras.get(camera)) is not None:
                watch.report, watch.burden = None, None
                self._change(camera, watch, "failed", detail)

    def end(self) -> None:
        """The box stops: end all gaps. From here on the box's last sign of life tells."""
        self.look()
        now = self._clock.wall_seconds()
        for camera, watch in self._cameras.items():
            self._close(camera, watch, now)

    def look(self) -> None:
        """Follow a clock that was set; call it often."""
        now, monotonic_seconds = self._clock.wall_seconds(), self._clock.monotonic_seconds()
        offset_seconds = now - monotonic_seconds
        moved_seconds, self._offset_seconds = offset_seconds - self._offset_seconds, offset_seconds
        if abs(moved_seconds) > STEP_SECONDS:
            self._follow_clock(now - moved_seconds, now)
        if self._in_doubt and monotonic_seconds >= self._ask_at_seconds:
            self._ask_at_seconds = monotonic_seconds + ASK_SECONDS
            if self._is_kept():
                self._in_doubt = False
                self._tell_leaps()

    def _follow_clock(self, before: float, now: float) -> None:
        """The clock was set from `before` to `now`. What lasts goes on, unless that were a time that the box has lived
        through with another clock, or nobody knows whether it has."""
        resumed = min(max(self._alive_seconds, before), now) if now > before else now
        for camera, watch in self._cameras.items():
            lasting = watch.open
            if lasting is not None and resumed != before:
                self._close(camera, watch, before, latest_seconds=before)
                watch.watched_until_seconds = watch.ended_seconds = resumed
                self._open(camera, watch, lasting.reason, lasting.detail)
            elif now < before:
                watch.watched_until_seconds = watch.ended_seconds = now
        if now < before:
            self._leaps.clear()
        elif self._in_doubt and now - resumed > STEP_SECONDS:
            watched = [camera for camera, watch in self._cameras.items() if watch.open is None]
            self._leaps.append((resumed, now, watched))

    def _tell_leaps(self) -> None:
        """The clock was behind since the start, and is now right."""
        for from_seconds, until_seconds, cameras in self._leaps:
            detail = f"the clock was behind until it was set forward by {until_seconds - from_seconds:.0f} s"
            for camera in cameras:
                gap = self._gap(camera, "not_running", detail, from_seconds)
                self._take(gap)
                self._end(camera, self._cameras[camera], gap, until_seconds)
        self._leaps.clear()

    def open_gap(self, camera_id: str) -> OpenGap | None:
        """Why a camera is not watched now; None if it is."""
        gap = self._cameras[camera_id].open if camera_id in self._cameras else None
        return OpenGap(reason=gap.reason, detail=gap.detail, from_seconds=gap.from_seconds) if gap else None

    def gap_seconds(self, camera_id: str) -> dict[GapReason, float]:
        """How long a camera was not watched, by reason, as far as this life knows; what lasts is included.

        Never less than it said before, as a counter of Prometheus must be: that a gap is over is known a little late.
        """
        watch = self._cameras.get(camera_id)
        if watch is None:
            return {}
        seconds = dict(watch.closed_seconds)
        if watch.open is not None:
            lasted = max(0.0, self._clock.wall_seconds() - watch.open.from_seconds)
            seconds[watch.open.reason] = seconds.get(watch.open.reason, 0.0) + lasted
        for reason, told in watch.told_seconds.items():
            seconds[reason] = max(seconds.get(reason, 0.0), told)
        watch.told_seconds = seconds
        return dict(seconds)

    def _judge(self, camera: str, watch: _Watch) -> None:
        report = watch.report
        assert report is not None
        if report.state in OVER_STATES:
            self._close(camera, watch, self._clock.wall_seconds())
        elif report.state in _REASONS:
            if watch.open is None:
                watch.watched_until_seconds = max(watch.watched_until_seconds, report.picture_wall_seconds)
            self._change(camera, watch, _REASONS[report.state], report.reason)
        elif report.state in _WAITING_STATES:
            if watch.open is None:
                self._open(camera, watch, "starting", "")
        elif report.condition in CONDITIONS:
            self._change(camera, watch, cast(GapReason, report.condition), "", since=report.condition_wall_seconds)
        elif watch.burden is not None:
            self._change(camera, watch, watch.burden, "")
        else:
            burdened = watch.open is not None and watch.open.reason in BURDENS
            again = max(report.since_wall_seconds, report.condition_wall_seconds)
            self._close(camera, watch, self._clock.wall_seconds() if burdened else again)
            watch.watched_until_seconds = report.picture_wall_seconds or self._clock.wall_seconds()

    def _change(
        self, camera: str, watch: _Watch, reason: GapReason, detail: str, *, since: float | None = None
    ) -> None:
        """Not watched for `reason`; a gap of another reason ends now."""
        if watch.open is None:
            if since is not None:
                watch.watched_until_seconds = min(watch.watched_until_seconds, since)
            self._open(camera, watch, reason, detail)
        elif watch.open.reason != reason:
            now = self._clock.wall_seconds()
            self._close(camera, watch, now)
            watch.watched_until_seconds = now
            self._open(camera, watch, reason, detail)

    def _open(self, camera: str, watch: _Watch, reason: GapReason, detail: str) -> None:
        from_seconds = max(watch.watched_until_seconds, watch.ended_seconds)
        watch.open = self._gap(camera, reason, detail, from_seconds)
        self._log.warning("coverage_lost", camera=camera, reason=reason, detail=detail)
        self._take(watch.open)

    def _close(self, camera: str, watch: _Watch, until_seconds: float, *, latest_seconds: float | None = None) -> None:
        """End a gap, if there is one, at `latest_seconds` or by now at the latest, and not before it began."""
        gap, watch.open = watch.open, None
        if gap is None:
            return
        latest = self._clock.wall_seconds() if latest_seconds is None else latest_seconds
        watch.ended_seconds = max(min(until_seconds, latest), gap.from_seconds)
        self._end(camera, watch, gap, watch.ended_seconds)

    def _gap(self, camera: str, reason: GapReason, detail: str, from_seconds: float) -> CoverageGap:
        """A gap that lasts."""
        now = self._clock.wall_seconds()
        return CoverageGap(
            id=uuid.uuid4().hex,
            revision=0,
            state="preview",
            site_id=self._site_id,
            camera_id=camera,
            reason=reason,
            detail=detail,
            from_seconds=min(from_seconds, now),  # a clock may be set back
            until_seconds=now,
        )

    def _end(self, camera: str, watch: _Watch, gap: CoverageGap, until_seconds: float) -> None:
        lasted = until_seconds - gap.from_seconds
        watch.closed_seconds[gap.reason] = watch.closed_seconds.get(gap.reason, 0.0) + lasted
        self._log.warning("coverage_gap", camera=camera, reason=gap.reason, seconds=round(lasted, 1))
        self._take(_ended(gap, until_seconds))


def _ended(gap: CoverageGap, until_seconds: float) -> CoverageGap:
    return msgspec.structs.replace(gap, revision=gap.revision + 1, state="final", until_seconds=until_seconds)
