"""Nothing that a box and a bridge write for their operators names a plate: a whole site is run, and searched."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from daemons import running
from making_sites import DEMO, write_site
from web_servers import QuietHandler, serving

pytest.importorskip("httpx", reason="needs the extra `bridges`: httpx")

from anpr import assets
from anpr.clock import SystemClock
from anpr.plates.grammar import readings
from anpr.records import Sighting
from anpr.store import Query, Store
from scripts.fault_matrix.sockets import free_port

PORT = free_port()
PATTERN = "77K-91?.35"
BAD = ("30A-1O3.45", "Nguyễn Văn Xxx")


class Parrot(QuietHandler):
    """A webhook and a register that repeat in their refusals what they were told."""

    told: list[str]

    def do_POST(self) -> None:
        data = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.told.append(data.get("text", ""))
        reason = f"no {data.get('display', '')} and no {data.get('text', '')}"
        self.answer(400 if len(self.told) % 8 else 503, reason=reason)

    def do_GET(self) -> None:
        self.answer(500, reason=f"never heard of {self.path}")


def page(path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=10) as answer:
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
    truth = [json.loads(line) for line in DEMO.with_suffix(".truth.jsonl").read_text().splitlines()]
    known = [each["text"] for each in truth if each.get("type") == "vehicle"]
    listed = tmp_path / "stolen.csv"
    filler = [f"99Z-{number:03}.77" for number in range(1, 400)]
    rows = [*(readings(text)[0].display for text in known), PATTERN, *filler]
    listed.write_text("plate,valid_until\n" + "".join(f"{row},\n" for row in rows) + f"{BAD[0]},\n{rows[0]},{BAD[1]}\n")
    (tmp_path / "owners.csv").write_text("plate,owner\n" + "".join(f"{row},{BAD[1]}\n" for row in (*filler, BAD[0])))
    dead = tmp_path / "dead.jsonl"
    told: list[str] = []
    with serving(type("OneParrot", (Parrot,), {"told": told})) as port:
        site = write_site(
            tmp_path,
            f'[[bus.consumers]]\nname = "ioc"\n'
            f'[health]\naddress = "127.0.0.1:{PORT}"\n[[lists]]\nname = "stolen"\nfile = "stolen.csv"\n'
            f'[rules]\nfolder = "{assets.folder("configs") / "rules"}"\ndry_run = true\n'
            f'[[rules.lookups]]\nname = "registry"\nurl = "http://127.0.0.1:{port}/{{plate}}"\n'
            f'[[rules.lookups]]\nname = "owners"\nfile = "owners.csv"\n',
        )
        reliable = f"ipc://{tmp_path}/reliable"
        site.write_text(site.read_text().replace("[bus]\n", f'[bus]\nreliable_endpoint = "{reliable}"\n'))
        bridge = tmp_path / "bridge.toml"
        bridge.write_text(
            f'dead_letters = "dead.jsonl"\n[feed]\nendpoint = "{reliable}"\nconsumer = "ioc"\n'
            f'[webhook]\nurl = "http://127.0.0.1:{port}/hook"\n'
        )
        with running(site) as box, running(bridge, verb="bridge") as sender:
            box.wait_for_event("worker_started")
            sender.wait_for(lambda: sum(bool(text) for text in told) >= 10)
            listed.with_suffix(".new").write_text("plate\n" + "".join(f"{row}x\n" for row in rows))
            listed.with_suffix(".new").replace(listed)
            box.wait_for_event("list_refused")
            pages = [page(path) for path in ("/healthz", "/metrics")]
            sender.stop()
            box.stop()
        logs = box.log_path.read_text() + sender.log_path.read_text()
        seen = sightings(tmp_path / "data")
        site.write_text(site.read_text().replace('path = "data"', 'path = "fresh"'))
        again = subprocess.run(
            [sys.executable, "-m", "anpr", "run", str(site)], capture_output=True, text=True, check=False
        )
    events = {json.loads(line)["event"] for line in logs.splitlines()}
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
    for written in (logs, *pages, again.stderr):
        lines = [bare(line) for line in written.splitlines()]
        assert [(canary, line) for canary in canaries for line in lines if canary in line] == []
    assert logs.count("***") > 10
