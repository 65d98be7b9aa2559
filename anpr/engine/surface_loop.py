"""A camera whose pictures many cameras' device looks at: its thread decodes, and hands them to the crew."""

from __future__ import annotations

from typing import Any

from anpr.config.pipeline import Pipeline
from anpr.config.site import Camera
from anpr.engine.assignment import Assignment, Line
from anpr.engine.batching import Passenger
from anpr.engine.camera_loop import CameraThread
from anpr.engine.crew import Crew
from anpr.engine.follower import Follower
from anpr.engine.pipeline import loop_options
from anpr.records import Frame
from anpr.video.nvdec import Nvdec
from anpr.video.source import SurfaceSource, open_surfaces
from anpr.video.surface_frame import SurfaceFrame, brought_home


class SurfaceLoop(CameraThread[SurfaceFrame]):
    """Decodes one camera for a crew. It must be one of the crew's own worker process."""

    def __init__(
        self,
        camera: Camera,
        pipeline: Pipeline,
        *,
        assignment: Assignment,
        line: Line,
        crew: Crew,
        before: CameraThread[SurfaceFrame] | None = None,
        pause_seconds: float = 0.0,
    ) -> None:
        super().__init__(camera, pipeline, assignment=assignment, line=line, before=before, pause_seconds=pause_seconds)
        self._crew = crew
        self._options = loop_options(pipeline)
        self._nvdec: Nvdec | None = None

    def successor(self, pause_seconds: float) -> SurfaceLoop:
        return SurfaceLoop(
            self._camera,
            self._pipeline,
            assignment=self._assignment,
            line=self._line,
            crew=self._crew,
            before=self,
            pause_seconds=pause_seconds,
        )

    def _play(self) -> None:
        device = self._crew.ready(self.stop)
        if device is None:
            return
        self._nvdec = device.nvdec
        options = self._options
        follower: Follower[SurfaceFrame] = Follower(
            self._origin(self._pipeline.label, device.models),
            track=options.track,
            spare=options.spare,
            pictures=options.pictures,
            emit=self._line.send,
            bring_home=brought_home,
            counters=self._loop_counters,
        )
        passenger = Passenger(
            self._camera.id, follower, gate=options.gate, spare=options.spare, lanes=self._camera.lanes
        )
        self._begin(follower)
        self._hand_over(passenger)
        if passenger.error is not None:
            raise passenger.error

    def _hand_over(self, passenger: Passenger) -> None:
        """Leave every picture for the crew, and wait until it has done with them."""
        inbox = self._crew.inbox
        seat = inbox.join(passenger)
        ended = False
        try:
            for picture in self._pictures():
                if self.stop.is_set():
                    self._count_drop("stopped")
                    break
                try:
                    unfetched = inbox.put(seat, picture)
                except BaseException:
                    self._count_drop("failed")
                    raise
                if unfetched is not None:
                    self._count_drop("overload")
            else:
                ended = True
        finally:
            if not ended:
                for _ in range(inbox.drop(seat)):
                    self._count_drop("stopped")
            inbox.close(seat)
            seat.left.wait()

    def _open(self, **common: Any) -> SurfaceSource:
        return open_surfaces(options=self._options.decode, nvdec=self._nvdec, **common)

    def _handled_since(self) -> float | None:
        return self._crew.busy_since

    def _planes(self, picture: SurfaceFrame) -> Frame:
        return brought_home(picture)
