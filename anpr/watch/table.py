"""The entries of a watch-list by columns: a million in some 70 MB, each made an `Entry` when it is asked for."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import Any, get_args, overload

import numpy as np
from numpy.typing import NDArray

from anpr.plates.forms import Kind
from anpr.records import Severity
from anpr.watch.entries import SEVERITIES, Entry

KINDS: tuple[Kind, ...] = get_args(Kind)
RANKS: tuple[Severity, ...] = tuple(SEVERITIES.values())
NONE = -1
"""Of a kind or a severity that an entry does not give."""
PLATE = np.dtype("S12")
_BLOCK = 65_536
"""Rows of which the texts are gathered at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Texts(Sequence[str]):
    """One text for each entry, all in one piece."""

    data: bytes
    """UTF-8."""
    ends: NDArray[np.int32]
    """Per entry, where its text ends in `data`."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """The texts, in their order."""
        texts = tuple(texts)
        if not any(texts):
            return cls(b"", np.zeros(len(texts), np.int32))
        joined = ("\0".join(texts) + "\0").encode()
        marks = np.flatnonzero(np.frombuffer(joined, np.uint8) == 0)
        if len(marks) != len(texts):
            raise ValueError("a text of an entry holds a NUL")
        return cls(joined.replace(b"\0", b""), (marks - np.arange(len(texts))).astype(np.int32))

    @classmethod
    def joined(cls, parts: Sequence[Texts]) -> Texts:
        """The texts of several, one after the other."""
        starts = np.cumsum([0, *(len(part.data) for part in parts)])
        ends = [part.ends + start for part, start in zip(parts, starts)]
        return cls(
            b"".join(part.data for part in parts), np.concatenate([*ends, np.zeros(0, np.int32)]).astype(np.int32)
        )

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[str]: ...
    def __getitem__(self, row: int | slice) -> str | Sequence[str]:
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
        row = range(len(self))[row]
        return self.data[self.ends[row - 1] if row else 0 : self.ends[row]].decode()

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Bytes of each text."""
        return np.diff(self.ends, prepend=np.int32(0))

    def gather(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """The bytes of the texts at `rows`, one after the other."""
        lengths = self.lengths[rows].astype(np.int64)
        starts = self.ends[rows] - lengths
        shift = np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
        return np.frombuffer(self.data, np.uint8)[shift + np.arange(len(shift))]

    def take(self, rows: NDArray[np.intp]) -> Texts:
        """The texts at `rows`."""
        data = b"".join(self.gather(rows[at : at + _BLOCK]).tobytes() for at in range(0, len(rows), _BLOCK))
        return Texts(data, np.cumsum(self.lengths[rows], dtype=np.int32))


@dataclass(frozen=True, slots=True, eq=False)
class Entries(Sequence[Entry]):
    """Columns of one length."""

    plates: NDArray[np.bytes_]
    """`PLATE`: the plate or the pattern in the engine's form."""
    kinds: NDArray[np.int8]
    """Place in `KINDS`, or `NONE`."""
    severities: NDArray[np.int8]
    """Place in `RANKS`, or `NONE`: the list's."""
    valid_from_seconds: NDArray[np.float64]
    """-inf: always."""
    valid_until_seconds: NDArray[np.float64]
    """inf: for ever."""
    lines: NDArray[np.int32]
    reasons: Texts
    authorities: Texts
    references: Texts

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Entries:
        """The columns of some entries."""
        entries = tuple(entries)
        return cls(
            plates=np.array([entry.plate.encode() for entry in entries], PLATE),
            kinds=np.array([NONE if each.kind is None else KINDS.index(each.kind) for each in entries], np.int8),
            severities=np.array(
                [NONE if each.severity is None else RANKS.index(each.severity) for each in entries], np.int8
            ),
            valid_from_seconds=np.array(
                [-inf if each.valid_from_seconds is None else each.valid_from_seconds for each in entries], np.float64
            ),
            valid_until_seconds=np.array(
                [inf if each.valid_until_seconds is None else each.valid_until_seconds for each in entries], np.float64
            ),
            lines=np.array([entry.line for entry in entries], np.int32),
            reasons=Texts.of(entry.reason for entry in entries),
            authorities=Texts.of(entry.authority for entry in entries),
            references=Texts.of(entry.reference for entry in entries),
        )

    @classmethod
    def joined(cls, parts: list[Entries]) -> Entries:
        """The entries of several, one after the other. Empties `parts`, and gives each column back as it is done."""
        if not parts:
            return cls.of(())
        columns: deque[tuple[Any, ...]] = deque(
            zip(*(tuple(getattr(part, each.name) for each in fields(cls)) for part in parts))
        )
        parts.clear()
        joined: list[Any] = []
        while columns:
            column = columns.popleft()
            joined.append(Texts.joined(column) if isinstance(column[0], Texts) else np.concatenate(column))
            del column
        return cls(*joined)

    def __repr__(self) -> str:
        return f"Entries({len(self)})"

    def __len__(self) -> int:
        return len(self.plates)

    @overload
    def __getitem__(self, row: int) -> Entry: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Entry]: ...
    def __getitem__(self, row: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
        row = range(len(self))[row]
        kind, severity = int(self.kinds[row]), int(self.severities[row])
        begin, end = float(self.valid_from_seconds[row]), float(self.valid_until_seconds[row])
        return Entry(
            plate=self.plates[row].decode(),
            kind=None if kind == NONE else KINDS[kind],
            reason=self.reasons[row],
            severity=None if severity == NONE else RANKS[severity],
            authority=self.authorities[row],
            valid_from_seconds=None if begin == -inf else begin,
            valid_until_seconds=None if end == inf else end,
            reference=self.references[row],
            line=int(self.lines[row]),
        )

    def __iter__(self) -> Iterator[Entry]:
        return map(self.__getitem__, range(len(self)))

    @property
    def patterns(self) -> NDArray[np.intp]:
        """The rows whose plate is a pattern."""
        wild = np.char.find(self.plates, b"?") >= 0
        wild |= np.char.find(self.plates, b"*") >= 0
        return np.flatnonzero(wild)

    def take(self, rows: NDArray[np.intp]) -> Entries:
        """The entries at `rows`."""
        return Entries(
            plates=self.plates[rows],
            kinds=self.kinds[rows],
            severities=self.severities[rows],
            valid_from_seconds=self.valid_from_seconds[rows],
            valid_until_seconds=self.valid_until_seconds[rows],
            lines=self.lines[rows],
            reasons=self.reasons.take(rows),
            authorities=self.authorities.take(rows),
            references=self.references.take(rows),
        )

    def order(self) -> NDArray[np.intp]:
        """The rows by plate, then by the time from which they hold, then by line."""
        return np.lexsort((self.lines, self.valid_from_seconds, self.plates))

    def version(self) -> str:
        """16 hexadecimal digits that stand for the entries, in any order; lines do not count."""
        digest = hashlib.sha256()
        order = self.order()
        for column in (self.plates, self.kinds, self.severities, self.valid_from_seconds, self.valid_until_seconds):
            digest.update(column[order].tobytes())
        for texts in (self.reasons, self.authorities, self.references):
            digest.update(texts.lengths[order].tobytes())
            for at in range(0, len(order), _BLOCK):
                digest.update(texts.gather(order[at : at + _BLOCK]).tobytes())
        return digest.hexdigest()[:16]

    def same(self, rows: NDArray[np.intp], other: Entries, other_rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Pair by pair, whether the entries at `rows` are those at `other_rows` of another list, lines aside."""
        equal = np.ones(len(rows), np.bool_)
        for mine, its in (
            (self.plates, other.plates),
            (self.kinds, other.kinds),
            (self.severities, other.severities),
            (self.valid_from_seconds, other.valid_from_seconds),
            (self.valid_until_seconds, other.valid_until_seconds),
            (self.reasons.lengths, other.reasons.lengths),
            (self.authorities.lengths, other.authorities.lengths),
            (self.references.lengths, other.references.lengths),
        ):
            equal &= mine[rows] == its[other_rows]
        for my_texts, its_texts in (
            (self.reasons, other.reasons),
            (self.authorities, other.authorities),
            (self.references, other.references),
        ):
            alike = np.flatnonzero(equal)
            for at in range(0, len(alike), _BLOCK):
                pairs = alike[at : at + _BLOCK]
                lengths = my_texts.lengths[rows[pairs]]
                bytes_differ = my_texts.gather(rows[pairs]) != its_texts.gather(other_rows[pairs])
                equal[np.repeat(pairs, lengths)[bytes_differ]] = False
        return equal
