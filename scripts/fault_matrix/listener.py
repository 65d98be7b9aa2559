"""The ledger at the far end: a plain ZeroMQ subscriber that keeps every message, and knows nothing of anpr."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq
import zmq.auth

BULKY = ("lattice", "alternatives", "quad", "evidence", "models")
"""Fields that no verdict needs: a soak hears tens of thousands of sightings."""


class Listener:
    """Hears `endpoint` in a thread of its own from `with` to the end of the block."""

    def __init__(self, endpoint: str, *, keys: tuple[Path, Path] | None = None) -> None:
        """`keys`: its own certificate with the secret, and the box's."""
        self._endpoint = endpoint
        self._keys = keys
        self._messages: list[tuple[float, str, dict[str, Any]]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def messages(self, topic: str = "") -> list[tuple[float, dict[str, Any]]]:
        """(monotonic time of arrival, CloudEvent) of all messages whose topic begins so."""
        return [(at, event) for at, its_topic, event in list(self._messages) if its_topic.startswith(topic)]

    def numbered(self) -> list[tuple[float, dict[str, Any]]]:
        """The same of those that have a number of their own: neither heartbeats nor what is not on disk."""
        return [(at, event) for at, event in self.messages() if "committed" in event]

    def _run(self) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = context.socket(zmq.SUB)
        socket.linger = 0
        socket.rcvhwm = 0
        socket.reconnect_ivl, socket.reconnect_ivl_max = 50, 200
        if self._keys is not None:
            socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(self._keys[0])
            socket.curve_serverkey, _ = zmq.auth.load_certificate(self._keys[1])
        socket.subscribe(b"")
        socket.connect(self._endpoint)
        while not self._stop.is_set():
            if socket.poll(100):
                topic, body = socket.recv_multipart()
                event = json.loads(body)
                for name in BULKY:
                    event["data"].pop(name, None)
                self._messages.append((time.monotonic(), topic.decode(), event))
        socket.close()
        context.destroy()
