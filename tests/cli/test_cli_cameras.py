"""`anpr cameras gaps` from a store; `anpr cameras probe` against a real server and against none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import av
import pytest
from clips import write_clip
from making_records import make_gap
from rtsp_servers import need_server, server
from running_verbs import run

from anpr.clock import ManualClock
from anpr.store import Store
from anpr.video import probe
from anpr.video.address import Address

CANARY = "Kan4ri"


def test_gaps_are_shown_newest_first(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", clock=ManualClock()) as store:
        over = make_gap(id="g-2", camera_id="b", revision=1, state="final", from_seconds=1e9, until_seconds=1e9 + 125.0)
        store.append([], [], [over, make_gap()])
    arguments = ["cameras", "gaps", "--store", tmp_path / "store"]
    shown = run(*arguments)
    assert shown.exit_code == 0
    first, second = shown.stdout.splitlines()
    assert "until now" in first
    assert "offline, nothing listens there" in first
    assert "2 min 5 s" in second
    told = run(*arguments, "--camera", "b", "--json")
    assert json.loads(told.stdout)["id"] == "g-2"
    assert run(*arguments, "--camera", "c").exit_code == 1


def test_a_camera_that_is_not_there_is_told_without_its_password() -> None:
    told = run("cameras", "probe", f"rtsp://u:{CANARY}@127.0.0.1:9/x")
    assert told.exit_code == 1
    assert "nothing listens there" in told.output
    assert CANARY not in told.output


class Breaking:
    """A clip as a camera that fails after some packets, by libav's own error with the whole address."""

    def __init__(self, clip: Path, address: Address, packets: int) -> None:
        self._container = av.open(str(clip))
        self._address = address
        self._packets = packets
        self.streams = self._container.streams

    def demux(self, stream: Any) -> Iterator[Any]:
        yield from islice(self._container.demux(stream), self._packets)
        raise av.error.ConnectionResetError(104, f"reset {self._address.url}", self._address.url)

    def close(self) -> None:
        self._container.close()


def test_a_camera_that_breaks_off_is_told_and_the_others_still_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=20, width=320, height=240)
    cameras = "".join(
        f'[[cameras]]\nid = "{name}"\nurl = "rtsp://10.0.0.1/{packets}"\nuser = "u"\npassword = "${{SECRET}}"\n'
        for name, packets in (("mute", 0), ("brief", 10), ("last", 10))
    )
    site = tmp_path / "site.toml"
    site.write_text(
        '[box]\nid = "b"\n[site]\nid = "s"\n[store]\npath = "d"\n[bus]\nendpoint = "tcp://127.0.0.1:7781"\n' + cameras
    )
    monkeypatch.setenv("SECRET", CANARY)
    monkeypatch.setattr(
        probe,
        "connect",
        lambda address, **_: Breaking(clip, address, packets=int(address.url.rpartition("/")[2])),
    )
    told = run("cameras", "probe", "--site", site, "--json")
    assert told.exit_code == 1
    assert isinstance(told.exception, SystemExit)
    mute, brief, last = map(json.loads, told.stdout.splitlines())
    assert "size" not in mute
    assert "the connection broke" in mute["problems"][0]
    assert mute["problems"][0].startswith("mute rtsp://")
    for facts in (brief, last):
        assert facts["size"] == "320x240"
        assert facts["problems"][0].startswith("broke off after 0.")
    assert CANARY not in told.output

    with pytest.raises(probe.StreamError) as caught:
        probe.examine(
            f"rtsp://u:{CANARY}@10.0.0.1/0",
            camera_id="mute",
            clock=ManualClock(),
            seconds=1.0,
            options=probe.DecodeOptions(),
        )
    assert caught.value.__context__ is None


def test_a_camera_tells_what_it_sends(tmp_path: Path) -> None:
    need_server()
    clip = write_clip(tmp_path / "clip.mp4", frames=75, key_every=25, width=320, height=240)
    with server(clip) as (address, _):
        told = run("cameras", "probe", address, "--seconds", "3", "--json")
    facts = json.loads(told.stdout)
    assert (facts["codec"], facts["size"]) == ("h264", "320x240")
    assert facts["frames_per_second"] == pytest.approx(25, rel=0.1)
    assert facts["key_frame_seconds"] == pytest.approx(1.0, abs=0.1)
    assert 0 < facts["first_picture_seconds"] < 5
    assert facts["megabits_per_second"] > 0
    assert told.exit_code == 1
    assert "320x240 is small" in facts["problems"][0]
