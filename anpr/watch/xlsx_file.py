"""A watch-list as a workbook of a spreadsheet (XLSX): one sheet, the header in its first row that is not empty."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from anpr.watch import rows
from anpr.watch.columns import EMPTY, read_header
from anpr.watch.entries import Problem
from anpr.watch.rows import Parsed, Refused, RowReader

if TYPE_CHECKING:
    from openpyxl.workbook import Workbook

MAX_UNPACKED_BYTES = 256 * 2**20
MAX_MEMBERS = 1_000
MAX_RATIO = 200
"""How many times larger a member may be than its packed form, beyond a megabyte: more is a zip bomb."""
AS_TEXT = "format the column as text and write the plates anew"
_WIDEST = 64
"""Columns that are looked at: what stands beside the table is no part of it, but is told."""
_SMALL_BYTES = 1 << 20


def parse_xlsx(data: bytes) -> Parsed:
    """What the bytes of a workbook say. Needs the package openpyxl."""
    reader = RowReader()
    try:
        _check(data)
        columns: list[str] = []
        numbers: list[int] = []
        fields: list[list[str]] = []
        for number, cells in _rows(data):
            if number - 1 > rows.MAX_ENTRIES:
                raise Refused(Problem(number, "", "", "the rows are too many", f"at most {rows.MAX_ENTRIES}"))
            if not columns:
                names = [str(cell.value or "").strip() for cell in cells]
                while names and not names[-1]:
                    names.pop()
                columns = read_header(names, line=number, text=",".join(names))
                continue
            row, problems = _fields(cells, columns, number)
            if problems:
                reader.refuse(*problems)
                continue
            numbers.append(number)
            fields.append(row)
            if len(numbers) == rows.CHUNK:
                reader.take(numbers, dict(zip(columns, zip(*fields))))
                numbers, fields = [], []
        if not columns:
            raise Refused(EMPTY)
    except Refused as refused:
        return Parsed.refused(refused.problems)
    reader.take(numbers, dict(zip(columns, zip(*fields))))
    return reader.finish()


def _check(data: bytes) -> None:
    """Raises Refused for a file that is no workbook, or would grow without measure."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError) as error:
        raise Refused(Problem(0, "", "", f"no workbook: {error}", "save it as XLSX anew, or as CSV UTF-8")) from error
    unpacked = sum(member.file_size for member in members)
    bombs = [
        member
        for member in members
        if member.file_size > _SMALL_BYTES and member.file_size > MAX_RATIO * max(member.compress_size, 1)
    ]
    if len(members) > MAX_MEMBERS or unpacked > MAX_UNPACKED_BYTES or bombs:
        what = f"{len(members)} parts, {unpacked / 2**20:.0f} MiB unpacked, are too many for a watch-list"
        raise Refused(Problem(0, "", "", what, "copy the plates into a new workbook, or save it as CSV UTF-8"))
    if any(member.flag_bits & 1 for member in members):
        raise Refused(Problem(0, "", "", "the workbook has a password", "save it without one"))


def _rows(data: bytes) -> Iterator[tuple[int, Sequence[Any]]]:
    """The rows of the one sheet that are not empty, with their numbers."""
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        cure = "pip install 'anpr[xlsx]', or save it as CSV UTF-8"
        raise Refused(Problem(0, "", "", "reading workbooks needs the package openpyxl", cure)) from error
    try:
        book = load_workbook(io.BytesIO(data), read_only=True, keep_links=False)
        try:
            yield from _rows_of(book)
        finally:
            book.close()
    except Refused:
        raise
    except Exception as error:  # what the package raises for a damaged file depends on where the damage is
        what = f"the workbook is damaged: {type(error).__name__}: {error}"[:200]
        raise Refused(Problem(0, "", "", what, "save it as XLSX anew, or as CSV UTF-8")) from error


def _rows_of(book: Workbook) -> Iterator[tuple[int, Sequence[Any]]]:
    filled = []
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # what the file says of its size may be wrong
        if any(map(_is_filled, sheet.iter_rows(max_col=_WIDEST))):
            filled.append(sheet)
    if len(filled) > 1:
        names = ", ".join(sheet.title for sheet in filled[:5])
        what = f"{len(filled)} sheets have something in them: {names}"
        raise Refused(Problem(0, "", "", what, "leave one sheet"))
    for sheet in filled:
        for number, row in enumerate(sheet.iter_rows(max_col=_WIDEST), start=1):
            if _is_filled(row):
                yield number, row


def _is_filled(cells: Sequence[Any]) -> bool:
    return any(cell.value not in (None, "") for cell in cells)


def _fields(cells: Sequence[Any], columns: Sequence[str], number: int) -> tuple[list[str], list[Problem]]:
    """The texts of one row's cells, or what is wrong with them."""
    fields: list[str] = []
    problems: list[Problem] = []
    for name, cell in zip(columns, cells):
        text, what, cure = _text(cell, name)
        if what:
            problems.append(Problem(number, name, str(cell.value)[:80], what, cure))
        fields.append(text)
    outside = next((cell for cell in cells[len(columns) :] if str(cell.value or "").strip()), None)
    if outside is not None:
        what, cure = "a cell outside the columns of the header", "remove it, or name its column"
        problems.append(Problem(number, "", str(outside.value)[:80], what, cure))
    return [*fields, *[""] * (len(columns) - len(fields))], problems


def _text(cell: Any, column: str) -> tuple[str, str, str]:
    """A cell as the text that a person sees in it; else what is wrong with it, and the cure."""
    value = cell.value
    match value:
        case None:
            return "", "", ""
        case _ if cell.data_type == "f":
            return "", "the cell holds a formula", "copy the column and paste its values"
        case _ if cell.data_type == "e":
            return "", f"the cell holds the error {value}", "correct it"
        case str():
            return value.strip(), "", ""
        case bool():
            return "", f"the cell holds {value}, no text", "format the column as text"
        case _ if column == "plate":
            kind = "a date" if isinstance(value, date | time) else "the number"
            return "", f"the spreadsheet turned the plate into {kind} {value}", AS_TEXT
        case datetime() if value.time() == time() and column in ("valid_from", "valid_until"):
            return value.date().isoformat(), "", ""
        case datetime():
            return value.replace(microsecond=0).isoformat(), "", ""
        case float() if value.is_integer():
            return str(int(value)), "", ""
        case _:
            return str(value), "", ""
