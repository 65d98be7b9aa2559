"""Readers that stand still, files that are damaged, pictures that are altered or gone (S6, S7, S9)."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.processes import die_with_parent
from scripts.fault_matrix.records import event_files, picture_path
from scripts.fault_matrix.rig import START_SECONDS, Rig
from scripts.fault_matrix.storage_rows import FAST, INPUT_OUTPUT_EXIT
from scripts.fault_matrix.tail import Tail
from scripts.fault_matrix.world import ROOT

PAGE_BYTES = 4096
WINDOW_EVENTS = 200
WINDOW_SECONDS = 30.0
CLEARED_SECONDS = 60.0
"""Until what a killed reader held is given back."""
MOST_GROWTH = 2.0
"""Bytes an event afterwards, against before."""
LIFE_SECONDS = 3.0
CHECK_SECONDS = 120.0
_WHY = ("--purpose", "a rehearsal", "--case", "faults")
FINDINGS_EXIT = 1
_READER = """
import lmdb, sys, time
environments = [lmdb.open(path, readonly=True, max_dbs=64) for path in sys.argv[1:]]
transactions = [environment.begin() for environment in environments]
print("reading", flush=True)
time.sleep(1e6)
"""

Damage = Callable[[Path, random.Random], None]
"""Done to a `data.mdb`."""


def freeze_reader(rig: Rig) -> None:
    """A search stands still in the midst of a transaction, and is then killed: its slot stays behind."""
    rig.start(rate=FAST)
    for _ in range(rig.times):
        before = _growth(rig)
        with _frozen_reader(rig) as reader:
            rig.outcome.times += 1
            meanwhile = _growth(rig)
            reader.kill()
            reader.wait()
        killed = time.monotonic()
        after = _growth(rig)
        while after > MOST_GROWTH * before and time.monotonic() - killed < CLEARED_SECONDS:
            after = _growth(rig)
        rig.outcome.notes["bytes_per_event"] = [round(each) for each in (before, meanwhile, after)]
        rig.require(
            after <= MOST_GROWTH * before,
            f"the file to grow as before within {CLEARED_SECONDS:g} s of the reader's death",
            f"{after / before:.1f} times as fast",
        )
        rig.recovered_in(time.monotonic() - killed)
    rig.close_books()
    rig.require_taken_kept()


def damage_file(rig: Rig, damage: Damage) -> None:
    """Done to the file of the newest events while no hub runs; then a backup is put in its place."""
    chance = random.Random(1)
    for _ in range(rig.times):
        rig.start(rate=FAST)
        time.sleep(LIFE_SECONDS)
        rig.require_delivered()
        rig.stop()
        backup = rig.folder / f"backup-{rig.outcome.times}"
        made = run_anpr("store", "backup", str(backup), *_WHY, "--store", str(rig.store))
        rig.require(made.returncode == 0, "a backup", made.stderr[-300:])
        damage(event_files(rig.store)[-1], chance)
        rig.outcome.times += 1
        looked = run_anpr("store", "check", "--store", str(rig.store))
        said = looked.stdout + looked.stderr
        found = looked.returncode in (FINDINGS_EXIT, INPUT_OUTPUT_EXIT)
        rig.require(found and "Traceback" not in said, "`anpr store check` to find it", f"{looked.returncode}: {said}")
        _start_on_damage(rig)
        if rig.outcome.problems:
            return
        key = rig.store / "evidence.key_secret"
        shutil.copy2(key, backup / key.name)
        rig.store.rename(rig.folder / f"damaged-{rig.outcome.times}")
        backup.rename(rig.store)
        rig.require_kept()
        rig.recovered_in(rig.start())
        rig.stop()
    rig.start()
    rig.close_books()


def _start_on_damage(rig: Rig) -> None:
    """A hub is started on what is damaged: it refuses in one line, or goes on without dying of it."""
    site = rig.folder / "damaged-site.toml"
    rig.write_site(site)  # with endpoints of its own: what it tells is not held to last, for a backup takes its place
    book = Tail(rig.folder / "damaged.book")
    seen = len(book.entries())
    rig.begin(site=str(site), book=str(book.path), rate=FAST)
    rig.until(lambda: len(book.entries()) > seen or not rig.lives(), START_SECONDS)
    if rig.lives():
        time.sleep(LIFE_SECONDS)
    alive = rig.lives()
    rig.kill()
    rig.outcome.notes.setdefault("goes_on", []).append(alive)
    if not alive:
        rig.require(rig.exit_code == INPUT_OUTPUT_EXIT, f"exit code {INPUT_OUTPUT_EXIT}", rig.exit_code)
        rig.require(str(rig.store) in rig.last_words(), "a line that names the place", rig.last_words())


def alter_pictures(rig: Rig) -> None:
    """Pictures are changed by a byte, cut, exchanged or deleted: the check must find each of them."""
    rig.start(rate=FAST)
    time.sleep(LIFE_SECONDS)
    rig.require_delivered()
    rig.stop()
    pictures = sorted({picture for entry in rig.told() for picture in entry["pictures"]})
    chance = random.Random(1)
    names = chance.sample(pictures, 5)
    whole = {name: picture_path(rig.store, name).read_bytes() for name in names}
    changed, cut, emptied, foreign, gone = (picture_path(rig.store, name) for name in names)
    at = chance.randrange(len(whole[names[0]]))
    changed.write_bytes(whole[names[0]][:at] + bytes([whole[names[0]][at] ^ 1]) + whole[names[0]][at + 1 :])
    cut.write_bytes(whole[names[1]][: len(whole[names[1]]) // 2])
    emptied.write_bytes(b"")
    foreign.write_bytes(whole[names[0]])
    gone.unlink()
    rig.outcome.times += len(names)
    looked = run_anpr("store", "check", "--pictures", "--json", "--store", str(rig.store))
    finding = json.loads(looked.stdout or "{}")
    problems = "\n".join(finding.get("first_problems", ()))
    unseen = [path.name for path in (changed, cut, emptied, foreign) if path.stem not in problems]
    rig.require(looked.returncode == FINDINGS_EXIT, f"exit code {FINDINGS_EXIT} of the check", looked.stderr)
    rig.require(not unseen, "every altered picture found", unseen)
    rig.require(finding.get("pictures_missing", 0) >= 1, "the deleted picture counted")
    owner = next(entry["id"].split(".")[1] for entry in rig.told() if names[0] in entry["pictures"])
    out = rig.folder / "bundle"
    reason = ("--purpose", "fault matrix", "--case", "S9", "--store", str(rig.store))
    exported = run_anpr("evidence", "export", owner, "--out", str(out), *reason)
    verified = run_anpr("evidence", "verify", str(out)) if exported.returncode == 0 else exported
    rig.require(verified.returncode != 0, "no altered picture to pass as evidence", verified.stdout)
    for name in names:
        picture_path(rig.store, name).write_bytes(whole[name])
    looked = run_anpr("store", "check", "--pictures", "--store", str(rig.store))
    rig.require(looked.returncode == 0, "nothing found once they are put back", looked.stdout + looked.stderr)
    rig.recovered_in(rig.start())
    rig.close_books()


def cut_off(path: Path, chance: random.Random) -> None:
    """Half of the file is gone."""
    os.truncate(path, path.stat().st_size // 2 // PAGE_BYTES * PAGE_BYTES)


def overwrite_pages(path: Path, chance: random.Random) -> None:
    """One page in four, but for the first two, holds something else: what a bad sector or another program leaves."""
    pages = range(2, path.stat().st_size // PAGE_BYTES)
    with path.open("r+b") as file:
        for page in chance.sample(pages, len(pages) // 4):
            file.seek(page * PAGE_BYTES)
            file.write(chance.randbytes(PAGE_BYTES))


def overwrite_heads(path: Path, chance: random.Random) -> None:
    """The first two pages, which say where everything is, hold something else."""
    with path.open("r+b") as file:
        file.write(chance.randbytes(2 * PAGE_BYTES))


def alter_plates(path: Path, chance: random.Random) -> None:
    """The plate in every stored record is another one: nothing is broken but the truth."""
    data = path.read_bytes()
    path.write_bytes(data.replace(b"30A10", b"30A77"))


@contextlib.contextmanager
def _frozen_reader(rig: Rig) -> Iterator[subprocess.Popen[bytes]]:
    folders = [str(path.parent) for path in rig.store.rglob("data.mdb")]
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, *folders], stdout=subprocess.PIPE, preexec_fn=die_with_parent
    )
    assert reader.stdout is not None
    try:
        if not reader.stdout.readline():
            raise RuntimeError("the reader did not start")
        reader.send_signal(signal.SIGSTOP)
        yield reader
    finally:
        reader.kill()
        reader.wait()
        reader.stdout.close()


def _growth(rig: Rig) -> float:
    """By how many bytes the store's files grow for each event, over a while."""

    def size() -> int:
        return sum(path.stat().st_size for path in rig.store.rglob("data.mdb"))

    began, before = time.monotonic(), size()
    if rig.until(lambda: len(rig.told(since=began)) >= WINDOW_EVENTS, WINDOW_SECONDS) is None:
        raise RuntimeError(f"the hub tells hardly anything: {rig.last_words()}")
    return max(1.0, (size() - before) / len(rig.told(since=began)))


def require_sound(rig: Rig, *options: str) -> None:
    """`anpr store check` must find nothing."""
    looked = run_anpr("store", "check", *options, "--store", str(rig.store))
    rig.require(looked.returncode == 0, "`anpr store check` to find nothing", looked.stdout + looked.stderr)


def run_anpr(*words: str) -> subprocess.CompletedProcess[str]:
    """A verb of anpr, to its end."""
    command = [sys.executable, "-m", "anpr", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False)


_DAMAGED = (
    "`anpr store check` finds it; a hub refuses with exit code 74 and a line that names the place, or goes on; nothing"
    " is killed by a signal; with the backup in its place, it goes on and nothing is lost"
)

ROWS = (
    Fault(
        name="reader-frozen", code="S6", run_rig=freeze_reader, times=1,
        does="a reader of the store stands still within a transaction (SIGSTOP), and is killed with -9",
        must="the hub goes on; within a minute of the reader's death the file grows as before",
    ),
    Fault(
        name="store-cut-off", code="S7", run_rig=lambda rig: damage_file(rig, cut_off),
        does="half of `data.mdb` is gone", must=_DAMAGED,
    ),
    Fault(
        name="store-overwritten", code="S7", run_rig=lambda rig: damage_file(rig, overwrite_pages), times=4,
        does="one page in four of `data.mdb` holds something else", must=_DAMAGED,
    ),
    Fault(
        name="store-beheaded", code="S7", run_rig=lambda rig: damage_file(rig, overwrite_heads),
        does="the first two pages of `data.mdb` hold something else", must=_DAMAGED,
    ),
    Fault(
        name="plates-altered", code="S7", run_rig=lambda rig: damage_file(rig, alter_plates),
        does="stored plates are changed in `data.mdb`, and nothing else", must=_DAMAGED,
    ),
    Fault(
        name="evidence-altered", code="S9", run_rig=alter_pictures,
        does="pictures are changed by a byte, cut, emptied, exchanged, deleted",
        must="`anpr store check --pictures` finds each, none passes as evidence, all is well once they are put back",
    ),
)  # fmt: skip
