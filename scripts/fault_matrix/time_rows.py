"""Wall clocks that jump or are wrong from the start, the box's (T1) and a camera's (T2). libfaketime bends that of the
daemon alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from scripts.fault_matrix.camera_rows import CALM_SECONDS
from scripts.fault_matrix.centre import ioc, require_delivered
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.needs import faketime_library
from scripts.fault_matrix.play import exchange
from scripts.fault_matrix.stage import FIRST, SECOND, Stage
from scripts.fault_matrix.storage_rows import require_pictures
from scripts.fault_matrix.world import round_seconds

HOUR, YEAR = 3600, 365 * 24 * 3600
STEPPED_SECONDS = 3.0
"""Who passes just when the clock is set is not held to be told with the right time."""
COUNTED_SECONDS = 5.0
GOES_ON_SECONDS = 10.0
"""Until the next vehicle is told: somebody must pass first."""
MOST_LATE = 1
"""Somebody may stand in view all the while."""
RULES = "rules.toml"
RULE = """
[[rules]]
name = "passed-before"
vi = "đã qua trước đó"
en = "passed before"
severity = "INFO"
message = { vi = "{plate}", en = "{plate}" }
late = "skip"
when = { seen = { within = "3m" } }
"""
"""True of whoever comes round again."""
BOOT_SECONDS = 1000.0
"""What a box without a battery for its clock believes it is, since 1970."""


def bend_clock(stage: Stage) -> Path:
    """The file that says by how many seconds the daemon's wall clock is wrong, read anew each time it is asked."""
    clock = stage.folder / "clock"
    exchange(clock, "+0")
    stage.daemon.environment |= {
        "LD_PRELOAD": str(faketime_library()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DISABLE_SHM": "1",
    }
    return clock


def set_clock(stage: Stage, clock: Path, seconds: int) -> None:
    """The daemon's clock is wrong by so many seconds from now on; it must notice and go on."""
    steps = stage.health.metric("anpr_clock_steps_total") or 0.0
    began = stage.fault_begins(FIRST, SECOND)
    stage.clock_offsets.append(float(seconds))
    exchange(clock, f"{seconds:+d}")
    told = stage.until(lambda: (stage.health.metric("anpr_clock_steps_total") or 0.0) > steps, COUNTED_SECONDS)
    stage.require(told is not None, f"the step counted within {COUNTED_SECONDS:g} s")
    stage.wait(STEPPED_SECONDS)
    for camera in (FIRST, SECOND):
        stage.still_whole(camera)
    again = stage.until(lambda: stage.heard_text(FIRST, since=began + STEPPED_SECONDS), GOES_ON_SECONDS)
    stage.require(again is not None, f"a vehicle told within {GOES_ON_SECONDS:g} s of the step")
    stage.recovered_in(None if again is None else time.monotonic() - began)
    late = _late(stage)
    stage.wait(CALM_SECONDS)
    if not seconds and (stage.folder / RULES).exists():
        ruled = stage.until(lambda: _heard_rule(stage, since=began + STEPPED_SECONDS), GOES_ON_SECONDS)
        stage.require(ruled is not None, f"the rule to remember who passed, within {GOES_ON_SECONDS:g} s of the step")
        more = _late(stage) - late
        stage.require(more <= MOST_LATE, "nobody to be taken for late once the clock is right", more)


def _late(stage: Stage) -> float:
    return stage.health.metric("anpr_passages_late_total") or 0.0


def _heard_rule(stage: Stage, *, since: float) -> bool:
    return any(at >= since and event["data"]["rule"] for at, event in stage.listener.messages("hit."))


def jump(stage: Stage, steps: Sequence[int]) -> None:
    """The clock is set wrong and set right again while all runs, and rules look back on who passed before."""
    clock = bend_clock(stage)
    (stage.folder / RULES).write_text(RULE, encoding="utf-8")
    began = time.monotonic()
    stage.start_daemon()
    with ioc(stage):
        stage.wait(CALM_SECONDS + round_seconds())
        before = set(stage.daemon.children())
        for _ in range(stage.times):
            for step in steps:
                set_clock(stage, clock, step)
                set_clock(stage, clock, 0)
        _require_calm(stage, before, began)
        require_delivered(stage)
        stage.close_books()
    require_pictures(stage)


def wrong_at_start(stage: Stage) -> None:
    """The box starts in 1970 and learns the time later, then is ended and started with the right clock."""
    clock = bend_clock(stage)
    began = time.monotonic()
    wrong = int(BOOT_SECONDS - time.time())
    stage.clock_offsets.append(float(wrong))
    exchange(clock, f"{wrong:+d}")
    stage.start_daemon()
    with ioc(stage):
        stage.wait(CALM_SECONDS)
        before = set(stage.daemon.children())
        set_clock(stage, clock, 0)
        _require_calm(stage, before, began)
        require_delivered(stage)
        stage.close_books()
    require_pictures(stage)


def _require_calm(stage: Stage, before: set[int], began: float) -> None:
    """No process has been restarted, and no camera is said to have been away for longer than all this took."""
    children = set(stage.daemon.children())
    stage.require(children == before, "the same workers as before", children ^ before)
    longest = time.monotonic() - began
    gaps = [event["data"] for _, event in stage.listener.messages("coverage.")]
    long = [gap for gap in gaps if gap["state"] == "final" and gap["until_seconds"] - gap["from_seconds"] > longest]
    stage.require(not long, "no gap longer than the row", long[:2])
    crashed = [line for line in stage.daemon.other_lines() if line.startswith("Traceback")]
    stage.require(not crashed, "no traceback in the log", crashed[:1])


def camera_clock(stage: Stage) -> None:
    """The first camera tells the time in its stream: right, then an hour and a year wrong, then 1970."""
    stage.start_daemon()
    for error in (0.0, HOUR, -HOUR, YEAR, -time.time())[: stage.times]:
        began = time.monotonic()
        stage.first.order(clock_error_seconds=error)
        stage.outcome.times += 1
        stage.wait(CALM_SECONDS)
        told = [entry for entry in stage.first.book("reported", since=began) if entry["clock_error"] == error]
        stage.require(told, "the camera to tell the time", error)
    stage.close_books()
    stage.require_times()


_MUST = (
    "the step counted, no process restarted, no camera said to be away for hours, every vehicle told once with the time"
    " that the clock showed, nothing purged, all delivered"
)

_RULED = f'[rules]\nfolder = "{RULES}"\n'
_MUST_RULED = f"{_MUST}; a rule remembers who passed before, and takes nobody for late, as soon as the clock is right"
_ONE_DAY = "[store.retention]\npassages_days = 1\npassage_pictures_days = 1\nhits_days = 1\n"

ROWS = (
    Fault(
        name="clock-hours", code="T1", needs=("faketime",), run=lambda stage: jump(stage, (2 * HOUR, -2 * HOUR)),
        times=1, store_keys=_RULED, must=_MUST_RULED,
        does="the wall clock is set two hours ahead and right again, then two hours back",
    ),
    Fault(
        name="clock-years", code="T1", needs=("faketime",), run=lambda stage: jump(stage, (YEAR, -YEAR)),
        times=1, store_keys=_ONE_DAY + _RULED, must=_MUST_RULED,
        does="the same with a year, on a box that keeps things for a day",
    ),
    Fault(
        name="clock-1970", code="T1", needs=("faketime",), run=wrong_at_start,
        times=1, store_keys=_ONE_DAY, does="a box that keeps things for a day starts in 1970 and learns the time later",
        must=_MUST,
    ),
    Fault(
        name="camera-clock-wrong", code="T2", run=camera_clock, times=5,
        does="a camera's sender reports (RTCP) tell the time: right, an hour ahead, an hour back, a year ahead, 1970",
        must="every vehicle told once, with the box's time, times in order",
    ),
)  # fmt: skip
