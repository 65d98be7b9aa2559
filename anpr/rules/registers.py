"""Registers that a site file can name: a daily list, and an address that is asked over HTTP."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import msgspec

from anpr.errors import ConfigError, PlateError
from anpr.plates.grammar import require
from anpr.rules.content import content_of
from anpr.rules.language import Value
from anpr.rules.lookups import Ask, Record

MOST_ANSWER_BYTES = 64 << 10
NOT_FOUND = 404


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


def read_register(path: Path) -> Mapping[str, Record]:
    """By plate what a register's CSV file has on it. Raises ConfigError as `parse_register`, or if there is no file."""
    try:
        return parse_register(content_of(path), path)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", place=str(path), cure="check the path") from error


def parse_register(data: bytes, path: Path) -> Mapping[str, Record]:
    """A register from a CSV file with a column `plate`, as a daily list brings it; empty cells are fields not known.

    Raises ConfigError with all bad rows.
    """
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        if "plate" not in (reader.fieldnames or ()):
            raise ConfigError("the column 'plate' is missing", place=f"{path}:1", cure="add it")
        rows, problems = _rows(reader, path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot be read: {error}", place=str(path), cure="save it as CSV UTF-8") from error
    if problems:
        raise ConfigError(f"{len(problems)} problems", place=str(path), problems=tuple(problems))
    return rows


def _rows(reader: csv.DictReader[str], path: Path) -> tuple[dict[str, dict[str, Value]], list[str]]:
    rows: dict[str, dict[str, Value]] = {}
    problems: list[str] = []
    for row in reader:
        place = f"{path}:{reader.line_num}"
        if None in row or None in row.values():
            problems.append(f"{place}: not as many fields as the header has (put texts in quotes)")
            continue
        try:
            plate = require(row["plate"])[0].text
        except PlateError as error:
            problems.append(f"{place}: {error}")
            continue
        rows[plate] = {name: value.strip() for name, value in row.items() if name != "plate" and value.strip()}
    return rows, problems
