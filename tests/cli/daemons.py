"""`anpr run` and `anpr bridge` as processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from waiting import until


class Daemon:
    """`anpr VERB FILE`, and its log as it comes."""

    def __init__(self, file: Path, verb: str) -> None:
        self.log_path = file.with_suffix(".log")
        with self.log_path.open("wb") as log:
            command = [sys.executable, "-m", "anpr", verb, str(file)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's complete lines of that event."""
        lines = self.log_path.read_text().split("\n")[:-1]
        return [event for line in lines if (event := json.loads(line))["event"] == name]

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Fails with the log, and at once if the process has ended."""

        def is_so() -> bool:
            assert self.process.poll() is None, self.log_path.read_text()
            return bool(condition())

        until(is_so, what=self.log_path.read_text)

    def wait_for_event(self, name: str, times: int = 1) -> None:
        """Until it stands in the log so many times."""
        self.wait_for(lambda: len(self.events(name)) >= times)

    def stop(self) -> None:
        """In order."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.log_path.read_text()


@contextmanager
def running(file: Path, *, verb: str = "run") -> Iterator[Daemon]:
    """The process is gone at the end, however the test went."""
    daemon = Daemon(file, verb)
    try:
        yield daemon
    finally:
        daemon.process.kill()
        daemon.process.wait()
