"""A camera as a process of its own: an RTSP/TCP server that shows the world, keeps books, and can be told to misbehave.

Started by `cameras.Camera`. Orders come as JSON lines on stdin; when stdin ends, so does this process. What happens is
written as JSON lines to the book: `picture` (number, time, how many clients got it), `played`, `closed`, `refused`, ….
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import random
import re
import sys
import time
from pathlib import Path
from typing import Any

from scripts.fault_matrix.pictures import PICTURES_PER_SECOND, path_of, read_pictures
from scripts.fault_matrix.rtp import CLOCK_HZ, PAYLOAD_TYPE, Codec, Packetiser, is_key, is_parameter_set, nal_units

MOST_UNSENT_BYTES = 512 * 1024
"""A client that lets more lie gets no further pictures until it has read."""
REALM = "camera"
HOSTILE_BYTES = 256 << 20
"""How much a hostile answer sends, if it is let."""


class Show:
    """The pictures of one variant, cut into NAL units."""

    def __init__(self, path: Path) -> None:
        head, pictures = read_pictures(path)
        self.codec: Codec = head["codec"]
        self.repeats: int = head["repeats"]
        self.follows_world: bool = head["shows"] == "world"
        self.units = [nal_units(picture) for picture in pictures]
        self.keys = [is_key(picture, self.codec) for picture in pictures]

    def place(self, number: int, since: int) -> int:
        """Where picture `number` of the world is; what is no world begins when it is switched on, at `since`."""
        return (number if self.follows_world else number - since) * self.repeats % len(self.units)

    def description(self, *, with_sets: bool) -> str:
        """The SDP of it."""
        sets = [unit for unit in self.units[0] if is_parameter_set(unit, self.codec)] if with_sets else []
        coded = [base64.b64encode(unit).decode() for unit in sets]
        if self.codec == "h264":
            form = "packetization-mode=1" + (f";sprop-parameter-sets={','.join(coded)}" if coded else "")
        else:
            names = ("sprop-vps", "sprop-sps", "sprop-pps")
            form = ";".join(f"{name}={value}" for name, value in zip(names, coded)) or "tx-mode=SRST"
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n"
            f"m=video 0 RTP/AVP {PAYLOAD_TYPE}\r\na=rtpmap:{PAYLOAD_TYPE} {self.codec.upper()}/{CLOCK_HZ}\r\n"
            f"a=fmtp:{PAYLOAD_TYPE} {form}\r\na=framerate:{PICTURES_PER_SECOND * self.repeats:g}\r\n"
            "a=control:track1\r\n"
        )


class Session:
    """One client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, first_stamp: int) -> None:
        self.reader, self.writer = reader, writer
        self.playing = False
        self.logins = 0
        self.packetiser = Packetiser(sequence=random.randrange(1 << 16))
        self.first_stamp = first_stamp
        self.first_number: int | None = None
        self.bare_pictures = 0
        """Pictures that are still to go without parameter sets."""

    def send(self, units: list[bytes], codec: Codec, *, stamp: int) -> bool:
        """Give it a picture; False if too much lies unsent already."""
        if self.writer.transport.get_write_buffer_size() > MOST_UNSENT_BYTES or self.writer.is_closing():
            return False
        packets = self.packetiser.packets(units, codec, stamp=self.first_stamp + stamp)
        self.writer.write(b"".join(b"$\0" + len(packet).to_bytes(2, "big") + packet for packet in packets))
        return True

    def report(self, wall_seconds: float, *, stamp: int) -> None:
        """Tell it how late it is by the camera's clock at a time stamp."""
        packet = self.packetiser.report(wall_seconds, stamp=self.first_stamp + stamp)
        self.writer.write(b"$\1" + len(packet).to_bytes(2, "big") + packet)


class CameraServer:
    """The server; one for each process."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.folder: Path = options.folder
        self.t0: float = options.t0
        self.user, self.password = options.user, options.password
        self.first_stamp: int = options.first_stamp
        self.mode: str = options.mode
        self.bare_pictures: int = options.bare_pictures
        self.stamp_shift = 0
        self.clock_error: float | None = None
        """Seconds by which the camera's wall clock, which it then tells once a second, is wrong."""
        self.switched_at = 0
        self.nonce = f"{random.getrandbits(64):x}"
        self.sessions: set[Session] = set()
        self.waiting: str | None = None
        self._book = options.book.open("a", buffering=1)
        self.shows: dict[str, Show] = {}
        self.show = self._show(options.variant)

    def note(self, event: str, **facts: object) -> None:
        """Write a line into the book."""
        self._book.write(json.dumps({"event": event, "at": time.monotonic(), **facts}) + "\n")

    def _show(self, name: str) -> Show:
        if name not in self.shows:
            self.shows[name] = Show(path_of(self.folder, name))
        return self.shows[name]

    async def show_world(self) -> None:
        """Send each picture when it is its time."""
        number = int((time.monotonic() - self.t0) * PICTURES_PER_SECOND) + 1
        while True:
            await asyncio.sleep(max(0.0, self.t0 + number / PICTURES_PER_SECOND - time.monotonic()))
            behind = int((time.monotonic() - self.t0) * PICTURES_PER_SECOND) - number
            if behind > 2 * PICTURES_PER_SECOND:  # it was frozen: the world has gone on without it
                number += behind
            self._send(number)
            number += 1

    def _send(self, number: int) -> None:
        if self.waiting is not None:
            wanted = self._show(self.waiting)
            if not wanted.follows_world or wanted.keys[wanted.place(number, number)]:
                self.show, self.waiting, self.switched_at = wanted, None, number
        show = self.show
        first = show.place(number, self.switched_at)
        got, key = 0, False
        players = [session for session in self.sessions if session.playing]
        for session in players:
            if session.first_number is None:
                session.first_number = number
            bare = session.bare_pictures > 0
            session.bare_pictures -= bare
            for turn in range(show.repeats):
                units = show.units[first + turn]
                if bare:
                    units = [unit for unit in units if not is_parameter_set(unit, show.codec)]
                ticks = CLOCK_HZ * ((number - session.first_number) * show.repeats + turn)
                stamp = round(ticks / (PICTURES_PER_SECOND * show.repeats)) + self.stamp_shift
                sent = session.send(units, show.codec, stamp=stamp)
                if self.clock_error is not None and sent and turn == 0 and number % round(PICTURES_PER_SECOND) == 0:
                    session.report(time.time() + self.clock_error, stamp=stamp)
                    self.note("reported", clock_error=self.clock_error)
                got += sent and turn == 0
                key = key or (sent and show.keys[first] and not bare)
        self.note("picture", number=number, clients=len(players), got=got, key=key)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client from its first word to its last."""
        session = Session(reader, writer, first_stamp=self.first_stamp)
        session.bare_pictures = self.bare_pictures
        self.sessions.add(session)
        self.note("opened")
        try:
            await self._talk(session)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client is gone, which the book tells below
        finally:
            self.sessions.discard(session)
            self.note("closed", played=session.first_number is not None)
            writer.close()

    async def _talk(self, session: Session) -> None:
        while True:
            first = await session.reader.readexactly(1)
            if first == b"$":
                channel_and_size = await session.reader.readexactly(3)
                await session.reader.readexactly(int.from_bytes(channel_and_size[1:], "big"))
                continue
            request = (first + await session.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method = request.split(" ", 1)[0]
            self.note("asked", method=method, mode=self.mode)
            if self.mode != "healthy":
                await misbehave(self.mode, session, _header(request, "CSeq"))
                continue
            if self.password and method != "OPTIONS" and not self._knows(session, request):
                session.writer.write(
                    _answer(
                        request, "401 Unauthorized", f'WWW-Authenticate: Digest realm="{REALM}", nonce="{self.nonce}"'
                    )
                )
                await session.writer.drain()
                continue
            self._obey(session, method, request)
            await session.writer.drain()
            if method == "TEARDOWN":
                return

    def _knows(self, session: Session, request: str) -> bool:
        """Whether the request carries the right password (RFC 2069 digest); a wrong one is noted."""
        said = dict(re.findall(r'(\w+)="([^"]*)"', _header(request, "Authorization")))
        if not said:
            return False
        method, uri = request.split(" ", 2)[:2]
        one = hashlib.md5(f"{self.user}:{REALM}:{self.password}".encode()).hexdigest()
        two = hashlib.md5(f"{method}:{said.get('uri', uri)}".encode()).hexdigest()
        right = hashlib.md5(f"{one}:{said.get('nonce', '')}:{two}".encode()).hexdigest()
        if said.get("response") == right and said.get("username") == self.user:
            return True
        self.note("refused")
        return False

    def _obey(self, session: Session, method: str, request: str) -> None:
        write = session.writer.write
        match method:
            case "OPTIONS":
                write(_answer(request, "200 OK", "Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"))
            case "DESCRIBE":
                body = self.show.description(with_sets=self.bare_pictures == 0)
                write(_answer(request, "200 OK", "Content-Type: application/sdp", body=body))
            case "SETUP" if "interleaved" not in _header(request, "Transport"):
                write(_answer(request, "461 Unsupported Transport"))
            case "SETUP":
                write(_answer(request, "200 OK", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1"))
            case "PLAY":
                write(_answer(request, "200 OK", "Session: 1"))
                session.playing = True
                self.note("played")
            case "GET_PARAMETER" | "TEARDOWN":
                write(_answer(request, "200 OK", "Session: 1"))
            case _:
                write(_answer(request, "501 Not Implemented"))

    async def take_orders(self) -> None:
        """Do what stdin says, until it ends."""
        orders = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        while line := await orders.readline():
            self._take(json.loads(line))

    def _take(self, order: dict[str, Any]) -> None:
        self.mode = order.get("mode", self.mode)
        self.waiting = order.get("variant", self.waiting)
        self.password = order.get("password", self.password)
        self.bare_pictures = order.get("bare_pictures", self.bare_pictures)
        self.stamp_shift += round(order.get("stamp_shift_seconds", 0.0) * CLOCK_HZ)
        self.clock_error = order.get("clock_error_seconds", self.clock_error)
        if order.get("kick"):
            for session in self.sessions:
                session.writer.transport.abort()
        self.note("ordered", **{name: value for name, value in order.items() if name != "password"})


async def misbehave(mode: str, session: Session, number: str) -> None:
    """Answer a request in the way that `mode` names."""
    head = f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n"
    kind, _, detail = mode.partition(" ")
    writer = session.writer
    match kind:
        case "mute":
            await asyncio.sleep(3600)
        case "status":
            writer.write(f"RTSP/1.0 {detail}\r\nCSeq: {number}\r\n\r\n".encode())
        case "redirect":
            writer.write(f"RTSP/1.0 302 Found\r\nCSeq: {number}\r\nLocation: {detail}\r\n\r\n".encode())
        case "garbage":
            writer.write(random.randbytes(4096))
            writer.close()
        case "giant-description":
            writer.write(f"{head}Content-Type: application/sdp\r\nContent-Length: {HOSTILE_BYTES}\r\n\r\n".encode())
            await _pour(writer, b"a=x:" + b"A" * 1020 + b"\r\n")
        case "endless-header":
            writer.write(head.encode())
            await _pour(writer, b"X-More: " + b"A" * 1014 + b"\r\n")
        case "endless-line":
            writer.write(head.encode() + b"X-More: ")
            await _pour(writer, b"A" * 1024)
        case _:
            raise ValueError(f"no such mode: {mode}")
    await writer.drain()


async def _pour(writer: asyncio.StreamWriter, piece: bytes) -> None:
    block = piece * 64
    for _ in range(HOSTILE_BYTES // len(block)):
        writer.write(block)
        await writer.drain()
    await asyncio.sleep(3600)


def _header(request: str, name: str) -> str:
    match = re.search(rf"(?im)^{name}:\s*(.*?)\s*$", request)
    return match[1] if match else ""


def _answer(request: str, status: str, headers: str = "", *, body: str = "") -> bytes:
    base = request.split(" ", 2)[1].rstrip("/") + "/"
    lines = [f"RTSP/1.0 {status}", f"CSeq: {_header(request, 'CSeq')}"]
    lines += [headers] if headers else []
    lines += [f"Content-Base: {base}", f"Content-Length: {len(body)}"] if body else []
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


async def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(description="A camera that can misbehave; started by the fault matrix.")
    parser.add_argument("--folder", type=Path, required=True, help="of the prepared pictures")
    parser.add_argument("--book", type=Path, required=True, help="file that the book is appended to")
    parser.add_argument("--t0", type=float, required=True, help="monotonic time of the world's first picture")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--user", default="guard")
    parser.add_argument("--password", default="")
    parser.add_argument("--variant", default="usual")
    parser.add_argument("--mode", default="healthy")
    parser.add_argument("--first-stamp", type=int, default=0)
    parser.add_argument("--bare-pictures", type=int, default=0)
    options = parser.parse_args()
    camera = CameraServer(options)
    server = await asyncio.start_server(camera.serve, "127.0.0.1", options.port, limit=1 << 16)
    print(server.sockets[0].getsockname()[1], flush=True)
    showing = asyncio.create_task(camera.show_world())
    await camera.take_orders()
    showing.cancel()


if __name__ == "__main__":
    asyncio.run(main())
