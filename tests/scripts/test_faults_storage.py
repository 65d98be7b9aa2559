"""The fault matrix's volume loses what a power cut loses, its rig finds what was lost, and nothing of them is left."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import until

from scripts.fault_matrix import needs, rig
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.injection import injected
from scripts.fault_matrix.needs import missing
from scripts.fault_matrix.rig import Rig
from scripts.fault_matrix.service import NotifySocket
from scripts.fault_matrix.world import ROOT

mounts = pytest.mark.skipif(bool(missing(("volume",))), reason=missing(("volume",)))
traces = pytest.mark.skipif(bool(missing(("strace",))), reason=missing(("strace",)))

CUT = """
import os, sys
from pathlib import Path
from scripts.fault_matrix.volume import Volume
with Volume(Path(sys.argv[1]) / "disk", mib=32) as volume:
    os.sync()
    for name in ("synced", "lost"):
        with (volume.place / name).open("wb") as file:
            file.write(bytes(100_000))
            if name == "synced":
                os.fsync(file.fileno())
                folder = os.open(volume.place, os.O_RDONLY)
                os.fsync(folder)
                os.close(folder)
    volume.cut_power()
    volume.turn_on()
    for name in ("synced", "lost"):
        path = volume.place / name
        print(name, path.stat().st_size if path.exists() else 0)
    volume.fill(leave_kib=64)
    try:
        (volume.place / "much").write_bytes(bytes(1 << 20))
    except OSError as error:
        print(error.strerror)
    volume.free()
    (volume.place / "much").write_bytes(bytes(1 << 20))
    print("free again", flush=True)
    if len(sys.argv) > 2:
        sys.stdin.read()
"""

SYNC = """
import os, sys, time
file = open(sys.argv[1], "w")
while True:
    try:
        os.fsync(file)
        print("ok", flush=True)
    except OSError as error:
        print(error.errno, flush=True)
    time.sleep(0.01)
"""
READY = """
import os, socket
name = os.environ["NOTIFY_SOCKET"].replace("@", chr(0))
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1\\nSTATUS=x", name)
"""


class Purged:
    def __init__(self, numbers: range) -> None:
        self.numbers, self.count = numbers, 1
        self.lost = self.without_plate = range(0)

    def __contains__(self, seq: int) -> bool:
        return seq in self.numbers


def python(*words: str) -> list[str]:
    return [sys.executable, "-c", *words]


@mounts
def test_a_power_cut_takes_what_was_not_synced_and_nothing_else(tmp_path: Path) -> None:
    done = subprocess.run(python(CUT, str(tmp_path)), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[:4] == ["synced 100000", "lost 0", "No space left on device", "free again"], done
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    assert list((tmp_path / "disk").iterdir()) == []


@mounts
def test_nothing_is_mounted_when_the_harness_was_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        python(CUT, str(tmp_path), "wait"), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as harness:
        assert harness.stdout is not None
        lines = [harness.stdout.readline() for _ in range(4)]
        harness.send_signal(signal.SIGKILL)
    assert lines[-1] == "free again\n"
    until(lambda: not any(_holds(path, tmp_path) for path in Path("/sys/block").glob("loop*/loop/backing_file")))
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    assert list((tmp_path / "disk-device").iterdir()) == []


def _holds(backing_file: Path, folder: Path) -> bool:
    try:
        return str(folder) in backing_file.read_text()
    except OSError:
        return False


@traces
def test_injected_calls_fail_while_the_block_runs(tmp_path: Path) -> None:
    with subprocess.Popen(python(SYNC, str(tmp_path / "file")), stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        try:
            assert writer.stdout.readline() == "ok\n"
            with injected(writer.pid, "fsync", "error=EIO"):
                assert _comes(writer, "5\n")
            assert _comes(writer, "ok\n")
        finally:
            writer.kill()


def _comes(process: subprocess.Popen[str], line: str) -> bool:
    assert process.stdout is not None
    return any(process.stdout.readline() == line for _ in range(1000))


def test_what_a_row_needs_and_does_not_have_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing(()) == ""
    monkeypatch.setattr(needs, "faketime_library", lambda: None)
    assert "install_servers" in missing(("faketime",))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert missing(("root",)) == "needs root"
    assert "root" in missing(("memory",))


def test_the_rig_finds_what_was_lost_renamed_or_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {seq: ["sighting", "box", 1, 0.0, {"id": f"s{seq}", "revision": 0}] for seq in range(1, 5)}
    kept = {12: ["hit", "box", 1, 0.0, {"id": "h1", "revision": 1}]}
    monkeypatch.setattr(rig, "stored_events", lambda store: stored)
    monkeypatch.setattr(rig, "kept_events", lambda store: kept)
    monkeypatch.setattr(rig, "PurgedNumbers", lambda store: Purged(range(10, 20)))
    told = {
        1: "sighting.s1.0",
        2: "sighting.other.0",
        3: "sighting.s3.0",
        5: "sighting.s5.0",
        10: "sighting.s10.0",
        11: "hit.h1.0",
        12: "hit.h1.1",
        13: "hit.h2.0",
    }
    lines = [
        {"event": "told", "at": 0.0, "seq": seq, "id": name, "pictures": ["0" * 64] if seq in (3, 10) else []}
        for seq, name in told.items()
    ]
    (tmp_path / "hub.book").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "ioc.ledger").write_text(
        '{"lane": "rest", "seq": 4, "id": "sighting.s4.0"}\n{"lane": "rest", "seq": 1, "id": "sighting.s9.0"}\n'
    )
    with Rig(Fault(name="made-up", code="S1", does="", must=""), folder=tmp_path, times=1, quick=True) as played:
        played.require_kept()
    outcome = played.outcome
    assert (outcome.expected, outcome.lost, outcome.duplicated) == (9, 3, 1)
    assert "[2, 5, 13]" in outcome.problems[0]
    assert [problem.split(";")[0] for problem in outcome.problems] == [
        "expected all that was told to be stored",
        "expected each number to be given once",
        "expected every picture of what was told, whole",
    ]
    del kept[12]
    with Rig(Fault(name="made-up", code="S1", does="", must=""), folder=tmp_path, times=1, quick=True) as played:
        played.require_kept()
    assert "[2, 5, 11, 12, 13]" in played.outcome.problems[0]


def test_a_hub_of_the_rig_tells_is_killed_and_tells_again(tmp_path: Path) -> None:
    fault = Fault(name="made-up", code="S2", does="", must="")
    with Rig(fault, folder=tmp_path, times=1, quick=True) as played:
        played.start()
        played.kill()
        played.require_kept()
        first = len(played.told())
        played.start()
        played.close_books()
        assert played.outcome.problems == []
        assert (played.outcome.lost, played.outcome.expected > first > 0) == (0, True)
        assert {entry["epoch"] for entry in played.told()} == {1, 2}


def test_the_service_managers_socket_hears_lines() -> None:
    with NotifySocket(watchdog_seconds=9.0) as manager:
        assert manager.environment["WATCHDOG_USEC"] == "9000000"
        assert manager.heard("READY=1") == []
        subprocess.run(python(READY), env=manager.environment, check=True)
        assert len(manager.heard("READY=1")) == 1
        assert manager.heard("WATCHDOG=1") == []
