from __future__ import annotations

import gc
from pathlib import Path

import av
import numpy as np
import pytest
from clips import write_clip

from anpr.clock import ManualClock
from anpr.errors import VideoError
from anpr.metrics import Counters
from anpr.records import Frame
from anpr.video.decode import DecodeOptions
from anpr.video.files import VideoFile

RECEIVED, LEFT_OUT = ("frames_received", ""), ("pictures_left_out", "")


def open_file(path: Path, **options: object) -> VideoFile:
    return VideoFile(path, camera_id="cam1", clock=ManualClock(), **options)  # type: ignore[arg-type]


def frames_of(path: Path, **options: object) -> tuple[list[Frame], Counters]:
    with open_file(path, **options) as source:
        return list(source), source.counters


@pytest.mark.parametrize(
    ("name", "codec", "decoder"),
    [
        ("clip.mp4", "libx264", "h264"),
        ("clip.mkv", "libx264", "h264"),
        ("clip.ts", "libx264", "h264"),
        ("clip.avi", "mpeg4", "mpeg4"),
        ("clip.mp4", "libx265", "hevc"),
        ("clip.mkv", "libx265", "hevc"),
        ("clip.mov", "mjpeg", "mjpeg"),
    ],
)
def test_every_container_gives_every_picture(tmp_path: Path, name: str, codec: str, decoder: str) -> None:
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_clip(tmp_path / name, codec=codec, frames=25, pixel_format=pixel_format)
    with open_file(path, start_wall_seconds=1000.0) as source:
        frames = list(source)
        facts = source.facts
    assert (facts.width, facts.height, facts.frame_rate, facts.codec) == (160, 120, 25.0, decoder)
    assert facts.frame_count in (25, None)
    assert [frame.index for frame in frames] == list(range(25))
    assert [frame.pts_seconds for frame in frames] == pytest.approx([number / 25 for number in range(25)], abs=1e-3)
    assert frames[10].wall_seconds == pytest.approx(1000.4, abs=1e-3)
    assert not any(frame.tainted for frame in frames)
    assert set(source.counters.counts) == {RECEIVED}
    bar_starts = [int(np.argmax(frame.luma[60] > 175)) for frame in frames]
    assert np.abs(np.array(bar_starts) - np.arange(25) * 8 % 144).max() <= 2


def test_b_frames_come_in_order_of_display(tmp_path: Path) -> None:
    frames, counters = frames_of(write_clip(tmp_path / "b.mp4", b_frames=3, key_every=12))
    assert [frame.pts_seconds for frame in frames] == pytest.approx([number / 25 for number in range(30)])
    assert set(counters.counts) <= {RECEIVED, LEFT_OUT}


@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv444p", "gray", "yuv420p10le"])
def test_other_pixel_formats_are_converted_and_counted(tmp_path: Path, pixel_format: str) -> None:
    codec = "ffv1" if pixel_format == "gray" else "libx264"
    path = write_clip(tmp_path / "clip.mkv", codec=codec, pixel_format=pixel_format, frames=5)
    plain, _ = frames_of(write_clip(tmp_path / "plain.mkv", frames=5))
    frames, counters = frames_of(path)
    assert counters.counts == {("frames_converted", pixel_format): 5, RECEIVED: 5}
    assert np.abs(frames[2].luma.astype(int) - plain[2].luma).mean() < (25 if pixel_format == "gray" else 3)


def test_odd_sizes_keep_their_chroma(tmp_path: Path) -> None:
    frames, _ = frames_of(write_clip(tmp_path / "odd.mkv", codec="ffv1", width=101, height=67, frames=2))
    assert frames[0].luma.shape == (67, 101)
    assert frames[0].chroma_u.shape == (34, 51)


def test_planes_are_views_that_outlive_the_decoder(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=30)
    frames, _ = frames_of(path)
    luma = frames[0].luma
    assert luma.base is not None
    assert not luma.flags.writeable
    before = luma.copy()
    del frames
    gc.collect()
    frames_of(path)  # would overwrite the picture's memory if it had been given back
    np.testing.assert_array_equal(luma, before)


def test_start_time_is_given_or_in_the_file_or_the_last_change(tmp_path: Path) -> None:
    dated = write_clip(tmp_path / "a.mp4", metadata={"creation_time": "2026-03-01T05:00:00Z"})
    with open_file(dated) as source:
        assert source.facts.start_wall_seconds == 1772341200.0
    with open_file(dated, start_wall_seconds=5.0) as source:
        assert next(iter(source)).wall_seconds == 5.0
    undated = write_clip(tmp_path / "b.mp4", frames=50)
    with open_file(undated) as source:
        assert source.facts.start_wall_seconds == pytest.approx(undated.stat().st_mtime - 2.0, abs=0.01)


@pytest.mark.parametrize("name", ["à la gare: 100%.mp4", "-i.mp4", "rtsp:x.mp4", "ảnh xe #1?.mp4"])
def test_odd_names_are_names(tmp_path: Path, name: str) -> None:
    assert len(frames_of(write_clip(tmp_path / "plain.mp4", frames=3).rename(tmp_path / name))[0]) == 3


def test_missing_file(tmp_path: Path) -> None:
    with (
        pytest.raises(VideoError, match=r"nowhere\.mp4: no such file \(check the path\)"),
        open_file(tmp_path / "nowhere.mp4"),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", r"the file is empty \(0 bytes\)"),
        (b"this is a text, not a clip\n" * 50, "cannot be opened as a video"),
        (bytes(range(256)) * 64, "cannot be opened as a video"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41", "cannot be opened as a video"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n/etc/hostname\n", "cannot be opened as a video"),
        (b"ffconcat version 1.0\nfile other.mp4\n", "cannot be opened as a video"),
    ],
)
def test_what_is_no_clip_is_one_clear_error(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=rf"bad\.mp4: {problem}") as caught, open_file(path):
        pass
    assert caught.value.cure
    assert "\n" not in str(caught.value)


def test_sound_only_and_folder(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 48000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match="has no video"), open_file(tmp_path / "sound.mp4"):
        pass
    with pytest.raises(VideoError, match="is not a file"), open_file(tmp_path):
        pass


def test_reading_a_closed_source_is_an_error(tmp_path: Path) -> None:
    source = open_file(write_clip(tmp_path / "clip.mp4", frames=2))
    with pytest.raises(VideoError, match="not open"):
        list(source)


def packet_places(path: Path) -> list[tuple[int, int, bool]]:
    """(place, size, key) of each packet in the file, in order of decoding."""
    with av.open(str(path)) as container:
        return [(p.pos or 0, p.size, p.is_keyframe) for p in container.demux(video=0) if p.size]


def garble(path: Path, *numbers: int) -> None:
    """Overwrite packets with ones from the first byte of their data on: their length becomes nonsense too."""
    places, data = packet_places(path), bytearray(path.read_bytes())
    for number in numbers:
        place, size, _ = places[number]
        data[place : place + size] = b"\xff" * size
    path.write_bytes(data)


def test_damage_in_the_middle_is_counted_and_taints_until_the_next_key_frame(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=30, key_every=10)
    garble(path, 14)
    frames, counters = frames_of(path)
    assert counters.total("packets_undecodable") == 1
    numbers = {round(frame.pts_seconds * 25): frame.tainted for frame in frames}
    assert set(range(14)) | set(range(15, 30)) <= set(numbers)
    assert [number for number, tainted in numbers.items() if tainted] == list(range(15, 20))
    assert counters.total("frames_tainted") == 5


@pytest.mark.parametrize(("codec", "name"), [("libx264", "c.mkv"), ("libx265", "c.mkv"), ("libx264", "c.mp4")])
def test_a_lost_packet_taints_until_the_next_key_frame(tmp_path: Path, codec: str, name: str) -> None:
    clip = write_clip(tmp_path / f"whole-{name}", codec=codec, frames=40, key_every=20)
    path = tmp_path / name
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size and number != 12:
                packet.stream = stream
                target.mux(packet)
    frames, counters = frames_of(path)
    tainted = {round(frame.pts_seconds * 25) for frame in frames if frame.tainted}
    clean = {round(frame.pts_seconds * 25) for frame in frames} - tainted
    assert tainted <= set(range(13, 20))
    assert clean == set(range(12)) | set(range(20, 40))
    assert counters.counts[("stream_gaps", "time stamps")] >= 1


@pytest.mark.parametrize("name", ["clip.ts", "clip.mkv", "clip.avi", "fast.mp4"])
def test_a_truncated_file_gives_what_is_there(tmp_path: Path, name: str) -> None:
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    options = {"movflags": "faststart"} if name == "fast.mp4" else {}
    path = write_clip(tmp_path / name, codec=codec, frames=150, container_options=options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    frames, counters = frames_of(path)
    assert 60 <= len(frames) < 150
    if name != "clip.ts":  # it promises no length
        assert counters.total("packets_missing") == pytest.approx(150 - len(frames), abs=1)


def test_mp4_cut_before_its_index_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "cut.mp4", frames=60)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(VideoError, match=r"cannot be opened as a video .*cut off while recording"), open_file(path):
        pass


def test_a_clip_of_garbage_pictures_is_an_error(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=10)
    garble(path, *range(10))
    with pytest.raises(VideoError, match=r"no picture can be decoded|cannot be opened"):
        frames_of(path)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["clip.mp4", "clip.ts", "clip.mkv"])
def test_flipped_bytes_never_crash_and_time_never_goes_back(tmp_path: Path, name: str, seed: int) -> None:
    path = write_clip(tmp_path / name, frames=30, b_frames=2)
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    random = np.random.default_rng(seed)
    places = random.integers(0, data.size, 40)
    data[places] = random.integers(0, 256, 40)
    path.write_bytes(data.tobytes())
    try:
        frames, _ = frames_of(path)
    except VideoError:
        return
    assert (np.diff([frame.pts_seconds for frame in frames]) >= 0).all()


def test_two_clips_spliced_go_on_in_time(tmp_path: Path) -> None:
    first = write_clip(tmp_path / "first.ts", frames=50).read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(first + first)
    frames, counters = frames_of(path)
    pts = np.array([frame.pts_seconds for frame in frames])
    assert len(frames) >= 98
    assert (np.diff(pts) >= 0).all()
    assert pts[-1] == pytest.approx(len(frames) / 25, abs=0.2)
    assert counters.counts[("time_jumps", "backward")] == 1


def test_a_change_of_size_is_told(tmp_path: Path) -> None:
    path = tmp_path / "both.ts"
    small = write_clip(tmp_path / "small.ts").read_bytes()
    large = write_clip(tmp_path / "large.ts", width=320, height=240).read_bytes()
    path.write_bytes(small + large)
    with open_file(path) as source:
        sizes = {frame.luma.shape for frame in source}
        assert (source.facts.width, source.facts.height) == (320, 240)
    assert sizes == {(120, 160), (240, 320)}
    assert source.counters.counts[("stream_changes", "size")] == 1


@pytest.mark.parametrize(
    ("options", "fewer"),
    [
        (DecodeOptions(skip_frame="nonkey"), True),
        (DecodeOptions(skip_loop_filter="all"), False),
        (DecodeOptions(thread_count=2, thread_type="frame"), False),
        (DecodeOptions(thread_count=2), False),
    ],
)
def test_options_reach_the_decoder(tmp_path: Path, options: DecodeOptions, fewer: bool) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=30, key_every=10)
    plain, _ = frames_of(path)
    frames, counters = frames_of(path, options=options)
    assert len(frames) == (3 if fewer else 30)
    assert set(counters.counts) <= {RECEIVED, LEFT_OUT}
    if options.skip_loop_filter == "all":
        assert any((one.luma != other.luma).any() for one, other in zip(plain, frames, strict=True))


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="thread_count"):
        DecodeOptions(thread_count=0)
    with pytest.raises(ValueError, match="read_timeout_seconds"):
        DecodeOptions(read_timeout_seconds=0)
