"""Records as a file for other programs: CSV for spreadsheets, JSON lines whole, Parquet for analysis.

A spreadsheet runs a cell that begins with `=`, `+`, `-` or `@` as a formula, and a plate or a camera's name may be
chosen by a stranger: in CSV such a cell begins with an apostrophe, and so does what would be a cell where lines are
divided at semicolons, as in many languages, or at tabs (OWASP, "CSV Injection").
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from anpr.errors import StoreError
from anpr.records import Hit, Sighting
from anpr.store.durable import half_of, sync_folder
from anpr.store.faults import told_as_store_errors
from anpr.store.query import Query
from anpr.store.store import Store

Format = Literal["csv", "jsonl", "parquet"]
FORMATS: tuple[Format, ...] = ("csv", "jsonl", "parquet")

_FORMULA = re.compile(r"(?:^|(?<=[;\t\r\n]))(?=[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])")
"""Before the characters that begin one; the last four are full-width."""
_ROWS_AT_ONCE = 10_000
Exported = type[Sighting] | type[Hit]

_COLUMNS: dict[Exported, dict[str, str]] = {
    Sighting: {
        "seen": "time",
        "site_id": "text",
        "camera_id": "text",
        "text": "text",
        "display": "text",
        "raw": "text",
        "probability": "number",
        "kind": "text",
        "colour": "text",
        "province_code": "text",
        "province": "text",
        "province_before": "text",
        "direction": "text",
        "lane": "text",
        "vehicle_class": "text",
        "speed_kmh": "number",
        "lines": "count",
        "frames": "count",
        "reads": "count",
        "tainted": "flag",
        "unreadable": "text",
        "plate_sha256": "picture",
        "overview_sha256": "picture",
        "pipeline": "text",
        "state": "text",
        "revision": "count",
        "id": "text",
    },
    Hit: {
        "seen": "time",
        "site_id": "text",
        "camera_id": "text",
        "severity": "text",
        "text": "text",
        "display": "text",
        "raw": "text",
        "listed": "text",
        "probability": "number",
        "reason": "text",
        "list_name": "text",
        "list_version": "text",
        "entry_reason": "text",
        "authority": "text",
        "reference": "text",
        "rule": "text",
        "rule_version": "text",
        "message_vi": "text",
        "message_en": "text",
        "plate_sha256": "picture",
        "overview_sha256": "picture",
        "state": "text",
        "revision": "count",
        "sighting_id": "text",
        "id": "text",
    },
}


def format_of(path: Path) -> Format:
    """The format that a file's ending names. Raises StoreError."""
    for name in FORMATS:
        if path.suffix.lower() == f".{name}":
            return name
    raise StoreError("the ending names no format", place=str(path), cure="end it with .csv, .jsonl or .parquet")


def find_all(store: Store, query: Query) -> Iterator[Sighting]:
    """All sightings that answer `query`, newest first, a page of `limit` at a time. Raises as `Store.search` does."""
    while True:
        page = store.search(query)
        yield from page.sightings
        if not page.cursor:
            return
        query = replace(query, cursor=page.cursor)


def export(
    records: Iterable[Sighting] | Iterable[Hit],
    path: Path,
    *,
    of: Exported,
    before_given: Callable[[int], object],
) -> int:
    """Write records to a new file, and return how many rows it has.

    `before_given(rows)` is called once all is on disk and before the file has its name; if it raises, there is no
    file. Raises StoreError if the file is there already or cannot be written, or a package is missing.
    """
    write = _WRITERS[format_of(path)]
    with told_as_store_errors(path):
        _refuse_present(path)
        half = half_of(path, os.getpid())
        descriptor = os.open(half, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                rows = write(file, records, of, path)
                file.flush()
                os.fsync(descriptor)
            before_given(rows)
            _refuse_present(path)
            half.rename(path)
            sync_folder(path.parent)
        finally:
            half.unlink(missing_ok=True)
    return rows


def defused(text: str) -> str:
    """`text` as a cell that no spreadsheet runs."""
    return _FORMULA.sub("'", text)


def _refuse_present(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise StoreError("is there already", place=str(path), cure="give a new name; nothing is overwritten")


def _rows(records: Iterable[Sighting | Hit], of: Exported) -> Iterator[list[Any]]:
    columns = _COLUMNS[of]
    for record in records:
        pictures = {f"{each.kind}_sha256": each.sha256 for each in record.evidence}
        yield [
            datetime.fromtimestamp(record.seen_seconds, UTC)
            if kind == "time"
            else pictures.get(name, "")
            if kind == "picture"
            else getattr(record, name)
            for name, kind in columns.items()
        ]


def _write_csv(file: BinaryIO, records: Iterable[Sighting | Hit], of: Exported, path: Path) -> int:
    """With a byte order mark: without it, spreadsheets garble Vietnamese."""
    count = 0
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS[of])
    for row in _rows(records, of):
        writer.writerow([_cell(value) for value in row])
        count += 1
    text.detach()  # flushes, and leaves the file open
    return count


def _cell(value: object) -> object:
    match value:
        case str():
            return defused(value)
        case datetime():
            return value.isoformat(timespec="milliseconds")
        case bool():
            return str(value).lower()
        case _:
            return value


def _write_jsonl(file: BinaryIO, records: Iterable[Sighting | Hit], of: Exported, path: Path) -> int:
    encoder = msgspec.json.Encoder()
    count = 0
    for record in records:
        file.write(encoder.encode(record) + b"\n")
        count += 1
    return count


def _write_parquet(file: BinaryIO, records: Iterable[Sighting | Hit], of: Exported, path: Path) -> int:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise StoreError(
            "Parquet needs the package pyarrow",
            place=str(path),
            cure="pip install 'anpr[export]', or write .csv or .jsonl",
        ) from error
    types = {
        "time": arrow.timestamp("ms", tz="UTC"),
        "number": arrow.float64(),
        "count": arrow.int64(),
        "flag": arrow.bool_(),
    }
    schema = arrow.schema([(name, types.get(kind, arrow.string())) for name, kind in _COLUMNS[of].items()])
    count = 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        rows = _rows(records, of)
        while batch := list(islice(rows, _ROWS_AT_ONCE)):
            columns = [list(column) for column in zip(*batch, strict=True)]
            writer.write_table(
                arrow.Table.from_arrays(
                    [arrow.array(column, field.type, safe=False) for column, field in zip(columns, schema)],
                    schema=schema,
                )
            )
            count += len(batch)
    return count


_WRITERS: dict[Format, Callable[[BinaryIO, Iterable[Sighting | Hit], Exported, Path], int]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}
