"""GStreamer's RTSP server on loopback, as a camera that plays a clip."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

COMMAND = ("/usr/bin/python3", str(Path(__file__).parents[1] / "scripts" / "rtsp_server.py"))


def need_server() -> None:
    """Skip the test where there is none; fail it on a machine that is said to have one."""
    check = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=False)
    if check.returncode != 0:
        problem = "no GStreamer RTSP server here: run scripts/install_servers"
        if os.environ.get("ANPR_REQUIRE_SERVERS") == "1":
            pytest.fail(f"{problem} ({check.stderr.strip()})")
        pytest.skip(problem)


@contextmanager
def server(clip: Path, *options: str, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a running server, and its process."""
    command = [*COMMAND, "--clip", str(clip), "--port", str(port), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def port_of(address: str) -> int:
    """Where to start it again."""
    return int(address.split(":")[2].split("/")[0])
