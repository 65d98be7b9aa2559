"""The table of a run, for people and for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence

from scripts.fault_matrix.fault import Fault, Outcome

COLUMNS = ("fault", "", "times", "lost", "dup", "wrong", "in fault", "recovered", "neighbour fps", "")
WIDTHS = (24, 4, 5, 6, 4, 5, 8, 9, 13, 6)


def listing(faults: Sequence[Fault]) -> str:
    """All rows with what they do and ask."""
    lines = []
    for fault in faults:
        often = f"{fault.times} times, "
        mark = "not here" if fault.impossible else (often + "quick" if fault.quick else often).removesuffix(", ")
        lines.append(f"{fault.code:4}{fault.name:25}{mark}")
        for word, text in (("does", fault.does), ("must", fault.must), ("not", fault.impossible)):
            if text:
                lines += textwrap.wrap(
                    text, 116, initial_indent=f"        {word}: ", subsequent_indent="              "
                )
    return "\n".join(lines)


def header() -> str:
    """The first line of the table."""
    return _line(COLUMNS)


def row(outcome: Outcome) -> str:
    """An outcome as a line, its problems below it."""
    recovered = "–" if outcome.recovered_s is None else f"{outcome.recovered_s:.1f} s"
    change = "–" if outcome.neighbour_fps_change is None else f"{outcome.neighbour_fps_change:+.1%}"
    if outcome.skipped:
        return _line((outcome.fault, outcome.code, f"skipped: {outcome.skipped}"))
    cells = (
        outcome.fault,
        outcome.code,
        outcome.times,
        f"{outcome.lost}/{outcome.expected}",
        outcome.duplicated,
        outcome.wrong,
        f"{outcome.in_fault_told}/{outcome.in_fault}",
        recovered,
        change,
        "ok" if outcome.passed else "MISSED",
    )
    lines = [_line(cells)]
    for problem in outcome.problems:
        lines += textwrap.wrap(problem, 116, initial_indent="    ✖ ", subsequent_indent="      ")
    return "\n".join(lines)


def explanation() -> str:
    """What the columns mean."""
    return (
        "lost: of the vehicles that passed whole cameras, or of the events that a hub alone has told;\n"
        "in fault: told of those that the fault touched;\n"
        "recovered: longest time from the end of a fault to the first whole picture taken, or the next event told;\n"
        "neighbour fps: its change at the second camera"
    )


def as_json(outcomes: Sequence[Outcome]) -> str:
    """One line."""
    return json.dumps({"faults": [outcome.to_dict() for outcome in outcomes]}, ensure_ascii=False)


def _line(cells: Sequence[object]) -> str:
    return " ".join(f"{cell!s:{width}}" for cell, width in zip(cells, WIDTHS)).rstrip()
