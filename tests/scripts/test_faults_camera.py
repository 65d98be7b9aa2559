"""The fault matrix's own camera, proxy and program: a real client gets whole pictures, and faults are what they say."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from scripts.fault_matrix.cameras import Camera
from scripts.fault_matrix.pictures import read_pictures, write_pictures
from scripts.fault_matrix.processes import descendants, is_alive
from scripts.fault_matrix.proxy import Proxy, flip_bits, lose_packets, lose_pictures
from scripts.fault_matrix.rtp import MOST_PAYLOAD_BYTES, Codec, Packetiser, is_key, nal_units
from scripts.fault_matrix.world import ROOT, round_seconds, vehicles

SIZE = (320, 240)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small stand-in for the world: noise, so that pictures need many packets."""
    folder = tmp_path_factory.mktemp("pictures")
    chance = random.Random(1)
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = *SIZE, "yuv420p"
    encoder.framerate, encoder.options = 25, {"g": "6", "preset": "ultrafast", "tune": "zerolatency", "threads": "1"}
    packets = []
    for number in range(24):
        frame = av.VideoFrame(*SIZE, "yuv420p")
        for plane in frame.planes:
            plane.update(chance.randbytes(plane.buffer_size))
        frame.pts = number
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    packets += [bytes(packet) for packet in encoder.encode(None)]
    write_pictures(folder / "usual.pictures", {"codec": "h264", "repeats": 1, "shows": "world"}, packets)
    return folder


@pytest.fixture
def camera(tmp_path: Path, pictures: Path) -> Iterator[Camera]:
    made = Camera("first", folder=tmp_path, pictures=pictures, t0=time.monotonic(), user="guard", password="secret")
    made.start()
    yield made
    made.kill()


def watch(port: int, *, password: str = "secret", frames: int = 20, patience: float = 30.0) -> list[bool]:
    """Whether each of the first pictures that a client gets has the right size."""
    url = f"rtsp://guard:{password}@127.0.0.1:{port}/first"
    with av.open(url, options={"rtsp_transport": "tcp"}, timeout=(patience, patience)) as stream:
        shown = []
        for frame in stream.decode(video=0):
            shown.append((frame.width, frame.height) == SIZE)
            if len(shown) == frames:
                break
        return shown


def test_a_client_gets_whole_pictures_and_the_book_says_so(camera: Camera) -> None:
    began = time.monotonic()
    assert all(watch(camera.port))
    assert camera.first_key_taken(began) is not None
    share, count = camera.taken_share(camera.book("played")[0]["at"], time.monotonic() - 0.2)
    assert count > 10
    assert share > 0.8


def test_a_wrong_password_is_refused_and_noted(camera: Camera) -> None:
    with pytest.raises(av.error.HTTPUnauthorizedError):
        watch(camera.port, password="wrong")
    assert camera.book("refused")
    assert "secret" not in camera._book.path.read_text()


def test_a_frozen_camera_resumes_and_a_killed_one_comes_back_on_its_port(camera: Camera) -> None:
    port = camera.port
    camera.freeze()
    time.sleep(0.3)
    before = len(camera.book("picture"))
    time.sleep(0.3)
    assert len(camera.book("picture")) == before
    camera.thaw()
    camera.kill()
    camera.start()
    assert camera.port == port
    assert all(watch(port))


def test_the_proxy_passes_what_it_is_not_told_to_harm(camera: Camera) -> None:
    with Proxy(camera.port) as proxy:
        assert all(watch(proxy.port))
        assert proxy.packets_seen > 20
        assert proxy.packets_harmed == 0
        proxy.mangle = lambda packet: None

        def starves() -> bool:
            with pytest.raises((av.error.FFmpegError, IndexError)):
                watch(proxy.port, patience=1.0)
            return proxy.packets_harmed > 0

        until(starves)


def test_a_dead_line_says_nothing_until_it_is_revived(camera: Camera) -> None:
    with Proxy(camera.port) as proxy:
        proxy.go_dead()
        with pytest.raises(av.error.FFmpegError):
            av.open(f"rtsp://127.0.0.1:{proxy.port}/first", options={"rtsp_transport": "tcp"}, timeout=(0.5, 0.5))
        proxy.revive()
        assert all(watch(proxy.port))


@given(st.lists(st.binary(min_size=3, max_size=9000), min_size=1, max_size=5), st.sampled_from(["h264", "h265"]))
def test_fragments_put_together_are_the_units_again(bodies: list[bytes], codec: Codec) -> None:
    heads = {"h264": bytes([0x65]), "h265": bytes([19 << 1, 1])}
    units = [heads[codec] + body for body in bodies]
    packets = Packetiser(sequence=65_530).packets(units, codec, stamp=(1 << 32) + 7)
    sequences = [int.from_bytes(packet[2:4], "big") for packet in packets]
    assert all((later - earlier) % 65_536 == 1 for earlier, later in pairwise(sequences))
    assert {packet[4:8] for packet in packets} == {(7).to_bytes(4, "big")}
    assert [packet[1] >> 7 for packet in packets] == [0] * (len(packets) - 1) + [1]
    assert max(len(packet) for packet in packets) <= MOST_PAYLOAD_BYTES + 12
    assert _rebuilt([packet[12:] for packet in packets], codec) == units


def _rebuilt(payloads: list[bytes], codec: Codec) -> list[bytes]:
    """The NAL units in RTP payloads, by RFC 6184 and RFC 7798."""
    units: list[bytes] = []
    for payload in payloads:
        kind = payload[0] & 0x1F if codec == "h264" else payload[0] >> 1 & 0x3F
        if kind != (28 if codec == "h264" else 49):
            units.append(payload)
            continue
        width = 1 if codec == "h264" else 2
        mark, body = payload[width], payload[width + 1 :]
        if mark & 0x80:
            first = payload[0] & 0xE0 | mark & 0x1F if codec == "h264" else payload[0] & 0x81 | (mark & 0x3F) << 1
            units.append(bytes([first]) + payload[1:width] + body)
        else:
            units[-1] += body
    return units


def test_losses_are_as_many_as_asked_and_hit_whole_pictures() -> None:
    packets = [bytes(4) + (number // 10).to_bytes(4, "big") + bytes(30) for number in range(10_000)]
    lose = lose_packets(0.05, random.Random(1))
    lost = [lose(packet) is None for packet in packets]
    assert 400 < sum(lost) < 600
    mangle = lose_pictures(0.1, random.Random(1))
    fates = [mangle(packet) is None for packet in packets]
    assert 60 < sum(fates[::10]) < 140
    assert all(len(set(fates[place : place + 10])) == 1 for place in range(0, 10_000, 10))
    flip = flip_bits(1.0, random.Random(1))
    assert all(flip(packet) != packet and len(flip(packet)) == len(packet) for packet in packets[:50])


def test_files_of_pictures_give_back_what_was_written(tmp_path: Path) -> None:
    write_pictures(tmp_path / "a.pictures", {"codec": "h264"}, [b"one", b"", b"three"])
    assert read_pictures(tmp_path / "a.pictures") == ({"codec": "h264"}, [b"one", b"", b"three"])


def test_key_pictures_are_told_from_others(pictures: Path) -> None:
    _, encoded = read_pictures(pictures / "usual.pictures")
    assert [is_key(picture, "h264") for picture in encoded] == [number % 6 == 0 for number in range(24)]
    assert all(nal_units(picture) for picture in encoded)


def test_the_worlds_truth_is_that_of_the_clip() -> None:
    shown = vehicles()
    assert len(shown) >= 20
    assert round_seconds() == pytest.approx(36.0)
    for vehicle in shown:
        assert 0 <= vehicle.shown_from <= vehicle.readable_from <= vehicle.readable_until <= vehicle.shown_until <= 36.0


def test_nothing_outlives_a_killed_harness() -> None:
    command = [sys.executable, "-m", "scripts.fault_matrix", "--only", "calm"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as harness:
        try:
            until(lambda: len(descendants(harness.pid)) >= 3)
            started = descendants(harness.pid)
        finally:
            harness.kill()
    until(lambda: not any(map(is_alive, started)))


def test_the_program_lists_its_rows_and_refuses_unknown_ones() -> None:
    command = [sys.executable, "-m", "scripts.fault_matrix"]
    listed = subprocess.run([*command, "--list"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "camera-reboot" in listed.stdout
    assert "not here" in listed.stdout
    for name, problem in (("nonsense", "no such row"), ("gpu-vanishes", "CPU")):
        refused = subprocess.run([*command, "--only", name], cwd=ROOT, capture_output=True, text=True, check=False)
        assert refused.returncode == 2
        assert problem in refused.stderr
