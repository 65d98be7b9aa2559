"""`anpr run` as a process of its own, watched from outside: its log, its children, what it costs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from scripts.fault_matrix.processes import descendants, die_with_parent, is_alive
from scripts.fault_matrix.tail import Tail
from scripts.fault_matrix.world import ROOT

BOX = "fault-box"
SITE = "fault-site"


def write_site(
    path: Path,
    *,
    endpoint: str,
    reliable_endpoint: str = "",
    bus: Mapping[str, str | bool] | None = None,
    health_port: int,
    ports: Mapping[str, int],
    workers: int,
    user: str = "",
    pipeline: str = "cpu",
    zone: str = "",
    store_keys: str = "",
) -> None:
    """A site file with one camera for each of `ports`; with `user`, their password is in ANPR_FAULT_PASSWORD;
    with `zone`, their hosts are names in it."""
    lines = [
        f'[box]\nid = "{BOX}"\nworkers = {workers}\n\n[site]\nid = "{SITE}"\n',
        f'[store]\npath = "{path.parent / "store"}"\n{store_keys}\n[bus]\nendpoint = "{endpoint}"',
        f'reliable_endpoint = "{reliable_endpoint}"\nconsumers = [{{ name = "ioc" }}]' if reliable_endpoint else "",
        *(f"{key} = {json.dumps(value)}" for key, value in (bus or {}).items()),
        "",
        f'[health]\naddress = "127.0.0.1:{health_port}"\n',
    ]
    for name, port in ports.items():
        host = f"{name}.{zone}" if zone else "127.0.0.1"
        lines.append(f'[[cameras]]\nid = "{name}"\nurl = "rtsp://{host}:{port}/{name}"\npipeline = "{pipeline}"')
        if user:
            lines.append(f'user = "{user}"\npassword = "${{ANPR_FAULT_PASSWORD}}"')
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")


def balance_of(counts: Mapping[str, int]) -> tuple[int, str]:
    """How many of the decoded pictures a daemon's last words do not account for, and the words for it."""
    dropped = sum(count for name, count in counts.items() if name.startswith("frames_dropped"))
    gated = sum(count for name, count in counts.items() if name.startswith("frames_gated"))
    decoded, inferred = counts.get("frames_decoded", 0), counts.get("frames_inferred", 0)
    return decoded - inferred - gated - dropped, f"frames_decoded {decoded} ≠ {inferred} + {gated} + {dropped}"


class Daemon:
    """Started by `start`; whoever starts it must `kill` it."""

    def __init__(self, site: Path, *, password: str = "") -> None:
        self.room: tuple[str, ...] = ()
        """What is put before the command."""
        self.log_path = site.with_suffix(".log")
        self._tail = Tail(self.log_path)
        self._site = site
        self.environment = {**os.environ, **({"ANPR_FAULT_PASSWORD": password} if password else {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.children_seen: set[int] = set()

    def start(self) -> None:
        """Start `anpr run`; its log is appended to."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.room, sys.executable, "-m", "anpr", "run", str(self._site)],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    @property
    def pid(self) -> int:
        """Of the hub."""
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll() if self._process is not None else None

    def children(self) -> list[int]:
        """The processes below the hub now."""
        found = descendants(self.pid)
        self.children_seen.update(found)
        return found

    def worker_of(self, camera: str) -> int:
        """The process that watches `camera`, by the newest word of the log."""
        return next(int(event["pid"]) for event in reversed(self.log("worker_started")) if camera in event["cameras"])

    def signal(self, number: signal.Signals) -> None:
        """Send the hub a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float) -> int | None:
        """The exit code, or None if it still runs after `seconds`."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End the hub and all that came from it."""
        if self._process is None:
            return
        self.children()
        self._process.kill()
        self._process.wait()
        for pid in self.children_seen:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)

    def log(self, event: str = "", *, camera: str = "", since: float = 0.0) -> list[dict[str, Any]]:
        """The log's whole lines, of one event and camera or all, from the wall time `since` on."""
        found = []
        for entry in self._tail.entries():
            if event in ("", entry["event"]) and camera in ("", entry.get("camera")):
                wall = datetime.fromisoformat(entry["timestamp"]).timestamp()
                if wall >= since:
                    found.append(entry)
        return found

    def other_lines(self) -> list[str]:
        """What stands in the log and is no log line: a traceback, or a library's own words."""
        self._tail.entries()
        return self._tail.other_lines
