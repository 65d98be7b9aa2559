"""HTTP servers on loopback, each in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class QuietHandler(BaseHTTPRequestHandler):
    """Writes no log."""

    def answer(self, code: int, body: bytes = b"", *, reason: str | None = None) -> None:
        """All of an answer."""
        self.send_response(code, reason)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nowhere."""


@contextmanager
def serving(
    handler: type[BaseHTTPRequestHandler], *, server: type[ThreadingHTTPServer] = ThreadingHTTPServer
) -> Iterator[int]:
    """The port of a server that stands to the end of the block."""
    with server(("127.0.0.1", 0), handler) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield made.server_port
        finally:
            made.shutdown()
            thread.join()
