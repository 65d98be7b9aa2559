"""A recording through a device that takes several pictures at once."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import CollectingHub, FakeDevice, assert_balanced, write_clip

from anpr.cli import replay
from anpr.clock import SystemClock
from anpr.config.pipeline import Pipeline, Preset
from anpr.engine import pipeline
from anpr.engine.surface_device import SurfaceDevice
from anpr.errors import DeviceError
from anpr.replay.footage import Clip, play_in_batches
from anpr.video.surface_frame import SurfaceFrame


def test_a_clip_in_batches_tells_its_vehicles_and_loses_nothing(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "two.mp4", frames=74)
    hub, device, shown = CollectingHub(), FakeDevice(most=8), list[SurfaceFrame]()
    played = play_in_batches(
        Clip(clip, "cam"),
        Pipeline.of(Preset(), name="fake"),
        device,
        hub,  # type: ignore[arg-type]
        site_id="site",
        clock=SystemClock(),
        stop=threading.Event(),
        on_frame=shown.append,
    )
    assert hub.finals() == ["30A12345", "51F67890"]
    assert len(shown) == 74
    assert [len(batch) for batch in device.batches] == [8] * 9 + [2]
    assert_balanced(played.counters)


@pytest.mark.parametrize("fails_at_batch", [None, 0])
def test_a_replay_gives_its_device_back_also_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at_batch: int | None
) -> None:
    device = FakeDevice(fails_at_batch=fails_at_batch)
    monkeypatch.setattr(pipeline, "is_on_gpu", lambda _: True)
    monkeypatch.setattr(SurfaceDevice, "open", staticmethod(lambda *_: device))
    clip = write_clip(tmp_path / "two.mp4", frames=20)
    given: dict[str, Any] = dict.fromkeys(("pipeline", "truth", "site", "store", "bus"))
    with nullcontext() if fails_at_batch is None else pytest.raises(DeviceError):
        replay._play([clip], realtime=False, stop=threading.Event(), **given)
    assert device.closed
