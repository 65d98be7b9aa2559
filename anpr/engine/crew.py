"""The thread in which a device works for all cameras of a worker process.

Everything that has to do with the device happens in this thread: it is opened, used and closed here. It starts before
the cameras' decoders, which CUDA would not bear while graphs are recorded. A call to a device that hangs never returns,
and nothing but the end of the process frees it: `busy_seconds` tells how long the present batch takes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from anpr.config.pipeline import Pipeline
from anpr.engine.batching import Batcher
from anpr.engine.device import Device
from anpr.engine.inbox import Inbox, Seat
from anpr.engine.pipeline import loop_options

PATIENCE_SECONDS = 0.1
"""How soon a crew without pictures sees that it shall stop, or that a camera is silent."""


class Crew:
    """A device at work in its own thread; `start` begins, `stop` ends and joins it."""

    def __init__(
        self,
        pipeline: Pipeline,
        gpu: int | None,
        open_device: Callable[[Pipeline, int | None], Device],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pipeline = pipeline
        self.inbox = Inbox(tick_seconds=pipeline.settings.gpu.tick_seconds, monotonic=monotonic)
        self.device: Device | None = None
        """Set as long as it is open."""
        self.error: BaseException | None = None
        """What ended its work."""
        self._gpu = gpu
        self._open_device = open_device
        self._monotonic = monotonic
        self._busy_since: float | None = None
        self._opened = threading.Event()
        self._stop = threading.Event()
        self._log = structlog.get_logger()
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)

    def start(self) -> None:
        """Open the device and begin."""
        self._thread.start()

    def ready(self, stop: threading.Event) -> Device | None:
        """Wait until the device is open; None if `stop` is set before. Raises what kept it from opening."""
        while not self._opened.wait(PATIENCE_SECONDS):
            if stop.is_set():
                return None
        if self.error is not None:
            raise self.error
        return self.device

    def stop(self, patience_seconds: float) -> bool:
        """End the work, and wait so long for it; False if the device does not let go."""
        self._stop.set()
        self._thread.join(patience_seconds)
        return not self._thread.is_alive()

    @property
    def busy_since(self) -> float | None:
        """Since when, on the monotonic clock, it has been at the present batch; None between two."""
        return self._busy_since

    @property
    def busy_seconds(self) -> float:
        """For how long."""
        since = self._busy_since
        return 0.0 if since is None else self._monotonic() - since

    def _run(self) -> None:
        try:
            self._busy_since = None  # to compile a net may take minutes; the supervisor knows how long a start may
            started = self._monotonic()
            device = self._open_device(self.pipeline, self._gpu)
        except Exception as error:  # noqa: BLE001  # told to everyone who waits for it
            self._fail(error)
            return
        self.device = device
        self._log.info(
            "device_ready",
            gpu=self._gpu,
            models=device.models,
            batch=device.most,
            seconds=round(self._monotonic() - started, 1),
        )
        self._opened.set()
        batcher = Batcher(device, gate=loop_options(self.pipeline).gate, monotonic=self._monotonic)
        try:
            while not self._stop.is_set() or self.inbox.waiting:
                self._round(batcher)
        except Exception as error:  # noqa: BLE001  # as above
            self._fail(error)
            for seat in self.inbox.seats:
                batcher.settle(seat.passenger)
        finally:
            self.device = None
            self._busy_since = None
            device.close()

    def _round(self, batcher: Batcher) -> None:
        """One batch, if anything waits for it; then whatever has fallen silent is settled."""
        batch = self.inbox.take(batcher.limit, patience_seconds=PATIENCE_SECONDS)
        self._busy_since = self._monotonic()
        if batch:
            batcher.process(batch)
            self.inbox.taken(batch)
        for seat in self.inbox.seats:
            if not seat.passenger.settled and self._silent(seat):
                batcher.settle(seat.passenger)
        self._busy_since = None

    def _silent(self, seat: Seat) -> bool:
        """Whether nothing has come of a camera for so long that what was in view is gone."""
        return not seat.queue and self._monotonic() - seat.put_seconds >= self.pipeline.settings.track.jump_seconds

    def _fail(self, error: Exception) -> None:
        self._log.error("device_failed", gpu=self._gpu, problem=str(error) or type(error).__name__)
        self.error = error
        self._opened.set()
        self.inbox.fail(error)
