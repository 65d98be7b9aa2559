#!/usr/bin/python3
"""Serves clips (mp4 with H.264 or H.265) over RTSP in real time, as cameras would, without encoding them again.

For tests and rehearsals. Needs GStreamer's RTSP server and the system's Python: run `scripts/install_servers` first.
Prints the address of each stream, without the password, when it listens. A stream starts for its first client and
loops; further clients join it. Several streams share the clips and begin at places spread over them, so that they do
not show the same vehicle at the same time.

    scripts/rtsp_server.py --clip clip.mp4 --port 8554 --path /cam1 [--user guard --password secret] [--once]
    scripts/rtsp_server.py --clip a.mp4 b.mp4 --path /cam --streams 12        (/cam1 to /cam12)
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path

try:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtsp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtsp, GstRtspServer
except (ImportError, ValueError) as error:
    sys.exit(f"rtsp_server: {error}: run scripts/install_servers, then start this with /usr/bin/python3")

ROLE = "viewer"
CODECS = {b"avc1": "h264", b"avc3": "h264", b"hvc1": "h265", b"hev1": "h265"}


class Clip:
    """The encoded pictures of an mp4, in memory."""

    def __init__(self, path: Path) -> None:
        description = re.search(rb"stsd.{12}(avc1|avc3|hvc1|hev1)", path.read_bytes(), re.DOTALL)
        if description is None:
            sys.exit(f"rtsp_server: {path} is no mp4 with H.264 or H.265")
        self.codec = CODECS[description[1]]
        location = str(path.resolve()).replace("\\", "\\\\").replace('"', '\\"')
        # Parameter sets before every key frame, so that a client may join at any.
        reader = Gst.parse_launch(
            f'filesrc location="{location}" ! qtdemux name=demux demux.video_0 ! {self.codec}parse config-interval=-1'
            f" ! video/x-{self.codec},stream-format=byte-stream,alignment=au ! appsink name=sink sync=false"
        )
        self.pictures = self._read(reader)
        if not self.pictures:
            sys.exit(f"rtsp_server: {path} cannot be read: is it damaged?")
        first = min(picture.pts for picture in self.pictures)
        self.length = max(picture.pts + picture.duration for picture in self.pictures) - first

    @staticmethod
    def _read(reader: Gst.Pipeline) -> list[Gst.Buffer]:
        sink, pictures = reader.get_by_name("sink"), []
        reader.set_state(Gst.State.PLAYING)
        while sample := sink.emit("try-pull-sample", 5 * Gst.SECOND):
            pictures.append(sample.get_buffer())
        reader.set_state(Gst.State.NULL)
        return pictures

    def place(self, share: Fraction) -> int:
        """Number of the last key frame before this share of the clip."""
        reach = range(int(share * len(self.pictures)), 0, -1)
        return next((n for n in reach if not self.pictures[n].has_flags(Gst.BufferFlags.DELTA_UNIT)), 0)

    def play(self, begin: int, *, once: bool) -> Iterator[Gst.Buffer]:
        """The pictures from number `begin` on, round after round, with time stamps that go on from round to round."""
        zero = min(self.pictures[begin].pts, self.pictures[begin].dts)
        for number in range(begin, len(self.pictures)) if once else count(begin):
            turn, place = divmod(number, len(self.pictures))
            original, shift = self.pictures[place], turn * self.length - zero
            picture = original.copy_region(
                Gst.BufferCopyFlags.FLAGS | Gst.BufferCopyFlags.MEMORY, 0, original.get_size()
            )
            picture.pts = original.pts + shift
            picture.dts = original.dts + shift
            picture.duration = original.duration
            yield picture


class ClipFactory(GstRtspServer.RTSPMediaFactory):
    """Makes the media that plays one clip, from one of its key frames for the first client on."""

    def __init__(self, clip: Clip, *, begin: int, once: bool) -> None:
        super().__init__()
        self.clip = clip
        self.begin = begin
        self.once = once
        self.set_launch(
            f"( appsrc name=source is-live=true format=time max-buffers=4"
            f" caps=video/x-{clip.codec},stream-format=byte-stream,alignment=au"
            f" ! identity sync=true ! {clip.codec}parse ! rtp{clip.codec}pay name=pay0 pt=96 config-interval=-1 )"
        )
        self.set_shared(True)

    def do_configure(self, media: GstRtspServer.RTSPMedia) -> None:
        GstRtspServer.RTSPMediaFactory.do_configure(self, media)
        source = media.get_element().get_by_name("source")
        source.connect("need-data", self._feed, self.clip.play(self.begin, once=self.once))

    def _feed(self, source: Gst.Element, _: int, pictures: Iterator[Gst.Buffer]) -> None:
        picture = next(pictures, None)
        if picture is None:
            source.emit("end-of-stream")
        else:
            source.emit("push-buffer", picture)


def protect(server: GstRtspServer.RTSPServer, user: str, password: str) -> None:
    """Ask every client for the user and password (digest)."""
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", ROLE)
    auth.add_digest(user, password, token)
    server.set_auth(auth)


def admit(factory: ClipFactory) -> None:
    """Let whoever knows the password see this stream."""
    factory.add_role_from_structure(
        Gst.Structure.new_from_string(f"{ROLE}, media.factory.access=(bool)true, media.factory.construct=(bool)true")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve mp4 clips (H.264 or H.265) over RTSP in real time.")
    parser.add_argument("--clip", type=Path, nargs="+", required=True)
    parser.add_argument("--port", type=int, default=8554, help="0 takes any free port (default: 8554)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--path", default="/cam1", help="with several streams, each adds its number")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--once", action="store_true", help="end at the clip's end instead of looping")
    wanted = parser.parse_args()
    for path in wanted.clip:
        if not path.is_file():
            parser.error(f"no such clip: {path}")
    if wanted.streams < 1:
        parser.error("--streams must be at least 1")
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address(wanted.host)
    server.set_service(str(wanted.port))
    if wanted.user:
        protect(server, wanted.user, wanted.password)
    clips = [Clip(path) for path in wanted.clip]
    paths = [wanted.path] if wanted.streams == 1 else [f"{wanted.path}{n + 1}" for n in range(wanted.streams)]
    for number, path in enumerate(paths):
        clip = clips[number % len(clips)]
        factory = ClipFactory(clip, begin=clip.place(Fraction(number, len(paths))), once=wanted.once)
        if wanted.user:
            admit(factory)
        server.get_mount_points().add_factory(path, factory)
    if not server.attach(None):
        sys.exit(f"rtsp_server: cannot listen on {wanted.host}:{wanted.port}: is the port taken?")
    for path in paths:
        print(f"rtsp://{wanted.host}:{server.get_bound_port()}{path}", flush=True)
    GLib.timeout_add_seconds(5, lambda: server.get_session_pool().cleanup() >= 0)
    try:
        GLib.MainLoop().run()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
