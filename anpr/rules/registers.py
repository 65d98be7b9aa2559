"""Registers that a site file can name: a daily list, and an address that is asked over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import msgspec

from anpr.errors import ConfigError, PlateError
from anpr.plates.grammar import require
from anpr.privacy import Private
from anpr.rules.lookups import Ask, Record
from anpr.rules.sheet import LeftOut, Sheet
from anpr.rules.values import Asked

MOST_ANSWER_BYTES = 64 << 10
NOT_FOUND = 404
_KEPT_VALUES = 10_000
"""Different ones of a column that need not be looked at again."""


def http_register(url: str, *, timeout_seconds: float) -> Ask:
    """A register that answers `url`, with the plate put in at `{plate}`, by a JSON object of its fields, or by 404."""

    def ask(plate: str) -> Record | None:
        request = Request(url.replace("{plate}", quote(plate, safe="")), headers={"Accept": "application/json"})
        try:
            with urlopen(request, timeout=timeout_seconds) as answer:
                return _fields(answer.read(MOST_ANSWER_BYTES + 1))
        except HTTPError as error:
            with error:
                if error.code == NOT_FOUND:
                    return None
                raise OSError(f"it answered {error.code} {error.reason}") from None
        except HTTPException as error:
            raise OSError(f"it answered no HTTP: {error!r}") from error

    return ask


def _fields(body: bytes) -> Record:
    """The plain values of a JSON object; others, and null, are fields that are not known."""
    if len(body) > MOST_ANSWER_BYTES:
        raise ValueError("the answer is larger than 64 KiB")
    found = msgspec.json.decode(body, type=dict[str, object])
    return {name: value for name, value in found.items() if isinstance(value, str | int | float | bool)}


def parse_register(
    data: bytes, path: Path, asked: Mapping[str, Asked] | None = None
) -> tuple[Mapping[str, Record], LeftOut]:
    """By plate what a register's CSV file has on it, as a daily list brings it; and the bad rows it is taken without.

    It has a column `plate`; empty cells are fields not known. A row is bad if a rule could not be asked of a value:
    `asked` tells what rules ask of the fields. Raises ConfigError if too many rows are bad.
    """
    sheet = Sheet(data, path, refusal=ConfigError)
    _check_columns(sheet.columns, str(path))
    checks = {name: lru_cache(_KEPT_VALUES)(asks.problem) for name, asks in (asked or {}).items()}
    records: dict[str, Record] = {}
    for place, row in sheet.rows():
        try:
            plate = require(row["plate"])[0].text
        except PlateError as error:
            sheet.refuse(Private(f"{place}: plate {error.problem} ({error.cure})"))
            continue
        record = {name: value for name, value in row.items() if name != "plate" and value}
        wrong = [(name, checks[name](value)) for name, value in record.items() if name in checks]
        if problems := [Private(f"{place}: {name} {what}") for name, what in wrong if what]:
            sheet.refuse(*problems)
            continue
        records[plate] = record
    return records, sheet.left_out()


def columns_of(data: bytes, path: Path) -> Sequence[str]:
    """The columns of a register's CSV file. Raises ConfigError if there are none."""
    return Sheet(data.partition(b"\n")[0], path, refusal=ConfigError).columns


def _check_columns(columns: Sequence[str], place: str) -> None:
    """Raises ConfigError if a column is missing, or there twice."""
    problems = ["the column 'plate' is missing (add it)"] if "plate" not in columns else []
    for name in dict.fromkeys(columns):
        if columns.count(name) > 1:
            numbers = " and ".join(str(number) for number, each in enumerate(columns, start=1) if each == name)
            problems.append(f"the column {name!r} is there twice, as columns {numbers} (remove one)")
    if problems:
        lines = tuple(Private(f"{place}:1: {each}", masked=f"{place}:1: {each}") for each in problems)
        raise ConfigError("; ".join(problems), place=f"{place}:1", problems=lines)
