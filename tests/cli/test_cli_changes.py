"""A box in operation: its rules change while it runs, and it starts though a list's file is bad."""

from __future__ import annotations

import json
import shutil
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from daemons import Daemon, running
from making_sites import write_site

from anpr import assets
from scripts.fault_matrix.sockets import free_port

PORT = free_port()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    shutil.copytree(assets.folder("configs") / "rules", tmp_path / "rules")
    (tmp_path / "stolen.csv").write_text("plate\n30A-123.45\n")
    return write_site(
        tmp_path,
        f'[health]\naddress = "127.0.0.1:{PORT}"\n[rules]\nfolder = "rules"\n'
        '[[lists]]\nname = "stolen"\nfile = "stolen.csv"\n',
    )


@contextmanager
def working(site: Path) -> Iterator[Daemon]:
    """A box whose worker has been started; it ends in order."""
    with running(site) as daemon:
        daemon.wait_for_event("worker_started")
        yield daemon
        daemon.stop()


def health() -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/healthz", timeout=10) as answer:
        told: dict[str, Any] = json.loads(answer.read())
        return told


def test_changed_rules_are_taken_and_bad_ones_refused_while_it_runs(site: Path) -> None:
    rules = site.parent / "rules" / "11-unpaid-fine.toml"
    whole = rules.read_text()
    with working(site) as daemon:
        rules.write_text(whole.replace('severity = "INFO"', 'severity = "CHECK"'))
        daemon.wait_for_event("rules_reloaded")
        (told,) = daemon.events("rules_reloaded")
        assert told["difference"] == "+0 −0 ~1"
        assert not health()["rules"]["refused"]
        rules.write_text(whole.replace("severity", "severty"))
        daemon.wait_for_event("rules_refused")
        (told,) = daemon.events("rules_refused")
        assert "11-unpaid-fine.toml" in told["problem"]
        assert any("did you mean 'severity'?" in each for each in told["problems"])
        report = health()
        assert report["rules"]["refused"]
        assert report["verdict"] == "degraded"
        assert any("the old rules stay" in problem for problem in report["problems"])
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_event("rules_refused", 2)
        rules.write_text(whole)
        daemon.wait_for_event("rules_reloaded", 2)
        assert not health()["rules"]["refused"]


@pytest.mark.parametrize("bad", ["plate\n30A-1O3.45\n", None], ids=["bad", "gone"])
def test_it_starts_with_the_last_good_copy_of_a_list_and_says_so(site: Path, bad: str | None) -> None:
    listed = site.parent / "stolen.csv"
    with working(site) as daemon:
        assert daemon.events("list_stands_in") == []
    if bad is None:
        listed.unlink()
    else:
        listed.write_text(bad)
    with working(site) as daemon:
        (told,) = daemon.events("list_stands_in")
        assert (told["list"], told["entries"], told["level"]) == ("stolen", 1, "error")
        report = health()
        (shown,) = report["lists"]
        assert (shown["entries"], bool(shown["refused"])) == (1, True)
        assert any("list stolen keeps its old content" in problem for problem in report["problems"])
        listed.write_text("plate\n30A-123.45\n30A-123.46\n")
        daemon.wait_for_event("list_reloaded")
        (shown,) = health()["lists"]
        assert (shown["entries"], shown["refused"]) == (2, "")
    shutil.rmtree(site.parent / "data" / "lists")
    listed.write_text("plate\n30A-1O3.45\n")
    with running(site) as daemon:
        assert daemon.process.wait(60) == 78
    assert "1O3" not in daemon.log_path.read_text()
