"""A TCP proxy before the reliable endpoint that harms what passes, both ways.

Either whole ZeroMQ messages (ZMTP 3, https://rfc.zeromq.org/spec/23/, without encryption) come twice or change places,
as over a path that resends; or bytes do, as no TCP lets them: then the other side must notice that it is spoken to in
tongues.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Literal

from scripts.fault_matrix.middleman import Middleman

GREETING_BYTES = 64
PIECE_BYTES = 1 << 12
HELD_SECONDS = 0.5
"""Something held back goes on after so long, also if nothing overtakes it."""
_MORE, _LONG, _COMMAND = 1, 2, 4

Harm = Literal["", "messages", "bytes"]


class Mangler(Middleman):
    """Harms both ways."""

    def __init__(self, target_port: int, *, share: float, seed: int = 1) -> None:
        """`share` of what passes is sent twice, and as much is overtaken by what follows."""
        super().__init__(target_port)
        self.harm: Harm = ""
        """What is harmed. Set it from any thread."""
        self.harmed = 0
        self._share = share
        self._chance = random.Random(seed)

    async def may_pass(self, number: int) -> None:
        """At once."""

    def ways(
        self,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        number: int,
    ) -> tuple[Coroutine[Any, Any, None], Coroutine[Any, Any, None]]:
        return self._carry(near[0], far[1]), self._carry(far[0], near[1])

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = GREETING_BYTES  # said piece by piece: each side waits for the other's version
        while left and (piece := await reader.read(left)):
            writer.write(piece)
            left -= len(piece)
        pieces = _messages(reader) if self.harm != "bytes" else _bytes(reader)
        held: bytes | None = None
        flush: asyncio.TimerHandle | None = None

        def let_go() -> None:
            nonlocal held
            if held is not None:
                writer.write(held)
                held = None

        async for piece in pieces:
            if flush is not None:
                flush.cancel()
            harmless = not self.harm or bool(piece[0] & _COMMAND and self.harm == "messages")
            dice = 1.0 if harmless else self._chance.random()
            if dice < self._share and held is None:
                self.harmed += 1
                held = piece
                flush = asyncio.get_running_loop().call_later(HELD_SECONDS, let_go)
                continue
            writer.write(piece)
            if dice > 1.0 - self._share and not harmless:
                self.harmed += 1
                writer.write(piece)
            let_go()
            await writer.drain()


async def _bytes(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while piece := await reader.read(PIECE_BYTES):
        yield piece


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Whole messages and commands, as they are on the wire."""
    message = b""
    while True:
        flags = await reader.readexactly(1)
        size = await reader.readexactly(8 if flags[0] & _LONG else 1)
        message += flags + size + await reader.readexactly(int.from_bytes(size, "big"))
        if not flags[0] & _MORE:
            yield message
            message = b""
