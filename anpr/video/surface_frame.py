"""Pictures as surfaces: where a GPU decoded them, or beside the host's own planes for what works on surfaces there."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from anpr.ops.surfaces import Surface
from anpr.records import Frame
from anpr.video.planes import Planes, planes_from_picture


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceFrame:
    """One decoded picture of one camera as a surface: what `Frame` is for planes in the host's memory."""

    camera_id: str
    index: int
    pts_seconds: float
    wall_seconds: float
    surface: Surface
    tainted: bool = False
    arrival_seconds: float = 0.0

    def __repr__(self) -> str:
        size = f"{self.surface.width_px}x{self.surface.height_px}"
        return f"SurfaceFrame({self.camera_id} #{self.index} {size} pts={self.pts_seconds:.3f}s)"


def surface_frame_of(frame: Frame) -> SurfaceFrame:
    """A Frame as a surface in the host's memory; its luma is shared, its chroma copied."""
    chroma = np.stack([frame.chroma_u, frame.chroma_v], axis=2)
    return SurfaceFrame(
        camera_id=frame.camera_id,
        index=frame.index,
        pts_seconds=frame.pts_seconds,
        wall_seconds=frame.wall_seconds,
        surface=Surface.on_host(frame.luma, chroma),
        tainted=frame.tainted,
        arrival_seconds=frame.arrival_seconds,
    )


def brought_home(frame: SurfaceFrame) -> Frame:
    """The same picture as planes in the host's memory, 8 bits a value: 3 MB of 1080p, for evidence and for a look at
    how the camera fares.

    From a GPU libav fetches it, in the context that the picture belongs to, so any thread may ask; it waits for that.
    """
    luma, chroma_u, chroma_v = _planes(frame.surface)
    return Frame(
        camera_id=frame.camera_id,
        index=frame.index,
        pts_seconds=frame.pts_seconds,
        wall_seconds=frame.wall_seconds,
        luma=luma,
        chroma_u=chroma_u,
        chroma_v=chroma_v,
        tainted=frame.tainted,
        arrival_seconds=frame.arrival_seconds,
    )


def planes_of(surface: Surface) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Luma (height, width) and chroma (ceil(height/2), ceil(width/2), 2) of a surface of the host, side by side."""
    if surface.place != "host" or not isinstance(surface.owner, tuple):
        raise TypeError(f"{surface!r} does not lie in the host's memory")
    luma, chroma = surface.owner
    return np.ascontiguousarray(luma), np.ascontiguousarray(chroma)


def _planes(surface: Surface) -> Planes:
    if isinstance(surface.owner, av.VideoFrame):
        return planes_from_picture(surface.owner.reformat(format="nv12"))
    if surface.place != "host" or surface.layout != "nv12" or not isinstance(surface.owner, tuple):
        raise TypeError(f"the owner of {surface!r} cannot bring it home")
    luma, chroma = surface.owner
    return luma, chroma[:, :, 0], chroma[:, :, 1]
