"""A TCP proxy before the reliable endpoint that harms what passes, both ways.

Either whole ZeroMQ messages (ZMTP 3, https://rfc.zeromq.org/spec/23/, without encryption) come twice or change places,
as over a path that resends; or bytes do, as no TCP lets them: then the other side must notice that it is spoken to in
tongues.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from types import TracebackType
from typing import Literal, Self

GREETING_BYTES = 64
PIECE_BYTES = 1 << 12
CLOSING_SECONDS = 0.05
HELD_SECONDS = 0.5
"""Something held back goes on after so long, also if nothing overtakes it."""
_MORE, _LONG, _COMMAND = 1, 2, 4

Harm = Literal["", "messages", "bytes"]


class Mangler:
    """On 127.0.0.1, in a thread of its own from `with` to the end of the block."""

    def __init__(self, target_port: int, *, share: float, seed: int = 1) -> None:
        """`share` of what passes is sent twice, and as much is overtaken by what follows."""
        self.port = 0
        self.harm: Harm = ""
        """What is harmed. Set it from any thread."""
        self.harmed = 0
        self._target_port = target_port
        self._share = share
        self._chance = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="mangler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await asyncio.sleep(CLOSING_SECONDS)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError), closing(writer):
            box_reader, box_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            with closing(box_writer):
                ways = [
                    asyncio.create_task(self._carry(reader, box_writer)),
                    asyncio.create_task(self._carry(box_reader, writer)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)

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
