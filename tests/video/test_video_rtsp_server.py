"""Against GStreamer's RTSP server on loopback."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from clips import write_clip
from rtsp_servers import need_server, port_of, server
from waiting import until

from anpr.clock import SystemClock
from anpr.errors import StreamAuthError
from anpr.video.back_off import Reconnection
from anpr.video.decode import DecodeOptions
from anpr.video.facts import SourceFacts
from anpr.video.rtsp import Gap, RtspSource, Transition, probe
from anpr.video.source import open_source

CANARY = "Kan4ri"
QUICK = DecodeOptions(open_timeout_seconds=2.0, read_timeout_seconds=1.0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A clip per codec, or skip: this machine has no RTSP server."""
    need_server()
    folder = tmp_path_factory.mktemp("clips")
    return {
        codec: write_clip(folder / f"{codec}.mp4", codec=encoder, frames=50, width=320, height=240, b_frames=b_frames)
        for codec, encoder, b_frames in (("h264", "libx264", 0), ("hevc", "libx265", 0), ("h264b", "libx264", 2))
    }


class Watcher:
    """A source read in a thread, with all that it tells."""

    def __init__(self, location: str) -> None:
        self.states: list[Transition] = []
        self.gaps: list[Gap] = []
        self.pts: list[float] = []
        self.tainted: list[bool] = []
        self.source = RtspSource(
            location,
            camera_id="gate",
            clock=SystemClock(),
            options=QUICK,
            reconnection=Reconnection(longest_seconds=1.0),
            chance=random.Random(1),
            on_state=self.states.append,
            on_gap=self.gaps.append,
        )
        self.thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        with self.source:
            for frame in self.source:
                self.pts.append(frame.pts_seconds)
                self.tainted.append(frame.tainted)

    def __enter__(self) -> Watcher:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self.thread.join(10)
        assert not self.thread.is_alive()

    def seen(self) -> list[str]:
        return [entry.state.value for entry in self.states]

    def until(self, condition: Callable[[], bool]) -> None:
        until(condition, what=lambda: (self.states, self.gaps, len(self.pts)))


@pytest.mark.parametrize("codec", ["h264", "hevc", "h264b"])
def test_a_stream_gives_its_pictures_over_the_clips_end(clips: dict[str, Path], codec: str) -> None:
    with server(clips[codec]) as (address, _):
        frames, facts = [], []
        with open_source(
            address, camera_id="gate", clock=SystemClock(), options=QUICK, on_facts=facts.append
        ) as source:
            for frame in source:
                frames.append((frame.index, frame.pts_seconds, frame.tainted, frame.luma.shape))
                if len(frames) == 70:
                    break
    assert [frame[0] for frame in frames] == list(range(70))
    steps = [later[1] - earlier[1] for earlier, later in pairwise(frames)]
    assert steps == pytest.approx([0.04] * 69, abs=0.011)
    assert not any(frame[2] for frame in frames)
    assert frames[0][3] == (240, 320)
    assert (facts[0].width, facts[0].height, facts[0].codec) == (320, 240, codec[:4])
    assert facts[0].frame_rate == pytest.approx(25.0)


def test_the_right_password_is_taken_and_a_wrong_one_refused(
    clips: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    password = f"{CANARY}@:/?#%"
    with server(clips["h264"], "--user", "guard", "--password", password) as (address, _):
        assert CANARY not in address
        assert probe(address.replace("://", f"://guard:{password}@"), options=QUICK).width == 320
        with pytest.raises(StreamAuthError) as caught:
            probe(address.replace("://", f"://guard:{CANARY}-wrong@"), options=QUICK)
        with Watcher(address.replace("://", f"://guard:{CANARY}-wrong@")) as watcher:
            watcher.until(lambda: "refused" in watcher.seen())
            time.sleep(1.0)
    assert watcher.seen() == ["connecting", "refused", "closed"]
    shown = repr([watcher.states, watcher.gaps, watcher.source, caught.value]) + str(caught.value)
    assert CANARY not in shown + "".join(capfd.readouterr())


def test_a_killed_server_is_found_again(clips: dict[str, Path]) -> None:
    with server(clips["h264"]) as (address, process):
        with Watcher(address) as watcher:
            watcher.until(lambda: len(watcher.pts) > 20)
            process.kill()
            killed = time.time()
            watcher.until(lambda: "offline" in watcher.seen())
            before = len(watcher.pts)
            time.sleep(1.0)
            with server(clips["h264"], port=port_of(address)):
                back = time.time()
                watcher.until(lambda: len(watcher.pts) > before + 20)
                again = time.time()
                assert watcher.seen()[-2:] == ["connecting", "streaming"]
                watcher.source.close()
    assert again - back < 20.0
    (gap,) = watcher.gaps
    assert gap.from_wall_seconds == pytest.approx(killed, abs=1.0)
    assert back <= gap.to_wall_seconds <= again
    assert watcher.pts == sorted(watcher.pts)
    assert watcher.pts[before] - watcher.pts[before - 1] == pytest.approx(
        gap.to_wall_seconds - gap.from_wall_seconds, abs=0.3
    )


def test_a_frozen_server_is_stalled_within_the_time_out(clips: dict[str, Path]) -> None:
    with server(clips["h264"]) as (address, process):
        with Watcher(address) as watcher:
            watcher.until(lambda: len(watcher.pts) > 20)
            process.send_signal(signal.SIGSTOP)
            frozen = time.monotonic()
            watcher.until(lambda: "stalled" in watcher.seen())
            assert time.monotonic() - frozen < QUICK.read_timeout_seconds + 5.0
            process.send_signal(signal.SIGCONT)
            before = len(watcher.pts)
            watcher.until(lambda: len(watcher.pts) > before + 5)
    assert [gap.reason for gap in watcher.gaps] == ["connected, but silent"]


def test_a_slow_reader_is_no_silent_camera(clips: dict[str, Path]) -> None:
    states: list[Transition] = []
    with server(clips["h264"]) as (address, _):
        with open_source(
            address, camera_id="gate", clock=SystemClock(), options=QUICK, on_state=states.append
        ) as source:
            for frame in source:
                if frame.index == 2:
                    time.sleep(QUICK.read_timeout_seconds + 0.3)
                if frame.index == 40:
                    break
    assert [entry.state.value for entry in states] == ["connecting", "streaming", "closed"]
    assert set(source.counters.counts) <= {("frames_received", ""), ("pictures_missing", "ended")}


def test_the_end_of_a_stream_is_a_gap_like_any_other(clips: dict[str, Path]) -> None:
    with server(clips["h264"], "--once") as (address, _):
        with Watcher(address) as watcher:
            watcher.until(lambda: len(watcher.pts) > 60)
    assert "offline" in watcher.seen() or "stalled" in watcher.seen()
    assert watcher.gaps


def test_reconnecting_leaves_no_file_open(clips: dict[str, Path]) -> None:
    with server(clips["h264"]) as (address, _):
        probe(address, options=QUICK)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(2):
            probe(address, options=QUICK)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_several_streams_share_the_clips_and_begin_at_different_places(clips: dict[str, Path]) -> None:
    first: list[float] = []
    codecs: list[str] = []
    options = ["--clip", str(clips["h264"]), str(clips["hevc"]), "--path", "/cam", "--streams", "4"]
    with server(clips["h264"], *options) as (address, process):
        assert process.stdout is not None
        addresses = [address, *(process.stdout.readline().strip() for _ in range(3))]
        assert [each.rpartition("/")[2] for each in addresses] == ["cam1", "cam2", "cam3", "cam4"]
        for each in addresses:
            facts: list[SourceFacts] = []
            with open_source(
                each, camera_id="gate", clock=SystemClock(), options=QUICK, on_facts=facts.append
            ) as source:
                frame = next(iter(source))
            first.append(round(float(frame.luma[120].argmax()) / 8))  # the bar moves 8 pixels a picture
            codecs.append(facts[0].codec)
    assert first == [0, 10, 20, 30]
    assert codecs == ["h264", "hevc", "h264", "hevc"]
