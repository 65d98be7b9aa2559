"""A page that kills who reads it ends a verb with one line that names the day, never by a bare signal."""

from __future__ import annotations

import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import typer
from damaging import days_of, lengthen, mislabel, wipe
from making_records import make_hit, make_sighting
from making_sites import write_site
from running_verbs import REASON
from waiting import until

from anpr.cli.apart import read_apart
from anpr.clock import ManualClock
from anpr.store import Store
from anpr.store.keeper import Keeper
from anpr.store.retention import DAY_SECONDS, Policy, Watermarks
from scripts.fault_matrix.processes import is_alive

SLOW = Path(__file__).with_name("slow_verb.py")
ROW = b"reader 89abcdef"
"""In the log of events only."""
SIGHTINGS = 200
"""Of each of the three days; each has a hit."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "store"
    clock = ManualClock()
    with Store.open(path, clock=clock, box="box-1") as store:
        for day in range(3):
            ids = [f"s{day}-{number}" for number in range(SIGHTINGS)]
            sightings = [make_sighting(id=each, evidence=(), seen_seconds=clock.wall) for each in ids]
            store.append(
                sightings, [make_hit(id=f"h{each}", sighting_id=each, seen_seconds=clock.wall) for each in ids]
            )
            clock.advance(86_400.0)
    return path


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "store"))


def anpr(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "anpr", *map(str, arguments), "--store", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def names_the_day(done: subprocess.CompletedProcess[str], day: Path, says: str) -> bool:
    """Whether a verb ended as it should: nothing is answered, and one line tells why."""
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (74, ""), done.stderr
    assert "anpr store check" in line
    assert "anpr store set-aside" in line
    return line.startswith(f"anpr: {day / 'data.mdb'}: is damaged, and {says}")


def test_a_search_that_is_killed_names_the_day_and_answers_again_without_it(folder: Path) -> None:
    search = ("search", "--plate", "30A12346", "--one-off", "--limit", 10_000, *REASON)
    assert len(anpr(folder, *search).stdout.splitlines()) == 3 * SIGHTINGS
    day = days_of(folder)[1]
    mislabel(day, b"30A12345\0")
    assert names_the_day(anpr(folder, *search), day, "kills who reads it (SIGABRT): ")
    assert anpr(folder, "store", "set-aside", "--reason", "the disk failed", "--case", "17/2026").returncode == 0
    healed = anpr(folder, *search)
    assert (healed.returncode, len(healed.stdout.splitlines())) == (0, 2 * SIGHTINGS)


def test_a_backup_that_is_killed_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    day = days_of(folder)[1]
    mislabel(day, b"30A12345\0")
    done = anpr(folder, "store", "backup", tmp_path / "copies" / "copy", *REASON)
    assert names_the_day(done, day, "kills who reads it (SIGSEGV): ")
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_backup_of_a_page_that_it_copies_as_it_is_names_the_day(folder: Path, tmp_path: Path) -> None:
    day = days_of(folder)[1]
    lengthen(day, ROW)
    done = anpr(folder, "store", "backup", tmp_path / "copies" / "copy", *REASON)
    assert names_the_day(done, day, "cannot be read (its copy is damaged, and was removed: ")
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_backup_removes_what_a_killed_one_has_left(folder: Path, tmp_path: Path) -> None:
    program = "import os; from pathlib import Path; from anpr.store.unfinished import making\n"
    program += f"with making(Path({str(tmp_path / 'monday')!r})): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", program], check=False)
    (left,) = tmp_path.glob(".monday.*")
    done = anpr(folder, "store", "backup", tmp_path / "tuesday", *REASON)
    assert (done.returncode, done.stderr) == (0, f"{left}: removed, an earlier backup was killed while it was made\n")
    assert not left.exists()


def test_an_export_that_is_killed_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    day = days_of(folder)[1]
    mislabel(day, b"30A12345\0")
    (tmp_path / "out").mkdir()
    done = anpr(folder, "store", "export", tmp_path / "out" / "a.csv", "--plate", "30A12346", "--one-off", *REASON)
    assert names_the_day(done, day, "kills who reads it (SIGABRT): ")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("verb", ["search", "export", "backup", "evidence", "hold"])
def test_a_page_that_lmdb_refuses_names_the_day_too(folder: Path, tmp_path: Path, verb: str) -> None:
    day = days_of(folder)[1]
    wipe(day, ROW)
    given = {
        "search": ("search", "--limit", 10_000, *REASON),
        "export": ("store", "export", tmp_path / "a.csv", *REASON),
        "backup": ("store", "backup", tmp_path / "copy", *REASON),
        "evidence": ("evidence", "export", "s1-199", "--out", tmp_path / "bundle", *REASON),
        "hold": ("store", "hold", "--plate", "30A12345", "--reason", "a theft", "--case", "17/2026"),
    }
    assert names_the_day(anpr(folder, *given[verb]), day, "cannot be read (the store is damaged: mdb_")


RETENTION = """
[store.retention]
passages_days = 2
passage_pictures_days = 2
[store.disk]
early_percent = 99.7
sparing_percent = 99.8
reserve_percent = 99.9
reserve_mib = 0
"""


@pytest.fixture
def due(tmp_path: Path) -> Path:
    """The site file of a box whose oldest day is to go."""
    folder, now = tmp_path / "due" / "data", time.time()
    clock = ManualClock(wall=now - 5.5 * DAY_SECONDS)
    with Store.open(folder, clock=clock, box="box-1") as store:
        keeper = Keeper(store, Policy(disk=Watermarks(reserve_mib=0)), clock=clock, synchronised=lambda: True)
        for day in range(2):
            ids = [f"s{day}-{number}" for number in range(SIGHTINGS)]
            store.append([make_sighting(id=each, evidence=(), seen_seconds=clock.wall) for each in ids])
            keeper.note()
            clock.advance(DAY_SECONDS)
        clock.advance(now - clock.wall)
        keeper.note()
        keeper.close()
    return write_site(folder.parent, RETENTION)


def test_a_purge_that_is_killed_names_the_day(due: Path) -> None:
    day = days_of(due.parent / "data")[0]
    purge = [sys.executable, "-m", "anpr", "store", "purge", str(due)]
    told = subprocess.run(purge, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
    mislabel(day, ROW)
    done = subprocess.run([*purge, "--now"], capture_output=True, text=True, check=False)
    said = done.stderr.splitlines()[-1]  # before, LMDB has refused a page, which was logged
    assert names_the_day(subprocess.CompletedProcess([], done.returncode, done.stdout, said), day, "kills who reads it")
    assert halves_in(day) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_has_made_before_it_is_killed_belongs_to_the_box(due: Path) -> None:
    folder = due.parent / "data"
    mislabel(days_of(folder)[0], ROW)
    for each in (folder, *folder.rglob("*")):
        os.chown(each, 4711, 4712)
    purge = [sys.executable, "-m", "anpr", "store", "purge", str(due), "--now"]
    assert subprocess.run(purge, capture_output=True, check=False).returncode == 74
    assert len(days_of(folder)) == 3  # today's was begun
    assert {each.stat().st_uid for each in folder.rglob("*")} == {4711}


def start(folder: Path, end: object) -> tuple[subprocess.Popen[str], int]:
    """The process, and the number of the one that reads."""
    command = [sys.executable, str(SLOW), str(folder), str(end)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@pytest.mark.parametrize("code", [0, 1, 74])
def test_it_ends_as_its_reader_does_and_says_what_libraries_said(tmp_path: Path, code: int) -> None:
    process, reader = start(tmp_path, code)
    _, said = process.communicate(timeout=30)
    assert reader != process.pid
    assert (process.returncode, sorted(said.splitlines())) == (code, ["a library says", "we say"])


@pytest.mark.parametrize("died", [signal.SIGKILL, signal.SIGFPE])
def test_another_signal_is_its_end_too(tmp_path: Path, died: signal.Signals) -> None:
    process, _ = start(tmp_path, died.name)
    process.communicate(timeout=30)
    assert process.returncode == -died
    assert list(tmp_path.iterdir()) == []


def test_a_signal_of_a_page_where_all_is_whole_is_told_so(folder: Path) -> None:
    process, _ = start(folder, "SIGBUS")
    _, said = process.communicate(timeout=30)
    assert said.splitlines()[1:] == [
        f"{folder}: reading it ended with SIGBUS, but all files are whole"
        " (look at the disk and the memory, and try again)"
    ]
    assert halves_in(folder) == []


def halves_in(folder: Path) -> list[Path]:
    """What verbs have begun to make and have left."""
    return list(folder.rglob(".*"))


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP), (signal.SIGINT, 130)]
)
def test_who_ends_it_ends_its_reader(folder: Path, sent: signal.Signals, code: int) -> None:
    process, reader = start(folder, "sleep")
    assert len(halves_in(folder)) == 4
    process.send_signal(sent)
    process.communicate(timeout=30)
    assert process.returncode == code
    assert not is_alive(reader)
    assert halves_in(folder) == []


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_who_ends_it_from_another_namespace_of_processes_ends_its_reader_too(
    tmp_path: Path, sent: signal.Signals
) -> None:
    alone = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody make a namespace")
    process = subprocess.Popen([*alone, sys.executable, str(SLOW), str(tmp_path), "sleep"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    (verb,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(verb), sent)
    process.communicate(timeout=30)
    assert not is_alive(int(verb))
    assert process.returncode == (130 if sent == signal.SIGINT else 128 + sent)
    assert halves_in(tmp_path) == []


def test_a_terminals_hangup_ends_it(tmp_path: Path) -> None:
    leader, terminal = pty.fork()
    if not leader:
        os.execv(sys.executable, [sys.executable, str(SLOW), str(tmp_path), "sleep"])
    said = b""
    while b"we say" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(leader, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGHUP
    assert halves_in(tmp_path) == []


def test_a_terminals_ctrl_c_interrupts_it_once(tmp_path: Path) -> None:
    leader, terminal = pty.fork()
    if not leader:
        os.execv(sys.executable, [sys.executable, str(SLOW), str(tmp_path), "tidy"])
    said = b""
    while b"ready" not in said:
        said += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    with suppress(OSError):  # that is how a terminal's end is told
        while more := os.read(terminal, 4096):
            said += more
    _, status = os.waitpid(leader, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 130
    assert said.count(b"tidied") == 1


def test_an_interrupt_of_the_whole_group_lets_it_tidy_up(tmp_path: Path) -> None:
    command = [sys.executable, str(SLOW), str(tmp_path), "tidy"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    while process.stdout.readline() != "ready\n":
        pass
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert (said, process.returncode) == ("tidied\n", 130)
    assert halves_in(tmp_path) == []


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_it_reads_with_nobody_to_hear_it(folder: Path, closed: str) -> None:
    search = [sys.executable, "-m", "anpr", "search", *REASON, "--store", str(folder)]
    command = f"exec {shlex.join(search)} {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, bool(done.stdout)) == (0, closed != ">&-"), done.stderr


def test_its_reader_does_not_outlive_it(tmp_path: Path) -> None:
    process, reader = start(tmp_path, "sleep")
    process.kill()
    process.communicate(timeout=30)  # until nobody has its stdout open
    until(lambda: not is_alive(reader))


def test_a_process_that_is_not_the_verbs_own_is_not_split(folder: Path) -> None:
    app = typer.Typer()
    readers: list[int] = []

    @app.command()
    def verb(context: typer.Context) -> None:
        read_apart(context, folder)
        readers.append(os.getpid())

    app(standalone_mode=False, args=[])
    assert readers == [os.getpid()]
