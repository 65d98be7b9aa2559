"""The CSV files that rules ask, registers and declarations: the good rows, and what is wrong with the others.

Each line is one row: a stray quote spoils its own and cannot swallow those after it. Few bad rows are left out and
told, as those of a watch-list are; of a file with more, nothing is taken.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from anpr.config.handed_in import MAX_BAD
from anpr.errors import ConfigError, DeclarationError
from anpr.privacy import Private

MOST_PROBLEMS = 100
"""Told of one file; the others are counted."""
_SAVE_AS = "save it as CSV UTF-8"
_BLANKS = " \t,;\r\n"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The bad rows that a file is taken without."""

    rows: int = 0
    problems: tuple[str, ...] = ()
    """What is wrong with them, each `file:line: column what (cure)`; a row may have several."""


class Sheet:
    """One file with a header. Ask for the rows, refuse the bad ones, then ask what is left out."""

    def __init__(
        self, data: bytes, path: Path, *, refusal: type[ConfigError] | type[DeclarationError], casefold: bool = False
    ) -> None:
        """`casefold`: the header may be in upper case. Raises `refusal` if this is no CSV file in UTF-8."""
        self.place = str(path)
        self._refusal = refusal
        self._rows = self._bad_rows = self._problem_count = 0
        self._problems: list[str] = []
        if b"\0" in data or data.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise refusal("the file is UTF-16 or damaged", place=self.place, cure=_SAVE_AS)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            what = f"byte 0x{data[error.start]:02x} is not UTF-8"
            raise refusal(what, place=f"{self.place}:{line}", cure=_SAVE_AS) from error
        self._lines = enumerate(io.StringIO(text, newline=""), start=1)
        header = next(self._lines, (1, ""))[1]
        self._delimiter = next((mark for mark in ",;\t" if mark in header), ",")
        try:
            names = self._split(header)
        except csv.Error as error:
            raise refusal(f"broken quoting: {error}", place=f"{self.place}:1", cure="close the quote") from error
        self.columns = tuple(name.casefold() for name in names) if casefold else tuple(names)

    def rows(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Each row that has as many fields as the header: its place, `file:line`, and its fields by column."""
        for line, text in self._lines:
            if not text.strip(_BLANKS):
                continue
            self._rows += 1
            place = f"{self.place}:{line}"
            try:
                fields = self._split(text)
            except csv.Error as error:
                self.refuse(f"{place}: broken quoting: {error} (close the quote on the same line)")
                continue
            if len(fields) == len(self.columns):
                yield place, dict(zip(self.columns, fields, strict=True))
            else:
                what = f"{len(fields)} fields where the header has {len(self.columns)}"
                self.refuse(f"{place}: {what} (put texts in quotes)")

    def refuse(self, *problems: str) -> None:
        """Take note of a row that is of no use."""
        self._bad_rows += 1
        self._problem_count += len(problems)
        self._problems += problems[: MOST_PROBLEMS - len(self._problems)]

    def left_out(self) -> LeftOut:
        """What the file is taken without, after its last row. Raises the refusal if that is more than `MAX_BAD`."""
        more = self._problem_count - len(self._problems)
        problems = (*self._problems, *((f"{self.place}: {more} more problems",) if more else ()))
        if self._bad_rows > MAX_BAD * self._rows:
            what = f"{self._bad_rows} of {self._rows} rows are bad"
            first = Private(f"{what}, the first: {problems[0]}", masked=what)
            raise self._refusal(first, place=self.place, problems=problems)
        return LeftOut(self._bad_rows, problems)

    def _split(self, line: str) -> list[str]:
        """The fields of a line. Raises csv.Error."""
        row = next(csv.reader([line.rstrip("\r\n")], strict=True, delimiter=self._delimiter), [])
        return [field.strip() for field in row]
