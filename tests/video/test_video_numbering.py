"""A camera that takes pictures at uneven times is not a camera whose pictures are lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from clips import QUIET, picture
from hypothesis import given
from hypothesis import strategies as st

from anpr.clock import ManualClock
from anpr.metrics import Counters
from anpr.records import Frame
from anpr.video.numbering import Numbering
from anpr.video.source import open_source

RATE = 30
GROUP = 20
CODECS = [("libx264", "clip.mkv"), ("libx264", "clip.ts"), ("libx265", "clip.mp4"), ("libx265", "clip.ts")]


def even(number: int) -> int:
    return number


def uneven(number: int) -> int:
    """25 of 30 pictures."""
    return number + number // 5


def slower(number: int) -> int:
    """Half as many from picture 30 on."""
    return number + max(0, number - 30)


def write(path: Path, codec: str, at: Callable[[int], int], *, lost: Sequence[int] = (), b_frames: int = 0) -> Path:
    """60 pictures, each at a multiple of 1/30 s that `at` tells; packets `lost` are left out."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options=QUIET.get(codec, {}))
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, RATE)
        context.gop_size, context.max_b_frames, context.thread_count = GROUP, b_frames, 1

        def packets() -> Iterator[av.Packet]:
            for number in range(60):
                image = av.VideoFrame.from_ndarray(picture(number, width=160, height=120), format="rgb24")
                image.pts, image.time_base = at(number), Fraction(1, RATE)
                yield from stream.encode(image)
            yield from stream.encode()

        for number, packet in enumerate(packets()):
            if number not in lost:
                container.mux(packet)
    return path


def read(path: Path) -> tuple[list[Frame], Counters]:
    counters = Counters()
    with open_source(path, camera_id="gate", clock=ManualClock(), counters=counters) as source:
        return list(source), counters


@pytest.mark.parametrize("at", [uneven, slower])
@pytest.mark.parametrize(("codec", "name"), CODECS)
def test_uneven_steps_taint_nothing(tmp_path: Path, codec: str, name: str, at: Callable[[int], int]) -> None:
    frames, counters = read(write(tmp_path / name, codec, at))
    assert len(frames) == 60
    steps = {round((later.pts_seconds - earlier.pts_seconds) * RATE) for earlier, later in pairwise(frames)}
    assert steps == {1, 2}
    assert [frame.index for frame in frames if frame.tainted] == []
    assert counters.total("frames_tainted") == 0


@pytest.mark.parametrize("lost", [[33], [34], [45, 46, 47]])
@pytest.mark.parametrize("at", [even, uneven, slower])
@pytest.mark.parametrize(("codec", "name"), CODECS)
def test_a_lost_packet_taints_all_the_same(
    tmp_path: Path, codec: str, name: str, at: Callable[[int], int], lost: list[int]
) -> None:
    """Wherever its step is longer than usual."""
    frames, _ = read(write(tmp_path / name, codec, at, lost=lost))
    clean = {round(frame.pts_seconds * RATE) for frame in frames if not frame.tainted}
    behind = range(lost[-1] + 1, (lost[-1] // GROUP + 1) * GROUP)
    assert not clean & {at(number) - at(0) for number in behind}


def test_b_pictures_at_uneven_times_are_whole(tmp_path: Path) -> None:
    frames, _ = read(write(tmp_path / "clip.mkv", "libx264", uneven, b_frames=2))
    assert [frame.index for frame in frames if frame.tainted] == []


def test_as_many_lost_pictures_as_the_number_counts_are_seen_by_their_time(tmp_path: Path) -> None:
    """x264 counts to 16 in so short a group: the seventeenth has the number of the first."""
    frames, _ = read(write(tmp_path / "clip.mkv", "libx264", even, lost=range(22, 38)))
    assert [round(frame.pts_seconds * RATE) for frame in frames if frame.tainted] == [38, 39]


@given(st.binary(max_size=200), st.sampled_from(["h264", "hevc", "mpeg4"]), st.sampled_from([0, 1, 2, 4]))
def test_garbage_says_nothing_and_breaks_nothing(data: bytes, codec: str, length_bytes: int) -> None:
    numbering = Numbering(codec, length_bytes)
    for kind in (0x67, 0x42, 0x44, 0x26, 0x65, 0x41):
        packet = av.Packet(b"\0\0\1" + bytes([kind, 1]) + data)
        numbering.learn(packet)
        follows = numbering.follows([packet], packet, 2.0)
        if not length_bytes and b"\0\0\1" not in data:
            assert not follows  # two pictures of one number, to which others refer
