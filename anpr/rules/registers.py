"""Registers that a site file can name: a daily list, and an address that is asked over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
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


def parse_register(data: bytes, path: Path) -> tuple[Mapping[str, Record], LeftOut]:
    """By plate what a register's CSV file has on it, as a daily list brings it; and the bad rows it is taken without.

    It has a column `plate`; empty cells are fields not known. Raises ConfigError if too many rows are bad.
    """
    sheet = Sheet(data, path, refusal=ConfigError)
    if "plate" not in sheet.columns:
        raise ConfigError("the column 'plate' is missing", place=f"{path}:1", cure="add it")
    records: dict[str, Record] = {}
    for place, row in sheet.rows():
        try:
            plate = require(row["plate"])[0].text
        except PlateError as error:
            sheet.refuse(Private(f"{place}: plate {error.problem} ({error.cure})"))
            continue
        records[plate] = {name: value for name, value in row.items() if name != "plate" and value}
    return records, sheet.left_out()
