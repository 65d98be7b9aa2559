"""Cameras that go away, fall silent, or refuse (C1 to C4, C13)."""

from __future__ import annotations

import subprocess
import time

from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.processes import die_with_parent, open_files
from scripts.fault_matrix.stage import FIRST, SECOND, Stage
from scripts.fault_matrix.world import CLIP, ROOT

CALM_SECONDS = 6.0
"""Before the first fault, after each and at the end, so that vehicles pass cameras that are whole."""
NOTICED_SECONDS = 5.0
RECOVERED_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 5.0
GAP_ERROR_SECONDS = 2.0
GONE = {"offline", "stalled"}
PASSWORD = "p@ss:w/rd%21"
REFUSED_SECONDS = 60.0
MOST_TRIES_PER_MINUTE = 2
ANSWER_SECONDS = 2.0
"""For which an answer of a name server is waited for."""


def reboot(stage: Stage) -> None:
    """The camera's process is killed and started again."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    files = open_files(stage.daemon.worker_of(FIRST))
    for turn in range(stage.times):
        began = stage.fault_begins()
        stage.first.kill()
        stage.require_state(GONE, within=NOTICED_SECONDS, since=began)
        stage.wait(4.0 if stage.quick else (60.0 if turn else 15.0))
        stage.first.start()
        stage.healed(within=RECOVERED_SECONDS)
        stage.require_gap(began)
        stage.wait(CALM_SECONDS)
    left = open_files(stage.daemon.worker_of(FIRST)) - files
    stage.require(left <= 2, "no file descriptors left open", f"{left} more")
    stage.close_books()


def silent(stage: Stage) -> None:
    """The camera's process is frozen: its connections stand, nothing comes."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for _ in range(stage.times):
        began = stage.fault_begins()
        stage.first.freeze()
        stage.require_state(GONE, within=NOTICED_SECONDS + READ_TIMEOUT_SECONDS / 2, since=began)
        stage.wait(2.0 if stage.quick else 20.0)
        stage.first.thaw()
        stage.healed(within=RECOVERED_SECONDS)
        stage.require_gap(began)
        stage.wait(CALM_SECONDS)
    stage.close_books()


def half_open(stage: Stage) -> None:
    """The line dies without a word to either end; later new connections pass, those that stood stay dead."""
    assert stage.proxy is not None
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for _ in range(stage.times):
        began = stage.fault_begins()
        stage.proxy.go_dead()
        stage.require_state(GONE, within=NOTICED_SECONDS + READ_TIMEOUT_SECONDS / 2, since=began)
        stage.wait(8.0)
        stage.proxy.revive()
        stage.healed(within=RECOVERED_SECONDS + READ_TIMEOUT_SECONDS)  # a try may just have begun on the dead line
        stage.require_gap(began)
        stage.wait(CALM_SECONDS)
    stage.close_books()


def mute(stage: Stage) -> None:
    """It takes connections and never answers."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for _ in range(stage.times):
        began = stage.fault_begins()
        stage.first.order(mode="mute", kick=True)
        stage.require_state(GONE, within=NOTICED_SECONDS, since=began)
        stage.require_reason("no answer in time", since=began, within=8.0)
        stage.wait(4.0)
        stage.first.order(mode="healthy")
        stage.healed(within=RECOVERED_SECONDS + READ_TIMEOUT_SECONDS)  # a try may just wait for its answer
        stage.require_gap(began)
        stage.wait(CALM_SECONDS)
    stage.close_books()


def password(stage: Stage) -> None:
    """The camera's password is changed; later it is changed back."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    began = stage.fault_begins()
    stage.first.order(password="another", kick=True)
    stage.require_state({"refused"}, within=NOTICED_SECONDS, since=began)
    stage.wait(90.0)
    minutes = (time.monotonic() - began) / 60
    tries = len(stage.first.book("refused", since=began))
    most = MOST_TRIES_PER_MINUTE * (minutes + 1)
    stage.require(tries <= most, "two tries a minute at most", f"{tries} in {minutes:.1f} min")
    stage.outcome.notes["tries_per_minute"] = round(tries / minutes, 1)
    stage.first.order(password=PASSWORD)
    stage.healed(within=REFUSED_SECONDS + RECOVERED_SECONDS)
    stage.require_gap(began, reasons={"refused"})
    stage.wait(CALM_SECONDS)
    stage.close_books()
    log = stage.daemon.log_path.read_text(encoding="utf-8")
    stage.require(PASSWORD not in log and "p%40ss" not in log, "no password in the log")


def missing_stream(stage: Stage) -> None:
    """It answers 404, then 454 to everything."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for status in ("404 Stream Not Found", "454 Session Not Found")[: stage.times]:
        began = stage.fault_begins()
        stage.first.order(mode=f"status {status}", kick=True)
        stage.require_state(GONE, within=NOTICED_SECONDS, since=began)
        stage.wait(10.0)
        tries = len(stage.first.book("opened", since=began))
        stage.require(tries <= 15, "15 tries in ten seconds at most", tries)
        stage.first.order(mode="healthy")
        stage.healed(within=RECOVERED_SECONDS)
        stage.require_gap(began)
        stage.wait(CALM_SECONDS)
    stage.close_books()


def all_return(stage: Stage) -> None:
    """All cameras go away and come back at the same moment."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for _ in range(stage.times):
        began = stage.fault_begins(FIRST, SECOND)
        stage.first.kill()
        stage.second.kill()
        stage.require_state(GONE, within=NOTICED_SECONDS, since=began)
        stage.require_state(GONE, within=NOTICED_SECONDS, since=began, camera=SECOND)
        stage.wait(10.0)
        stage.first.start()
        stage.second.start()
        stage.healed(within=RECOVERED_SECONDS, cameras=(FIRST, SECOND))
        stage.require_gap(began)
        stage.require_gap(began, camera=SECOND)
        stage.wait(CALM_SECONDS)
    opened = [entry["at"] for each in (stage.first, stage.second) for entry in each.book("played", since=began)]
    stage.outcome.notes["apart_s"] = round(max(opened) - min(opened), 2)
    stage.close_books()


def names_dead(stage: Stage) -> None:
    """The cameras have names, and the server that knows them is frozen while one comes back."""
    assert stage.names is not None
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for _ in range(stage.times):
        began = stage.fault_begins()
        stage.names.freeze()
        stage.first.kill()
        stage.require_state(GONE, within=NOTICED_SECONDS, since=began)
        stage.wait(10.0)
        stage.first.start()
        stage.healed(within=RECOVERED_SECONDS + ANSWER_SECONDS)
        stage.names.thaw()
        stage.require_gap(began)
        stage.wait(CALM_SECONDS)
    stage.close_books()


def another_server(stage: Stage) -> None:
    """GStreamer's RTSP server in place of ours, killed and started again; it plays the clip from its beginning."""
    program = ["/usr/bin/python3", str(ROOT / "scripts" / "rtsp_server.py")]
    if subprocess.run([*program, "--help"], capture_output=True, check=False).returncode:
        raise RuntimeError("no GStreamer RTSP server here: run scripts/install_servers")
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    began = stage.fault_begins()
    stage.first.kill()
    command = [*program, "--clip", str(CLIP), "--port", str(stage.first.port), "--path", "/first"]
    for _ in range(stage.times + 1):
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent
        ) as server:
            try:
                since = time.monotonic()
                heard = stage.until(lambda since=since: stage.heard_text(FIRST, since=since), 30.0)  # type: ignore[misc]
                stage.require(heard is not None, "a plate of GStreamer's clip within 30 s")
            finally:
                server.kill()
        stage.wait(3.0)
    stage.first.start()
    stage.healed(within=RECOVERED_SECONDS)
    stage.require_gap(began)
    stage.wait(CALM_SECONDS)
    stage.close_books()


ROWS = (
    Fault(
        name="camera-reboot", code="C1", quick=True, run=reboot,
        does="the camera's process is killed with -9 and started again",
        must="noticed within 5 s, watched again within 5 s of its return, the gap told, no descriptor left",
    ),
    Fault(
        name="camera-silent", code="C2", quick=True, run=silent,
        does="the camera's process is stopped: connected, but silent",
        must="noticed by the read time-out of 5 s, never waited for longer; recovered within 5 s",
    ),
    Fault(
        name="line-half-open", code="C2", run=half_open, proxied=True,
        does="the line swallows everything without closing, and forgets the connections that stood",
        must="noticed by the read time-out, connected anew",
    ),
    Fault(
        name="camera-mute", code="C3", run=mute,
        does="connections are taken and never answered",
        must="given up after the open time-out of 5 s, with that reason",
    ),
    Fault(
        name="password-changed", code="C4", run=password, password=PASSWORD,
        does="the camera refuses the password for a minute and a half",
        must="`refused`, two tries a minute at most, no password in the log, recovered at the next try",
    ),
    Fault(
        name="stream-missing", code="C4", run=missing_stream,
        does="404, then 454 for an answer",
        must="told, tried with rising waits, recovered",
    ),
    Fault(
        name="all-return", code="C13", run=all_return,
        does="all cameras go away and come back in the same moment",
        must="all watched again within 5 s, not all in one instant",
    ),
    Fault(
        name="gstreamer-server", code="C1", run=another_server, other_world=True,
        does="GStreamer's RTSP server takes the camera's place, is killed, and comes again",
        must="its plates are read, also after its return",
    ),
    Fault(
        name="names-dead", code="C13", run=names_dead, needs=("names",), named=True,
        does="the name server does not answer when a camera returns",
        must="the address that it had is used: watched again within 5 s and the wait for an answer",
    ),
)  # fmt: skip
