"""The harness's hold on a camera process: start, freeze, kill, give orders, read its book."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from scripts.fault_matrix.pictures import PICTURES_PER_SECOND, path_of
from scripts.fault_matrix.processes import die_with_parent
from scripts.fault_matrix.sockets import unread_bytes
from scripts.fault_matrix.tail import Tail
from scripts.fault_matrix.world import ROOT, round_seconds


class Camera:
    """One camera; the process may come and go, the port and the book stay."""

    def __init__(self, name: str, *, folder: Path, pictures: Path, t0: float, **options: object) -> None:
        """`options` are those of `camera`, with underscores."""
        self.name = name
        self.t0 = t0
        self.port = 0
        self._book = Tail(folder / f"{name}.book")
        self._pictures = pictures
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    def start(self, **options: object) -> None:
        """Start the process; it listens when this returns. `options` are kept for later starts."""
        self._options |= options
        command = [sys.executable, "-m", "scripts.fault_matrix.camera"]
        command += ["--folder", str(self._pictures), "--book", str(self._book.path)]
        command += ["--t0", repr(self.t0), "--port", str(self.port)]
        for name, value in self._options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"camera {self.name} did not start")
        self.port = int(line)

    def order(self, **order: object) -> None:
        """Tell the process what to do from now on; see `camera.CameraServer.take_orders`."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def freeze(self) -> None:
        """SIGSTOP: the kernel keeps its connections, nobody serves them."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, also if it is frozen; nothing happens if it does not run."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # of an order that it did not live to read
                    pipe.close()
        self._process = None

    def book(self, event: str = "", *, since: float = 0.0) -> list[dict[str, Any]]:
        """The lines of the book, whole ones only, of one event or all."""
        return [entry for entry in self._book.entries() if event in ("", entry["event"]) and entry["at"] >= since]

    def first_key_taken(self, since: float) -> float | None:
        """When a client first got a key frame after `since`: from then on whoever watches can see. None: not yet."""
        for entry in self.book("picture", since=since):
            if entry["got"] and entry["key"]:
                return float(entry["at"])
        return None

    def taken_share(self, since: float, until: float) -> tuple[float, int]:
        """(share of the pictures that somebody took, pictures in all) between two monotonic times.

        A picture counts as taken if it was sent and does not lie unread in the client's socket at the end, asked of the
        kernel: call this at `until`.
        """
        entries = [entry for entry in self.book("picture", since=since) if entry["at"] < until]
        if not entries:
            return 0.0, 0
        taken = float(sum(min(entry["got"], 1) for entry in entries))
        waiting = unread_bytes(self.port) // self._picture_bytes()
        return max(0.0, taken - waiting) / len(entries), len(entries)

    def _picture_bytes(self) -> int:
        """The mean over the usual pictures."""
        return path_of(self._pictures, "usual").stat().st_size // round(round_seconds() * PICTURES_PER_SECOND)
