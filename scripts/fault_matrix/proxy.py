"""A TCP proxy before a camera that harms what passes: RTP packets lost, late, cut or flipped, or the line gone dead."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from scripts.fault_matrix.middleman import Middleman

PIECE_BYTES = 1 << 16
Mangle = Callable[[bytes], bytes | None]
"""Takes an RTP packet and gives what passes instead; None: nothing."""


class Proxy(Middleman):
    """Between anpr and one camera."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self.mangle: Mangle | None = None
        """Done to each RTP packet from the camera. Set it from any thread."""
        self.delay: Callable[[], float] | None = None
        """Seconds that each RTP packet is held up; the order stays."""
        self.lost_bytes: Callable[[], int] | None = None
        """How many bytes to leave out of the stream after each packet, framing and all."""
        self.packets_seen = 0
        self.packets_harmed = 0
        self._dead_before = -1

    def go_dead(self) -> None:
        """From now on nothing passes and nobody is told: connections that stand, and new ones until `revive`."""
        self._dead_before = 1 << 60

    def revive(self) -> None:
        """New connections pass; those that stood stay dead, as after a router has forgotten them."""
        self._dead_before = self._number

    def ways(
        self,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        number: int,
    ) -> tuple[Coroutine[Any, Any, None], Coroutine[Any, Any, None]]:
        return self._copy(near[0], far[1], number), self._copy_harmed(far[0], near[1], number)

    async def may_pass(self, number: int) -> None:
        """Wait while the line is dead; for ever, if this connection is one that stood when it died."""
        while number <= self._dead_before:
            await asyncio.sleep(0.05)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while piece := await reader.read(PIECE_BYTES):
            await self.may_pass(number)
            writer.write(piece)
            await writer.drain()

    async def _copy_harmed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        """RTSP answers pass as they are; RTP packets pass through what is set."""
        while True:
            first = await reader.readexactly(1)
            await self.may_pass(number)
            if first != b"$":
                writer.write(first + await reader.readuntil(b"\n"))
                await writer.drain()
                continue
            head = await reader.readexactly(3)
            packet = await reader.readexactly(int.from_bytes(head[1:], "big"))
            self.packets_seen += 1
            if self.delay is not None:
                await asyncio.sleep(self.delay())
            passed = self.mangle(packet) if self.mangle is not None else packet
            if passed != packet:
                self.packets_harmed += 1
            if passed is None:
                continue
            framed = b"$" + head[:1] + len(passed).to_bytes(2, "big") + passed
            if self.lost_bytes is not None and (lost := self.lost_bytes()):
                self.packets_harmed += 1
                framed = framed[:-lost]
            writer.write(framed)
            await writer.drain()


def lose_packets(share: float, chance: random.Random) -> Mangle:
    """Each packet is lost with probability `share`."""
    return lambda packet: None if chance.random() < share else packet


def lose_pictures(share: float, chance: random.Random) -> Mangle:
    """All packets of a picture are lost together; pictures are told apart by their time stamps. Key frames too."""
    fate: dict[bytes, bool] = {}

    def mangle(packet: bytes) -> bytes | None:
        stamp = packet[4:8]
        if stamp not in fate:
            fate.clear()
            fate[stamp] = chance.random() < share
        return None if fate[stamp] else packet

    return mangle


def flip_bits(share: float, chance: random.Random) -> Mangle:
    """A byte of the payload is changed with probability `share` per packet."""

    def mangle(packet: bytes) -> bytes:
        if len(packet) < 20 or chance.random() >= share:
            return packet
        place = chance.randrange(14, len(packet))
        return packet[:place] + bytes([packet[place] ^ 1 << chance.randrange(8)]) + packet[place + 1 :]

    return mangle


def cut_packets(share: float, chance: random.Random) -> Mangle:
    """A packet loses its second half with probability `share`."""
    return lambda packet: packet[: len(packet) // 2 + 7] if chance.random() < share else packet
