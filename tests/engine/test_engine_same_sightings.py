"""The same footage through a camera's own loop and through batches: the same sightings.

On the processor they are the same bit for bit. On a GPU, whose nets count with half the digits, every vehicle must be
told with the same text, its probability within PROBABILITY and its best picture within SECONDS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gpus import need_gpu

from anpr.clock import SystemClock
from anpr.config import load_pipeline
from anpr.config.pipeline import Pipeline
from anpr.engine.batching import Batcher, Item, Passenger
from anpr.engine.follower import Follower
from anpr.engine.messages import Passage
from anpr.engine.pipeline import build_stages, loop_options
from anpr.engine.surface_device import SurfaceDevice
from anpr.engine.worker import Worker
from anpr.metrics import Counters
from anpr.records import Frame, Sighting
from anpr.tracking.sighting import Origin
from anpr.video.nvdec import Nvdec
from anpr.video.source import open_source, open_surfaces
from anpr.video.surface_frame import SurfaceFrame, brought_home

CLIP = Path(__file__).parents[2] / "configs/demo/expressway.mp4"
ORIGIN = Origin(site_id="site", camera_id="cam", run_seconds=0.0)
PICTURES = 160
PROBABILITY = 0.05
SECONDS = 0.25


def first(pictures: Iterator[Frame] | Iterator[SurfaceFrame]) -> Iterator[Frame | SurfaceFrame]:
    for count, picture in enumerate(pictures):
        if count == PICTURES:
            return
        yield picture


def alone(pipeline: Pipeline) -> tuple[list[Passage], Counters]:
    passages: list[Passage] = []
    worker = Worker(build_stages(pipeline), ORIGIN, emit=passages.append)
    with open_source(CLIP, camera_id="cam", clock=SystemClock()) as source:
        worker.run(first(iter(source)))  # type: ignore[arg-type]
    return passages, worker.counters


def together(
    pipeline: Pipeline, device: SurfaceDevice, *, batch: int, nvdec: Nvdec | None = None
) -> tuple[list[Passage], Counters]:
    passages: list[Passage] = []
    options = loop_options(pipeline)
    follower: Follower[SurfaceFrame] = Follower(
        ORIGIN,
        track=options.track,
        spare=options.spare,
        pictures=options.pictures,
        emit=passages.append,
        bring_home=brought_home,
        counters=Counters(),
    )
    one, batcher = (
        Passenger("cam", follower, gate=options.gate, spare=options.spare),
        Batcher(device, gate=options.gate),
    )
    with open_surfaces(CLIP, camera_id="cam", clock=SystemClock(), nvdec=nvdec) as source:
        waiting: list[Item] = []
        for picture in first(iter(source)):
            waiting.append(Item(one, picture))  # type: ignore[arg-type]
            if len(waiting) == (batch if one.independent else 1):
                batcher.process(waiting)
                waiting = []
        batcher.process([*waiting, Item(one, "end")])
    assert one.error is None
    return passages, one.counters


def settled(passages: list[Passage]) -> list[Sighting]:
    return [passage.sighting for passage in passages if passage.sighting.state == "final" and passage.sighting.text]


def whole_pictures(pipeline: Pipeline) -> Pipeline:
    """The pipeline without looks at parts of a picture, which batches do not take."""
    gate = pipeline.settings.gate.model_copy(update={"whole_seconds": 0.0})
    return Pipeline.of(pipeline.settings.model_copy(update={"gate": gate}), name=pipeline.name)


@pytest.mark.parametrize("name", ["cpu", "cpu-gated"])
def test_batches_on_the_processor_tell_the_same_bit_for_bit(name: str) -> None:
    pipeline = whole_pictures(load_pipeline(name))
    device = SurfaceDevice.open(pipeline, None)
    passages, counters = together(pipeline, device, batch=8)
    expected, expected_counters = alone(pipeline)
    assert len(settled(passages)) >= 2
    assert [each.sighting for each in passages] == [each.sighting for each in expected]
    assert [each.pictures for each in passages] == [each.pictures for each in expected]
    assert counters.counts == expected_counters.counts


@pytest.fixture
def gpu_pipeline() -> Iterator[Callable[[str], tuple[Pipeline, SurfaceDevice]]]:
    opened: list[SurfaceDevice] = []

    def open_on_gpu(name: str) -> tuple[Pipeline, SurfaceDevice]:
        pipeline = load_pipeline(name)
        opened.append(SurfaceDevice.open(pipeline, 0))
        return pipeline, opened[-1]

    yield open_on_gpu
    for device in opened:
        device.close()


@pytest.mark.parametrize("name", ["gpu-t4", "gpu-orin"])
def test_a_gpu_tells_the_same_sightings(
    name: str, gpu_pipeline: Callable[[str], tuple[Pipeline, SurfaceDevice]]
) -> None:
    """Of pictures that it decodes, and, gated, of the processor's, which are copied there."""
    need_gpu()
    pipeline, device = gpu_pipeline(name)
    passages, _ = together(pipeline, device, batch=8, nvdec=device.nvdec)
    expected = settled(alone(load_pipeline("cpu"))[0])
    found = settled(passages)
    assert [each.text for each in found] == [each.text for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert abs(one.probability - other.probability) <= PROBABILITY
        assert abs(one.pts_seconds - other.pts_seconds) <= SECONDS
