"""Opens a session for batches: on a GPU beside the operations' stream, or on the processor."""

from __future__ import annotations

from collections.abc import Sequence

from anpr.nets.bound import input_shape
from anpr.nets.model import ModelFolder
from anpr.nets.providers import Device, GpuPlace, preload, providers
from anpr.nets.session import Session


def open_session(
    model: ModelFolder,
    *,
    device: Device,
    place: GpuPlace | None,
    sizes: Sequence[tuple[int, int]],
    most: int,
    threads: int,
) -> Session:
    """For pictures of these (height, width), in batches of up to `most`. Raises ModelError or DeviceError."""
    if place is not None:
        preload()
    shapes = [input_shape(model.facts, height=height, width=width) for height, width in sizes]
    chosen = providers(device, model, threads=threads, place=place, shapes=shapes, batch_most=most)
    return Session.open(model, device=device, threads=threads, chosen=chosen)
