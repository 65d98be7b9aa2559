"""A TCP proxy on 127.0.0.1 in a thread of its own: what stands between two ends and may harm what passes."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from contextlib import closing, suppress
from types import TracebackType
from typing import Any, Self

CLOSING_SECONDS = 0.05
"""For the loop to close the sockets after their tasks have ended."""


class Middleman(ABC):
    """Runs from `with` to the end of the block; whoever connects to `port` is led to the target."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__.lower(), daemon=True)
        self._number = 0
        """Of connections so far."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    @abstractmethod
    def ways(
        self,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        number: int,
    ) -> tuple[Coroutine[Any, Any, None], Coroutine[Any, Any, None]]:
        """What carries a connection's bytes: from who connected (`near`) to the target (`far`), and back. When one of
        them ends, so does the connection."""

    @abstractmethod
    async def may_pass(self, number: int) -> None:
        """Wait before a connection is led to the target."""

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
        self._number += 1
        number = self._number
        # The thread's end cancels what stands.
        with suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError), closing(writer):
            await self.may_pass(number)
            far = await asyncio.open_connection("127.0.0.1", self._target_port)
            with closing(far[1]):
                tasks = [asyncio.create_task(way) for way in self.ways((reader, writer), far, number)]
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
