"""Site files that are wrong at the start, and watch-lists that are broken or replaced while the box runs (F1 to F4)."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path

from scripts.fault_matrix.camera_rows import CALM_SECONDS
from scripts.fault_matrix.compute_rows import CONFIG_EXIT
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.stage import Stage
from scripts.fault_matrix.world import ROOT, vehicles

NOTICED_SECONDS = 5.0
"""Until a changed list is taken or refused."""
REFUSED_SECONDS = 60.0
RESTLESS_SECONDS, QUICK_RESTLESS_SECONDS = 20.0, 6.0
PAUSES_SECONDS = (0.05, 0.2, 1.5, 2.5)
"""Between two changes of a restless list."""
HALF_SECONDS = 0.3
"""Between the halves of one that is written in place."""
OTHERS = tuple(f"29H{number:05d}" for number in range(1, 201))
"""Plates on the lists that nobody carries."""


def break_site(stage: Stage) -> None:
    """The daemon is started with one wrong site file after the other, and then with the right one."""
    site = stage.folder / "broken-site.toml"
    for words, content in _broken_sites(stage.site.read_text(encoding="utf-8")):
        site.write_bytes(content)
        _require_refused(stage, site, words)
    site.unlink()
    _require_refused(stage, site, ())
    site.mkdir()
    _require_refused(stage, site, ())
    stage.require(not stage.store.exists(), "no store made by a start that is refused")
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    stage.close_books()


def _broken_sites(good: str) -> Iterator[tuple[Sequence[str], bytes]]:
    """What must be said of it, and the file."""
    two = good.replace("workers = ", 'workers = "many"  # ', 1).replace("[health]", '[health]\ncolour = "red"', 1)
    yield ("workers", "colour"), two.encode()
    yield (), good[: good.index("rtsp://") + 4].encode()
    yield (), b""
    yield (), bytes(range(256))
    yield ("twice",), good.replace("[site]", "[box]", 1).encode()
    yield ("unencrypted",), good.replace("tcp://127.0.0.1:", "tcp://0.0.0.0:", 1).encode()


def _require_refused(stage: Stage, site: Path, words: Sequence[str]) -> None:
    command = [sys.executable, "-m", "anpr", "run", str(site)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=REFUSED_SECONDS, check=False)
    stage.outcome.times += 1
    unsaid = [word for word in (site.name, *words) if word not in done.stderr]
    stage.require(
        done.returncode == CONFIG_EXIT, f"exit code {CONFIG_EXIT}", f"{done.returncode}: {done.stderr[-300:]}"
    )
    stage.require("Traceback" not in done.stderr, "no traceback", done.stderr[-200:])
    stage.require(not unsaid, "the file and all its mistakes told", f"not {unsaid}: {done.stderr[-300:]}")


def break_list(stage: Stage) -> None:
    """A list in use is replaced by one bad file after the other, and then by a good one with more plates."""
    path = _add_list(stage)
    stage.start_daemon()
    broken = {**_broken_lists(path.read_bytes()), "gone": None}
    for name, content in list(broken.items())[: stage.times]:
        stage.wait(CALM_SECONDS / 2)
        wall = time.monotonic() + stage.wall_offset
        if content is None:
            path.unlink()
        else:
            _exchange(path, content)
        stage.outcome.times += 1
        said = stage.until(lambda wall=wall: stage.daemon.log("list_refused", since=wall), NOTICED_SECONDS)  # type: ignore[misc]
        stage.require(said is not None, f"`list_refused` within {NOTICED_SECONDS:g} s", name)
    stage.wait(CALM_SECONDS)
    _require_taken(stage, path, _csv(*OTHERS))
    stage.wait(CALM_SECONDS)
    stage.close_books()
    _require_hits(stage)


def _broken_lists(good: bytes) -> Mapping[str, bytes | None]:
    """By what is wrong with it."""
    rows = good.splitlines(keepends=True)
    return {
        "half of it": b"".join(rows[: len(rows) // 2]),
        "stray quotes": b"".join([rows[0], *(b'"' + row for row in rows[1:])]),
        "UTF-16": good.decode().encode("utf-16"),
        "empty": b"",
        "NUL bytes": good.replace(b",", b"\0,"),
        "columns exchanged": good.replace(b"plate,reason", b"reason,plate"),
    }


def swap_list(stage: Stage) -> None:
    """A list in use is replaced and written in place again and again, while it is read."""
    path = _add_list(stage)
    other = _csv(*OTHERS[:100])
    stage.start_daemon()
    wall = time.monotonic() + stage.wall_offset
    for _ in range(stage.times):
        stage.wait(CALM_SECONDS / 2)
        with _restless(path, (path.read_bytes(), other)):
            stage.outcome.times += 1
            stage.wait(QUICK_RESTLESS_SECONDS if stage.quick else RESTLESS_SECONDS)
    _require_taken(stage, path, _csv(*OTHERS))
    entries = {line["entries"] for line in stage.daemon.log("list_reloaded", since=wall)}
    whole = {len(_listed()) + count for count in (0, 100, len(OTHERS))}
    stage.require(entries <= whole, f"a list of {sorted(whole)} plates, never a piece of one", sorted(entries))
    stage.outcome.notes["reloaded"] = len(stage.daemon.log("list_reloaded", since=wall))
    stage.wait(CALM_SECONDS)
    stage.close_books()
    _require_hits(stage)


def _listed() -> list[str]:
    """The plates that pass the cameras."""
    return sorted({vehicle.text for vehicle in vehicles()})


def _csv(*others: str) -> bytes:
    return "".join(["plate,reason\n", *(f"{plate},made up\n" for plate in (*_listed(), *others))]).encode()


def _add_list(stage: Stage) -> Path:
    """Have the site ask for all that pass; the list's file."""
    path = stage.folder / "listed.csv"
    path.write_bytes(_csv())
    with stage.site.open("a", encoding="utf-8") as site:
        site.write(f'\n[[lists]]\nname = "made-up"\nfile = "{path}"\n')
    return path


def _exchange(path: Path, content: bytes) -> None:
    half = path.with_name(f"{path.name}.new")
    half.write_bytes(content)
    half.replace(path)


@contextlib.contextmanager
def _restless(path: Path, contents: Sequence[bytes]) -> Iterator[None]:
    """While the block runs, a file is one of these by turns: renamed, as a link, or written in place in two pieces."""
    stop, chance = threading.Event(), random.Random(1)

    def change() -> None:
        for number, content in enumerate(cycle(contents)):
            if number % 3 == 0:
                _exchange(path, content)
            elif number % 3 == 1:
                target, link = path.with_name(f"{path.name}.target"), path.with_name(f"{path.name}.link")
                _exchange(target, content)
                link.unlink(missing_ok=True)
                link.symlink_to(target)
                link.replace(path)
            else:
                with path.open("wb") as file:
                    file.write(content[: len(content) // 2])
                    file.flush()
                    stop.wait(HALF_SECONDS)
                    file.write(content[len(content) // 2 :])
            if stop.wait(chance.choice(PAUSES_SECONDS)):
                return

    changing = threading.Thread(target=change, name="restless")
    changing.start()
    try:
        yield
    finally:
        stop.set()
        changing.join()


def _require_taken(stage: Stage, path: Path, content: bytes) -> None:
    """A good list must be in use soon."""
    wall, entries = time.monotonic() + stage.wall_offset, len(content.splitlines()) - 1
    _exchange(path, content)
    taken = stage.until(
        lambda: any(line["entries"] == entries for line in stage.daemon.log("list_reloaded", since=wall)),
        NOTICED_SECONDS,
    )
    stage.require(taken is not None, f"`list_reloaded` of a good list within {NOTICED_SECONDS:g} s")
    stage.recovered_in(taken)


def _require_hits(stage: Stage) -> None:
    """Whatever the file was just then, every listed plate that was told must have a hit."""
    newest = {event["data"]["id"]: event["data"] for _, event in stage.listener.messages("sighting.")}
    named = {event["data"]["sighting_id"] for _, event in stage.listener.messages("hit.")}
    listed = set(_listed())
    told = [each["id"] for each in newest.values() if each["state"] == "final" and each["text"] in listed]
    without = [each for each in told if each not in named]
    stage.outcome.lost += len(without)
    stage.outcome.notes |= {"listed_told": len(told), "without_hit": len(without)}
    stage.require(told, "listed plates to be told")
    stage.require(not without, "a hit for every listed plate", f"{len(without)} without, {without[:3]}")


ROWS = (
    Fault(
        name="site-broken", code="F1", run=break_site,
        does="starts with a site file that has two mistakes, is half-written, empty, no text, has a table twice, leaves"
        " the machine unencrypted (F4), is missing, or is a folder",
        must="refused with exit code 78, the file and all its mistakes told, no traceback, no store made",
    ),
    Fault(
        name="list-broken", code="F2", run=break_list, times=7,
        does="a list in use is replaced by half of it, stray quotes, UTF-16, nothing, NUL bytes, exchanged columns; and"
        " removed",
        must="each told within 5 s; the old list stays: every listed plate has its hit; a good one is taken within 5 s",
    ),
    Fault(
        name="list-restless", code="F3", run=swap_list, times=1,
        does="a list in use is renamed over, linked anew and written in place in two pieces, for 20 s",
        must="never a piece of a list is taken; every listed plate has its hit; the last file is taken within 5 s",
    ),
)  # fmt: skip
