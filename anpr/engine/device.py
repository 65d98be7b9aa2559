"""What a loop over many cameras asks of whatever runs its nets: a GPU, the processor, or a simulation of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from anpr.engine.gate import GateOptions, Lane
from anpr.nets.batch_reader import Found
from anpr.records import Frame, Plate, Read
from anpr.video.nvdec import Nvdec
from anpr.video.surface_frame import SurfaceFrame


class Device(Protocol):
    """Works on pictures where they lie. Made, used and closed in one thread; every call waits for its answer.

    A call raises DeviceMemoryError if a smaller batch may still fit, DeviceError if the device is of no use any more.
    """

    @property
    def most(self) -> int:
        """Pictures that it takes at once."""
        ...

    @property
    def nvdec(self) -> Nvdec | None:
        """What decodes the cameras' pictures; None: the processor."""
        ...

    @property
    def models(self) -> tuple[str, ...]:
        """Names and hashes of its nets."""
        ...

    def admit(self, camera_id: str, lanes: Sequence[Lane]) -> None:
        """A camera joins; motion counts inside its `lanes`."""
        ...

    def dismiss(self, camera_id: str) -> None:
        """A camera leaves: what is kept of it goes."""
        ...

    def measure(self, pictures: Sequence[SurfaceFrame], options: GateOptions) -> list[bool]:
        """Whether enough has moved in each since its camera's last look; no camera twice."""
        ...

    def note_looks(self, camera_ids: Sequence[str]) -> None:
        """The pictures of these cameras that were measured last are looked at."""
        ...

    def detect(self, pictures: Sequence[SurfaceFrame]) -> list[list[Plate]]:
        """The plates of each picture, best first, colours aside."""
        ...

    def read(self, found: Sequence[Found]) -> list[tuple[Plate, Read | None]]:
        """Each plate with its colour, and a Read of those that are wanted, in the same order."""
        ...

    def bring_home(self, picture: SurfaceFrame) -> Frame:
        """The picture's planes in the host's memory."""
        ...

    def close(self) -> None:
        """Give back what is held."""
        ...
