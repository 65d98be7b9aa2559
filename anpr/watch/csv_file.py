"""A watch-list as a CSV file.

Each physical line is one row: a stray quote spoils its own line and cannot swallow those after it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import BinaryIO

from anpr.watch import rows
from anpr.watch.columns import EMPTY, read_header, wrong_width
from anpr.watch.entries import Problem
from anpr.watch.rows import Parsed, Refused, RowReader

MAX_LINE = 8_192
"""Characters."""
SAVE_AS = "save it as CSV UTF-8"
_BLOCK_BYTES = 1 << 20
_BLANKS = " \t,;"
_LINE_END = re.compile("\r\n|\n|\r")


def parse_csv(file: BinaryIO) -> Parsed:
    """What a CSV file with a header says."""
    reader = RowReader()
    try:
        _check(file)
        delimiter, columns = "", list[str]()
        for first, lines in _blocks(file):
            numbers: Sequence[int] = range(first, first + len(lines))
            filled = [bool(line.strip(_BLANKS)) for line in lines]
            if not all(filled):
                numbers, lines = [*compress(numbers, filled)], [*compress(lines, filled)]
            if lines and not columns:
                delimiter = next((mark for mark in ",;\t" if mark in lines[0]), ",")
                columns = read_header(_split(lines[0], numbers[0], delimiter), line=numbers[0], text=lines[0])
                numbers, lines = numbers[1:], lines[1:]
            if lines:
                _take(reader, numbers, lines, columns, delimiter)
        if not columns:
            raise Refused(EMPTY)
    except Refused as refused:
        return Parsed.refused(refused.problems)
    return reader.finish()


def _check(file: BinaryIO) -> None:
    """Raises Refused for what is wrong with the file as a whole and can be told at once."""
    feeds = carriages = 0
    last = b""
    while block := file.read(_BLOCK_BYTES):
        if not last and block.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise Refused(Problem(0, "", "", "the file is UTF-16", SAVE_AS))
        if b"\0" in block:
            line = feeds + block.count(b"\n", 0, block.index(b"\0")) + 1
            raise Refused(Problem(line, "", "", "the line holds a NUL byte: damaged, or UTF-16", SAVE_AS))
        feeds += block.count(b"\n")
        carriages += block.count(b"\r")
        last = block[-1:]
    lines = max(feeds, carriages) + (last not in (b"\n", b"\r"))
    if lines - 1 > rows.MAX_ENTRIES:
        raise Refused(Problem(0, "", "", f"{lines - 1} rows are too many", f"at most {rows.MAX_ENTRIES}"))
    file.seek(0)


def _blocks(file: BinaryIO) -> Iterator[tuple[int, list[str]]]:
    """The file in pieces of whole lines, each with the number of its first line."""
    number = 1
    for block in _whole_lines(file):
        try:
            text = block.decode()
        except UnicodeDecodeError as error:
            line = number + len(_LINE_END.findall(block[: error.start].decode()))
            what = f"byte 0x{block[error.start]:02x} is not UTF-8"
            raise Refused(Problem(line, "", "", what, SAVE_AS)) from error
        lines = _LINE_END.split(text.removeprefix("\ufeff") if number == 1 else text)
        if text.endswith(("\n", "\r")):
            lines.pop()
        yield number, lines
        number += len(lines)


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    rest = b""
    while piece := file.read(max(_BLOCK_BYTES, len(rest))):  # as much again for a line without end
        block = rest + piece
        end = block.rfind(b"\n") + 1 or block.rfind(b"\r", 0, -1) + 1
        if end:
            yield block[:end]
        rest = block[end:]
    if rest:
        yield rest


def _take(
    reader: RowReader, numbers: Sequence[int], lines: Sequence[str], columns: Sequence[str], delimiter: str
) -> None:
    """Split some lines, and have the fields read."""
    width = len(columns)
    quoted = any('"' in line for line in lines)
    if quoted or {line.count(delimiter) for line in lines} != {width - 1} or len(max(lines, key=len)) > MAX_LINE:
        numbers, fields = _take_singly(reader, numbers, lines, columns, delimiter)
    else:
        # Not a list for each line: so many objects would have the collector stop all threads again and again.
        fields = delimiter.join(lines).split(delimiter)
    reader.take(numbers, {name: [*map(str.strip, fields[at::width])] for at, name in enumerate(columns)})


def _take_singly(
    reader: RowReader, numbers: Sequence[int], lines: Sequence[str], columns: Sequence[str], delimiter: str
) -> tuple[list[int], list[str]]:
    """The numbers of the lines that can be split, and their fields, one line's after the other's."""
    good: list[int] = []
    fields: list[str] = []
    for number, line in zip(numbers, lines):
        try:
            row = _split(line, number, delimiter)
            if len(row) != len(columns):
                cure = f'put a field that holds "{delimiter}" in quotes'
                raise Refused(wrong_width(len(row), len(columns), line=number, text=line, cure=cure))
        except Refused as refused:
            reader.refuse(*refused.problems)
            continue
        good.append(number)
        fields.extend(row)
    return good, fields


def _split(line: str, number: int, delimiter: str) -> list[str]:
    if len(line) > MAX_LINE:
        raise Refused(_too_long(line, number))
    try:
        fields = next(csv.reader([line], strict=True, delimiter=delimiter))
    except csv.Error as error:
        cure = 'close the quote on the same line, and write " inside quotes as ""'
        raise Refused(Problem(number, "", line[:80], f"broken quoting: {error}", cure)) from error
    # A field that rightly holds a quote stands in the line in quotes, with the quote doubled.
    stray = next((field for field in fields if '"' in field and _quoted(field) not in line), "")
    if stray:
        raise Refused(Problem(number, "", stray[:80], "stray quote", 'write " inside quotes as ""'))
    return [field.strip() for field in fields]


def _quoted(field: str) -> str:
    return '"' + field.replace('"', '""') + '"'


def _too_long(line: str, number: int) -> Problem:
    return Problem(number, "", line[:80], f"{len(line)} characters are too many", f"at most {MAX_LINE}")
