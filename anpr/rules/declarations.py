"""All declarations of a box: imported from CSV, or pushed one by one and then kept in a file of their own."""

from __future__ import annotations

import errno
import os
from bisect import insort
from collections.abc import Container, Iterable, Mapping, Set
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from anpr.errors import DeclarationError
from anpr.metrics import Counters
from anpr.rules.declaration import Declaration, read_declaration

MOST_TOLD = 5
"""Damaged lines whose numbers are logged."""


@dataclass(slots=True)
class Shelf:
    """Declarations by plate; no two have one id."""

    _by_plate: dict[str, list[Declaration]] = field(default_factory=dict)
    """In order of declaration."""
    _ids: dict[str, Declaration] = field(default_factory=dict)

    @classmethod
    def of(cls, declarations: Iterable[Declaration]) -> Shelf:
        """Of several with the same id the last counts."""
        shelf = cls()
        for declaration in declarations:
            shelf.add(declaration)
        return shelf

    @property
    def ids(self) -> Set[str]:
        """Of all declarations."""
        return self._ids.keys()

    @property
    def plates(self) -> int:
        """How many different ones there are."""
        return len(self._by_plate)

    def __contains__(self, plate: str) -> bool:
        return plate in self._by_plate

    def add(self, declaration: Declaration) -> None:
        """Take in one; one of the same id takes the place of the earlier."""
        earlier = self._ids.get(declaration.id)
        if earlier is not None:
            others = self._by_plate[earlier.plate]
            others.remove(earlier)
            if not others:
                del self._by_plate[earlier.plate]
        self._ids[declaration.id] = declaration
        insort(self._by_plate.setdefault(declaration.plate, []), declaration, key=_age)

    def newest(
        self, plate: str, types: frozenset[str] | None, known_seconds: float, *, but: Container[str] = ()
    ) -> Declaration | None:
        """The newest declaration of a plate, of one of `types`, that was made by then and whose id is not in `but`."""
        for declaration in reversed(self._by_plate.get(plate, ())):
            if declaration.declared_seconds > known_seconds or (types is not None and declaration.type not in types):
                continue
            if declaration.id not in but:
                return declaration
        return None


@dataclass(slots=True)
class Declarations:
    """All that is declared: what the file says, and what was pushed, which takes its place where the ids are the same.

    Use from one thread.
    """

    counters: Counters = field(default_factory=Counters)
    _filed: Shelf = field(default_factory=Shelf)
    _pushed: Shelf = field(default_factory=Shelf)
    _journal: Path | None = None

    def __len__(self) -> int:
        return len(self._filed.ids | self._pushed.ids)

    def __contains__(self, plate: str) -> bool:
        """Whether there may be a declaration of a plate."""
        return plate in self._pushed or plate in self._filed

    def newest(self, plate: str, types: frozenset[str] | None, known_seconds: float) -> Declaration | None:
        """The newest declaration of a plate, of one of `types`, that was made by then."""
        pushed = self._pushed.newest(plate, types, known_seconds)
        filed = self._filed.newest(plate, types, known_seconds, but=self._pushed.ids)
        if pushed is None or filed is None:
            return pushed or filed
        return max(pushed, filed, key=_age)

    def add(self, declaration: Declaration) -> None:
        """Take in one declaration that does not stand in the file; it takes the place of any of the same id."""
        self._pushed.add(declaration)

    def replace_filed(self, shelf: Shelf) -> None:
        """Have the file say this, from now on, in place of what it said."""
        self._filed = shelf

    def push(self, fields: Mapping[str, object]) -> Declaration:
        """Take in what somebody sent, durably if a journal is open: it is on disk when this returns.

        Raises DeclarationError with everything that is wrong; then nothing changed.
        """
        written = {name: _written(value) for name, value in fields.items() if value is not None}
        try:
            declaration = read_declaration(written, place="pushed declaration")
        except DeclarationError:
            self.counters.add("declarations_refused")
            raise
        if self._journal is not None:
            _append(self._journal, msgspec.json.encode(written) + b"\n")
        self.add(declaration)
        self.counters.add("declarations_pushed")
        return declaration

    def open_journal(self, path: Path, *, forget_before_seconds: float = -inf) -> None:
        """Take in what was pushed in earlier lives, and keep from now on what is pushed.

        What was declared before a time and no longer holds is forgotten. A half-written last line, from a power cut, is
        cut off: its sender was never answered. Other lines that are damaged are told of, and put aside into a file
        beside it: they must not keep the box from starting. Raises DeclarationError if the disk fails.
        """
        try:
            data = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise DeclarationError(f"cannot be read: {error.strerror}", place=str(path)) from error
        whole = data[: data.rfind(b"\n") + 1]
        kept: list[bytes] = []
        damaged: dict[int, bytes] = {}
        for number, line in enumerate(whole.splitlines(keepends=True), start=1):
            try:
                fields = msgspec.json.decode(line, type=dict[str, str])
                declaration = read_declaration(fields, place=f"{path}:{number}")
            except (msgspec.MsgspecError, DeclarationError):
                damaged[number] = line
                continue
            if max(declaration.declared_seconds, declaration.valid_until_seconds or 0.0) >= forget_before_seconds:
                self.add(declaration)
                kept.append(line)
        if len(whole) < len(data):
            self.counters.add("declarations_cut_off")
        if damaged:
            aside = path.with_suffix(".damaged")
            _write(aside, b"".join(damaged.values()), mode="ab")
            self.counters.add("declarations_damaged", len(damaged))
            first = list(damaged)[:MOST_TOLD]
            structlog.get_logger().error("declarations_damaged", count=len(damaged), lines=first, aside=str(aside))
        if b"".join(kept) != data:
            _replace(path, b"".join(kept))
        self._journal = path


def _age(declaration: Declaration) -> tuple[float, str]:
    return declaration.declared_seconds, declaration.id


def _append(path: Path, line: bytes) -> None:
    """Add a line to a file, durably, or nothing: half of it would spoil the next. Raises DeclarationError."""
    try:
        with path.open("ab", buffering=0) as file:
            end = file.tell()
            try:
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise DeclarationError(
            f"cannot be kept: {error.strerror}", place=str(path), cure="is the disk full?"
        ) from error


def _replace(path: Path, data: bytes) -> None:
    """Put `data` in the place of a file, whole or not at all. Raises DeclarationError."""
    fresh = path.with_suffix(".new")
    _write(fresh, data, mode="wb")
    try:
        fresh.replace(path)
    except OSError as error:
        raise DeclarationError(f"cannot be written: {error.strerror}", place=str(path)) from error


def _write(path: Path, data: bytes, *, mode: Literal["wb", "ab"]) -> None:
    """Write to a file, durably. Raises DeclarationError."""
    try:
        with path.open(mode) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DeclarationError(
            f"cannot be written: {error.strerror}", place=str(path), cure="is the disk full?"
        ) from error


def _written(value: object) -> str:
    if isinstance(value, list):
        return ";".join(_written(part) for part in value)
    return value if isinstance(value, str) else str(value)
