"""A watch-list as a JSON file: an array of entries, or an object with what holds for the whole list and `entries`.

{"purpose": "vehicles reported stolen", "severity": "ALERT", "entries": [
  {"plate": "30A-123.45", "reason": "stolen on 3 March"},
  {"plate": "29-H1 123.45"}
]}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from anpr.watch import rows
from anpr.watch.columns import EMPTY, unknown_column
from anpr.watch.entries import COLUMNS, Problem
from anpr.watch.rows import Parsed, Refused, RowReader

ENTRIES = "entries"
_SPACE = re.compile(r"[ \t\r\n]*")
_LINE_END = re.compile("\r\n|\n|\r")
_MAX_SHOWN = 80
_MAX_VALUE = 1 << 17
"""Characters of an entry, or of a value of the head."""
_USUAL_VALUE = 2_048
_LOOKAHEAD = 16
"""Characters that the decoder may need to know what stands at a place."""


def parse_json(data: bytes) -> Parsed:
    """What the bytes of a JSON file say."""
    reader = RowReader(numbered=True)
    lines: list[int] = []
    head: dict[str, object] = {}
    head_lines: dict[str, int] = {}
    try:
        document = _Document(_decode(data))
        del data  # as large as the text
        if document.at("["):
            _take_all(reader, document, lines)
        elif document.at("{"):
            for key, line in document.members():
                if key in head_lines:
                    raise Refused(Problem(line, key[:80], "", f"{key[:80]!r} is there twice", "remove one"))
                head_lines[key] = line
                if key == ENTRIES:
                    if not document.at("["):
                        raise Refused(Problem(line, ENTRIES, "", "should be an array", '"entries": [{"plate": "…"}]'))
                    _take_all(reader, document, lines)
                else:
                    head[key] = document.value()
            if ENTRIES not in head_lines:
                raise Refused(Problem(1, ENTRIES, "", "the list has no entries", 'add "entries": [{"plate": "…"}]'))
        else:
            raise Refused(Problem(document.line, "", "", "no list", 'begin with [ or with {"entries": ['))
        document.end()
    except Refused as refused:
        return Parsed.refused(refused.problems)
    parsed = reader.finish(head, head_lines)
    of_entry = np.array([0, *lines], np.int32)
    problems = tuple(replace(each, line=lines[each.entry - 1]) if each.entry else each for each in parsed.problems)
    entries = replace(parsed.entries, lines=of_entry[parsed.entries.lines])
    return replace(parsed, entries=entries, problems=problems)


class _Broken(ValueError):
    """A value that no list may hold."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Broken("a name is there twice in one object")
    return members


def _no_constant(name: str) -> None:
    raise _Broken(f"{name} is no value")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
_AS_WRITTEN = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=str, parse_float=str)
"""Of entries: `51E12345` is no number that was meant."""


class _Document:
    """Walks over a JSON text and knows its line."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._line, self._counted = 1, 0
        self._skip()

    @property
    def line(self) -> int:
        """Of the next value, from 1."""
        self._line += len(_LINE_END.findall(self._text, self._counted, self._position))
        self._counted = self._position
        return self._line

    def at(self, mark: str) -> bool:
        """Whether the next character is `mark`."""
        return self._text.startswith(mark, self._position)

    def value(self, decoder: json.JSONDecoder = _DECODER) -> Any:
        """The next value. Raises Refused if it is none, or too large: nested arrays need a hundred times their text."""
        try:
            value, self._position = self._decoded(decoder)
        except json.JSONDecodeError as error:
            self._position += error.pos
            raise Refused(Problem(self.line, "", "", f"not JSON: {error.msg}", "write it with a program")) from error
        except _Broken as error:
            raise Refused(Problem(self.line, "", "", str(error), "remove it")) from error
        except RecursionError as error:
            raise Refused(Problem(self.line, "", "", "nested too deeply", "write entries as flat objects")) from error
        self._skip()
        return value

    def _decoded(self, decoder: json.JSONDecoder) -> tuple[Any, int]:
        """The next value, of a piece of the text that holds it, and where it ends."""
        for most in (_USUAL_VALUE, _MAX_VALUE):
            piece = self._text[self._position : self._position + most]
            cut = len(piece) == most
            try:
                value, end = decoder.raw_decode(piece)
            except json.JSONDecodeError as error:
                of_the_cut = error.pos > len(piece) - _LOOKAHEAD or error.msg.startswith("Unterminated string")
                if not (cut and of_the_cut):
                    raise
            else:
                if end < len(piece) or not cut:  # a number may go on after the piece
                    return value, self._position + end
        what = f"not JSON, or a value of more than {_MAX_VALUE} characters"
        raise Refused(Problem(self.line, "", "", what, "write it with a program, and entries as flat objects"))

    def members(self) -> Iterator[tuple[str, int]]:
        """The names of an object's members with their lines; the caller reads each value."""
        for line in self._parts("{", "}"):
            key = self.value() if self.at('"') else None
            if not isinstance(key, str):
                raise Refused(Problem(line, "", "", "a name in quotes should stand here", "write it with a program"))
            self._expect(":")
            yield key, line

    def items(self) -> Iterator[tuple[int, Any]]:
        """The items of an array with their lines. Raises Refused, with the number of the item."""
        number = 0
        try:
            for line in self._parts("[", "]"):
                number += 1
                yield line, self.value(_AS_WRITTEN)
        except Refused as refused:
            raise Refused(*(replace(problem, entry=number) for problem in refused.problems)) from refused

    def end(self) -> None:
        """Raises Refused if something follows."""
        if self._position < len(self._text):
            raise Refused(Problem(self.line, "", "", "something follows the end of the list", "remove it"))

    def _parts(self, begin: str, end: str) -> Iterator[int]:
        self._expect(begin)
        if not self.at(end):
            yield self.line
            while self.at(","):
                self._expect(",")
                yield self.line
        self._expect(end)

    def _expect(self, mark: str) -> None:
        if not self.at(mark):
            what = f"{mark} should stand here" if self._position < len(self._text) else "the file ends too early"
            raise Refused(Problem(self.line, "", "", f"not JSON: {what}", "check that the file is whole"))
        self._position += 1
        self._skip()

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._position)
        self._position = match.end() if match else self._position


def _decode(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = "the file is UTF-16" if data[:1] in b"\xff\xfe" else f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise Refused(Problem(line, "", "", what, "save it as UTF-8")) from error
    if not text.strip():
        raise Refused(EMPTY)
    return text


def _take_all(reader: RowReader, document: _Document, lines: list[int]) -> None:
    """Have the entries read, by their numbers, and note the line of each in `lines`."""
    numbers: list[int] = []
    columns: dict[str, list[str]] = {name: [] for name in COLUMNS}
    for line, item in document.items():
        if reader.rows + len(numbers) >= rows.MAX_ENTRIES:
            raise Refused(Problem(line, "", "", "the rows are too many", f"at most {rows.MAX_ENTRIES}"))
        lines.append(line)
        fields, problems = _fields(item, number := len(lines))
        if problems:
            reader.refuse(*problems)
            continue
        numbers.append(number)
        for name, column in columns.items():
            column.append(fields.get(name, ""))
        if len(numbers) == rows.CHUNK:
            reader.take(numbers, columns)
            numbers, columns = [], {name: [] for name in COLUMNS}
    reader.take(numbers, columns)


def _fields(item: Any, number: int) -> tuple[dict[str, str], list[Problem]]:
    """The fields of one entry; null means empty."""
    if not isinstance(item, dict):
        what, shown = "an entry should be an object", str(item)[:_MAX_SHOWN]
        return {}, [Problem(number, "", shown, what, '{"plate": "…"}', entry=number)]
    problems = [unknown_column(name, line=number) for name in item if name not in COLUMNS]
    if "plate" not in item:
        problems.append(Problem(number, "plate", "", "the entry has no plate", "add it"))
    fields = {}
    for name, value in item.items():
        if value is None:
            value = ""
        if not isinstance(value, str):
            problems.append(Problem(number, name[:80], str(value)[:_MAX_SHOWN], "should be a text", "put it in quotes"))
        else:
            fields[name] = value.strip()
    plate = fields.get("plate", "")[: rows.MAX_PLATE]
    return fields, [replace(each, entry=number, plate="" if each.column == "plate" else plate) for each in problems]
