"""Nothing that a box and a bridge write for their operators names a plate: a whole site is run, and searched."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from making_sites import ONE_CAMERA_SITE

pytest.importorskip("httpx", reason="needs the extra `bridges`: httpx")

from anpr import assets
from anpr.clock import SystemClock
from anpr.plates.grammar import readings
from anpr.records import Sighting
from anpr.store import Query, Store

HEALTH = "127.0.0.1:17787"
DEMO = assets.folder("configs") / "demo"
PATTERN = "77K-91?.35"
BAD = ("30A-1O3.45", "Nguyễn Văn Xxx")
WAIT_SECONDS = 90.0


class Parrot(BaseHTTPRequestHandler):
    """A webhook and a register that repeat in their refusals what they were told."""

    told: list[str]

    def do_POST(self) -> None:
        data = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.told.append(data.get("text", ""))
        self.refuse(400 if len(self.told) % 8 else 503, f"no {data.get('display', '')} and no {data.get('text', '')}")

    def do_GET(self) -> None:
        self.refuse(500, f"never heard of {self.path}")

    def refuse(self, code: int, reason: str) -> None:
        self.send_response(code, reason)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def parrot() -> Iterator[tuple[int, list[str]]]:
    """Its port, and what it was told."""
    told: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneParrot", (Parrot,), {"told": told}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def running(*words: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`anpr WORDS`; SIGTERM at the end."""
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "anpr", *words], stderr=file, stdout=file)
    try:
        yield process
        process.terminate()
        assert process.wait(40) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], object], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)


def page(path: str) -> str:
    with urllib.request.urlopen(f"http://{HEALTH}{path}", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def bare(text: str) -> str:
    return re.sub(r"[\W_]", "", text).upper().replace("Đ", "D")


def sightings(store: Path) -> list[Sighting]:
    if not (store / "data.mdb").exists():
        return []
    with Store.open(store, clock=SystemClock(), read_only=True) as opened:
        return list(opened.search(Query(limit=1000)).sightings)


@pytest.mark.slow
def test_no_plate_leaves_by_log_health_or_metrics(tmp_path: Path) -> None:
    truth = [json.loads(line) for line in (DEMO / "expressway.truth.jsonl").read_text().splitlines()]
    known = [each["text"] for each in truth if each.get("type") == "vehicle"]
    listed = tmp_path / "stolen.csv"
    filler = [f"99Z-{number:03}.77" for number in range(1, 400)]
    rows = [*(readings(text)[0].display for text in known), PATTERN, *filler]
    listed.write_text("plate,valid_until\n" + "".join(f"{row},\n" for row in rows) + f"{BAD[0]},\n{rows[0]},{BAD[1]}\n")
    (tmp_path / "owners.csv").write_text("plate,owner\n" + "".join(f"{row},{BAD[1]}\n" for row in (*filler, BAD[0])))
    log, bridge_log, dead = tmp_path / "log", tmp_path / "bridge.log", tmp_path / "dead.jsonl"
    with parrot() as (port, told):
        site = tmp_path / "site.toml"
        site.write_text(
            ONE_CAMERA_SITE.format(folder=tmp_path, clip=DEMO / "expressway.mp4").replace(
                "[[cameras]]",
                f'reliable_endpoint = "ipc://{tmp_path}/reliable"\n[[bus.consumers]]\nname = "ioc"\n'
                f'[health]\naddress = "{HEALTH}"\n[[lists]]\nname = "stolen"\nfile = "stolen.csv"\n'
                f'[rules]\nfolder = "{assets.folder("configs") / "rules"}"\ndry_run = true\n'
                f'[[rules.lookups]]\nname = "registry"\nurl = "http://127.0.0.1:{port}/{{plate}}"\n'
                f'[[rules.lookups]]\nname = "owners"\nfile = "owners.csv"\n[[cameras]]',
            )
        )
        bridge = tmp_path / "bridge.toml"
        bridge.write_text(
            f'dead_letters = "dead.jsonl"\n[feed]\nendpoint = "ipc://{tmp_path}/reliable"\nconsumer = "ioc"\n'
            f'[webhook]\nurl = "http://127.0.0.1:{port}/hook"\n'
        )

        def all_logs() -> str:
            return log.read_text() + bridge_log.read_text()

        with running("run", str(site), log=log), running("bridge", str(bridge), log=bridge_log):
            until(lambda: '"event": "worker_started"' in log.read_text(), all_logs)
            until(lambda: sum(bool(text) for text in told) >= 10, all_logs)
            listed.with_suffix(".new").write_text("plate\n" + "".join(f"{row}x\n" for row in rows))
            listed.with_suffix(".new").replace(listed)
            until(lambda: '"event": "list_refused"' in log.read_text(), all_logs)
            pages = [page(path) for path in ("/healthz", "/metrics")]
        seen = sightings(tmp_path / "data")
        site.write_text(site.read_text().replace('path = "data"', 'path = "fresh"'))
        again = subprocess.run(
            [sys.executable, "-m", "anpr", "run", str(site)], capture_output=True, text=True, check=False
        )
    events = {json.loads(line)["event"] for line in all_logs().splitlines()}
    assert events >= {
        "list_rows_left_out",
        "list_refused",
        "rule_data_rows_left_out",
        "rule_would_hit",
        "register_fails",
        "bridge_dead_letter",
        "bridge_waits",
    }
    assert again.returncode == 78, "a list that is bad at the start"
    read = {text for each in seen for text in (each.text, each.raw) if len(text) >= 7}
    canaries = {bare(text) for text in (*known, *read, *rows, *BAD)}
    assert len(read & {*known}) >= 2, "the clip's plates were read"
    assert any(text in dead.read_text() for text in read), "dead letters hold what they must"
    for written in (all_logs(), *pages, again.stderr):
        lines = [bare(line) for line in written.splitlines()]
        assert [(canary, line) for canary in canaries for line in lines if canary in line] == []
    assert all_logs().count("***") > 10
