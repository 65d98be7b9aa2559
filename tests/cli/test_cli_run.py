"""`anpr run` as a process of its own: it starts, watches, stops in order, and leaves no process behind."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import Daemon, running
from making_sites import DEMO, write_site
from waiting import until

from anpr.cli.run import assign
from anpr.clock import SystemClock
from anpr.config import load_site
from anpr.store import Query, Store
from scripts.fault_matrix.processes import is_alive
from scripts.fault_matrix.sockets import free_port

PORT = free_port()
"""Of this run of the tests: a box may run on this machine."""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_site(tmp_path, f'[health]\naddress = "127.0.0.1:{PORT}"\n')


@pytest.fixture
def daemon(site: Path) -> Iterator[Daemon]:
    with running(site) as started:
        yield started


def test_sigterm_settles_stores_and_exits_0(daemon: Daemon, site: Path) -> None:
    store_path = site.parent / "data"

    def something_stored() -> bool:
        if not (store_path / "data.mdb").exists():
            return False
        with Store.open(store_path, clock=SystemClock(), read_only=True) as store:
            return bool(store.search(Query()).sightings)

    daemon.wait_for_event("camera_state")
    daemon.wait_for(something_stored)
    daemon.stop()
    (stopped,) = daemon.events("stopped")
    dropped = sum(count for name, count in stopped.items() if name.startswith("frames_dropped"))
    assert stopped["frames_decoded"] == stopped["frames_inferred"] + dropped
    with Store.open(store_path, clock=SystemClock(), read_only=True) as store:
        sightings = store.search(Query()).sightings
        assert {sighting.state for sighting in sightings} == {"final"}
        assert {sighting.camera_id for sighting in sightings} == {"north"}
        for sighting in sightings:
            for evidence in sighting.evidence:
                store.evidence.get(evidence.sha256)


def test_a_running_box_tells_its_health(daemon: Daemon, site: Path) -> None:
    daemon.wait_for_event("camera_state")
    address = f"127.0.0.1:{PORT}"

    def status(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "anpr", "status", *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def page(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    assert page("/livez") == (200, "ok\n")
    daemon.wait_for(lambda: page("/readyz")[0] == 200)
    daemon.wait_for(lambda: "anpr_sightings_committed_total " in page("/metrics")[1])
    daemon.wait_for(lambda: json.loads(page("/healthz")[1])["cameras"][0]["frames_per_second"] > 0)
    told = status(str(site), "--json")
    health = json.loads(told.stdout)
    assert (health["box"], health["cameras"][0]["id"]) == ("box-1", "north")
    assert told.returncode == (0 if health["verdict"] == "ok" else 1)
    shown = status("--address", address, "--once").stdout
    assert "box-1" in shown
    assert "1920x1080" in shown
    assert status("--address", "127.0.0.1:1").returncode == 69


def test_a_changed_list_is_taken_and_a_bad_one_refused_while_it_runs(site: Path) -> None:
    path = site.parent / "stolen.csv"
    path.write_text("plate\n30A-123.45\n")
    with site.open("a") as file:
        file.write(f'[[lists]]\nname = "stolen"\nfile = "{path}"\n')
    with running(site) as daemon:
        daemon.wait_for_event("worker_started")
        path.with_suffix(".new").write_text("plate\n30A-123.45\n30A-123.46\n")
        path.with_suffix(".new").replace(path)
        daemon.wait_for_event("list_reloaded")
        (told,) = daemon.events("list_reloaded")
        assert (told["list"], told["entries"], told["difference"]) == ("stolen", 2, "+1 −0 ~0")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_event("list_reloaded", 2)
        path.write_text("plate\n")
        daemon.wait_for_event("list_refused")
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/healthz", timeout=5) as answer:
            (listed,) = json.loads(answer.read())["lists"]
        assert (listed["entries"], listed["refused"]) == (2, "2 of 2 active plates would vanish")
        daemon.stop()


def test_a_second_sigterm_does_not_wait_for_what_is_open(daemon: Daemon) -> None:
    daemon.wait_for_event("camera_state")
    (started,) = daemon.events("worker_started")
    os.kill(started["pid"], signal.SIGSTOP)  # so that the first waits for this worker
    daemon.process.send_signal(signal.SIGTERM)
    time.sleep(1.0)
    assert daemon.process.poll() is None
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(30) == 143
    until(lambda: not is_alive(started["pid"]))


def test_no_worker_outlives_a_killed_hub(daemon: Daemon) -> None:
    daemon.wait_for_event("worker_started")
    (started,) = daemon.events("worker_started")
    daemon.wait_for(lambda: Path(f"/proc/{started['pid']}/oom_score_adj").read_text() == "500\n")
    daemon.process.kill()
    daemon.process.wait()
    until(lambda: not is_alive(started["pid"]))


def test_a_daemon_that_died_of_a_fatal_signal_says_so_at_the_next_start(site: Path) -> None:
    with running(site) as daemon:
        daemon.wait_for_event("worker_started")
        daemon.process.send_signal(signal.SIGABRT)
        assert daemon.process.wait(30) == -signal.SIGABRT
    with running(site) as daemon:
        daemon.wait_for_event("hub_opened")
        (crashed,) = daemon.events("store_crashed")
        assert crashed["said"] == "Fatal Python error: Aborted"
        looked = crashed["files"] > 0  # if the signal came while the store was at work
        assert bool(daemon.events("store_looked_through")) is looked


def test_a_second_daemon_on_the_same_store_is_refused(daemon: Daemon, site: Path) -> None:
    daemon.wait_for_event("worker_started")
    other = subprocess.run(
        [sys.executable, "-m", "anpr", "run", str(site)], capture_output=True, text=True, check=False
    )
    assert other.returncode == 74
    assert "Traceback" not in other.stderr


@pytest.mark.parametrize(("workers", "expected"), [("", [2, 1]), ("workers = 1", [3]), ("workers = 9", [1, 1, 1])])
def test_cameras_are_spread_over_the_workers(site: Path, workers: str, expected: list[int]) -> None:
    text = site.read_text().replace("[site]", f"{workers}\n[site]")
    camera = f'[[cameras]]\nid = "{{}}"\nfile = "{DEMO}"\n'
    site.write_text(text + camera.format("b") + camera.format("c") + camera.format("off") + "enabled = false\n")
    assignments = assign(load_site(site), cores=2, log_level="info", log_as_json=True)
    assert [len(assignment.cameras) for assignment in assignments] == expected
    assert assignments[0].cameras[0][1].name == "cpu"
