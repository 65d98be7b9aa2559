"""The header of a table of plates, and the rows under it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from anpr.watch.entries import COLUMNS, Problem
from anpr.watch.rows import Refused

EMPTY = Problem(0, "", "", "the file is empty", f"begin with the header {','.join(COLUMNS)}")


def read_header(names: Sequence[str], *, line: int, text: str) -> list[str]:
    """The columns that a header names, in any case; `text` is the whole header. Raises Refused."""
    names = [name.casefold() for name in names]
    if "plate" not in names and not set(names) & set(COLUMNS):
        close = difflib.get_close_matches(names[0], COLUMNS, n=1)
        if not close:
            what = f"the header is missing, the first line is {text[:80]!r}"
            raise Refused(Problem(line, "", text[:80], what, f"begin with {','.join(COLUMNS)}"))
    problems: list[Problem] = []
    for name in names:
        if name not in COLUMNS:
            problems.append(unknown_column(name, line=line))
        elif names.count(name) > 1:
            problems.append(Problem(line, name, name, f"the column {name!r} is there twice", "remove one"))
    if "plate" not in names and not any("'plate'" in problem.cure for problem in problems):
        problems.append(Problem(line, "plate", "", "the column 'plate' is missing", "add it"))
    if problems:
        raise Refused(*dict.fromkeys(problems))
    return names


def unknown_column(name: str, *, line: int) -> Problem:
    """What to say of a column that there is not."""
    close = difflib.get_close_matches(name, COLUMNS, n=1)
    cure = f"did you mean {close[0]!r}?" if close else f"one of {', '.join(COLUMNS)}"
    return Problem(line, name[:80], name[:80], f"unknown column {name[:80]!r}", cure)


def wrong_width(found: int, wanted: int, *, line: int, text: str, cure: str) -> Problem:
    """What to say of a row that has not the header's number of fields."""
    return Problem(line, "", text[:80], f"{found} fields where the header has {wanted}", cure)
