"""What a worker process is told to do, and its end of the pipe to the hub."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from anpr import log
from anpr.config.pipeline import Pipeline
from anpr.config.site import Camera
from anpr.engine.device import Device
from anpr.engine.messages import Message, encode
from anpr.engine.pipeline import Stages
from anpr.video.back_off import Reconnection

STOP = b"stop"


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker process is to do. Crosses to the process pickled, never on a command line."""

    site_id: str
    cameras: tuple[tuple[Camera, Pipeline], ...]
    build: Callable[[Pipeline], Stages]
    log_level: log.Level
    log_as_json: bool
    log_plates: log.Plates = "masked"
    reconnection: Reconnection = field(default_factory=Reconnection)
    gpu: int | None = None
    """The GPU that the process works on."""
    open_device: Callable[[Pipeline, int | None], Device] | None = None
    """Opens what runs the nets of all cameras of the process, which then have one pipeline; given that and the GPU.
    None: each camera has a loop and nets of its own on the processor."""

    @property
    def live(self) -> bool:
        """Whether a camera of it never ends by itself: then a worker that ends without being told to has died."""
        return any(camera.url is not None for camera, _ in self.cameras)


class Line:
    """The worker's end of the pipe; any of its threads may send."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Send `message` to the hub, waiting while the hub is busy."""
        data = encode(message)
        with self._lock:
            self._connection.send_bytes(data)

    def told_to_stop(self, seconds: float) -> bool:
        """Wait up to `seconds` for the word to stop; a hub that is gone means it too."""
        try:
            return self._connection.poll(seconds) and self._connection.recv_bytes() == STOP
        except (EOFError, OSError):
            return True
