"""Worker processes whose cameras share a device: from files to passages, and devices that fail or hang."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import CollectingHub, FakeDevice, assert_balanced, write_clip
from waiting import until

from anpr.clock import SystemClock
from anpr.config.pipeline import Pipeline, Preset
from anpr.config.site import Camera
from anpr.engine.assignment import Assignment
from anpr.engine.crew import Crew
from anpr.engine.device import Device
from anpr.engine.pipeline import build_stages
from anpr.engine.supervisor import Supervisor
from anpr.errors import DeviceError
from anpr.records import Plate
from anpr.video.surface_frame import SurfaceFrame

SHARED = Pipeline.of(Preset.model_validate({"gpu": {"answer_seconds": 1.5, "batch": 4}}), name="shared")


class HangingDevice(FakeDevice):
    """Answers a few times and then never again."""

    def detect(self, pictures: Sequence[SurfaceFrame]) -> list[list[Plate]]:
        if len(self.batches) > 5:
            time.sleep(60)
        return super().detect(pictures)


def open_fake(pipeline: Pipeline, gpu: int | None) -> Device:
    return FakeDevice(most=pipeline.settings.gpu.batch)


def open_hanging(pipeline: Pipeline, gpu: int | None) -> Device:
    return HangingDevice(most=4)


def open_failing(pipeline: Pipeline, gpu: int | None) -> Device:
    return FakeDevice(most=4, fails_at_batch=6)


def open_nothing(pipeline: Pipeline, gpu: int | None) -> Device:
    raise DeviceError(f"GPU {gpu} was asked for, none is there")


def supervisor(hub: CollectingHub, *cameras: Camera, open_device: Callable[..., Device]) -> Supervisor:
    assignment = Assignment(
        site_id="site",
        cameras=tuple((camera, SHARED) for camera in cameras),
        build=build_stages,
        log_level="error",
        log_as_json=True,
        gpu=0,
        open_device=open_device,
    )
    return Supervisor([assignment], hub, clock=SystemClock(), first_pause_seconds=0.2)


def run(runs: Supervisor, condition: Callable[[], bool]) -> None:
    """Until `condition`, or until the supervisor ends of itself."""
    stop = threading.Event()
    thread = threading.Thread(target=runs.run, args=(stop,))
    thread.start()
    try:
        until(lambda: condition() or not thread.is_alive())
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert condition()
    assert runs.pids == ()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "two.mp4", frames=80)


def camera(name: str, file: Path) -> Camera:
    return Camera.model_validate({"id": name, "file": str(file)})


def test_cameras_of_one_device_tell_each_their_own_sightings(clip: Path, tmp_path: Path) -> None:
    hub = CollectingHub()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:400])
    cameras = [camera("one", clip), camera("two", clip), camera("broken", broken)]
    runs = supervisor(hub, *cameras, open_device=open_fake)
    run(runs, lambda: len(hub.finals()) == 4 and not runs.pids)
    assert hub.finals("one") == hub.finals("two") == ["30A12345", "51F67890"]
    assert runs.failed_cameras == {"broken"}
    assert runs.restarts == 0
    assert_balanced(runs.counters)
    assert all(passage.pictures for passage in hub.passages)


@pytest.mark.parametrize("open_device", [open_hanging, open_failing, open_nothing])
def test_a_device_that_is_lost_costs_its_process_which_is_started_again(
    clip: Path, open_device: Callable[..., Device]
) -> None:
    runs = supervisor(CollectingHub(), camera("one", clip), camera("two", clip), open_device=open_device)
    run(runs, lambda: runs.restarts >= 1)
    assert runs.restarts >= 1


def crew_of(open_device: Callable[..., Any]) -> Crew:
    crew = Crew(SHARED, None, open_device)
    crew.start()
    return crew


def test_a_crew_gives_its_device_back_and_leaves_no_thread() -> None:
    before = threading.active_count()
    crew = crew_of(open_fake)
    device = crew.ready(threading.Event())
    assert isinstance(device, FakeDevice)
    assert crew.busy_seconds == 0.0
    assert crew.stop(5.0)
    assert device.closed
    assert crew.device is None
    assert threading.active_count() == before


def test_who_waits_for_a_device_is_told_that_it_does_not_open() -> None:
    crew = crew_of(open_nothing)
    with pytest.raises(DeviceError, match="none is there"):
        crew.ready(threading.Event())
    assert crew.stop(5.0)


def test_who_waits_for_a_device_may_stop_waiting() -> None:
    leave = threading.Event()

    def open_slowly(pipeline: Pipeline, gpu: int | None) -> Device:
        leave.wait(5)
        return open_fake(pipeline, gpu)

    crew = crew_of(open_slowly)
    stop = threading.Event()
    stop.set()
    assert crew.ready(stop) is None
    leave.set()
    assert crew.stop(5.0)
