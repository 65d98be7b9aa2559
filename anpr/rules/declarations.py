"""All declarations of a box: imported from CSV, or pushed one by one and then kept in a file of their own."""

from __future__ import annotations

import os
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import msgspec

from anpr.errors import DeclarationError
from anpr.metrics import Counters
from anpr.rules.declaration import Declaration, read_csv, read_declaration


@dataclass(slots=True)
class Declarations:
    """All that is declared, by plate. Use from one thread."""

    counters: Counters = field(default_factory=Counters)
    _by_plate: dict[str, list[Declaration]] = field(default_factory=dict)
    """In order of declaration."""
    _ids: dict[str, Declaration] = field(default_factory=dict)
    _journal: Path | None = None

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, plate: str) -> bool:
        """Whether there is a declaration of a plate."""
        return bool(self._by_plate.get(plate))

    def newest(self, plate: str, types: frozenset[str] | None, known_seconds: float) -> Declaration | None:
        """The newest declaration of a plate, of one of `types`, that was made by then."""
        for declaration in reversed(self._by_plate.get(plate, ())):
            if declaration.declared_seconds <= known_seconds and (types is None or declaration.type in types):
                return declaration
        return None

    def add(self, declaration: Declaration) -> None:
        """Take in one declaration; one of the same id takes the place of the earlier."""
        earlier = self._ids.get(declaration.id)
        if earlier is not None:
            self._by_plate[earlier.plate].remove(earlier)
        self._ids[declaration.id] = declaration
        insort(self._by_plate.setdefault(declaration.plate, []), declaration, key=_age)

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
            try:
                with self._journal.open("ab") as file:
                    file.write(msgspec.json.encode(written) + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise DeclarationError(
                    f"cannot be kept: {error.strerror}", place=str(self._journal), cure="is the disk full?"
                ) from error
        self.add(declaration)
        self.counters.add("declarations_pushed")
        return declaration

    def open_journal(self, path: Path, *, forget_before_seconds: float = -inf) -> None:
        """Take in what was pushed in earlier lives, and keep from now on what is pushed.

        What was declared before a time and no longer holds is forgotten. A half-written last line, from a power cut, is
        cut off: its sender was never answered. Raises DeclarationError if a whole line is damaged, or the disk fails.
        """
        try:
            data = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise DeclarationError(f"cannot be read: {error.strerror}", place=str(path)) from error
        whole = data[: data.rfind(b"\n") + 1]
        kept: list[bytes] = []
        for number, line in enumerate(whole.splitlines(keepends=True), start=1):
            try:
                fields = msgspec.json.decode(line, type=dict[str, str])
                declaration = read_declaration(fields, place=f"{path}:{number}")
            except (msgspec.MsgspecError, DeclarationError) as error:
                raise DeclarationError(
                    f"the line is damaged: {error}", place=f"{path}:{number}", cure="remove the line"
                ) from error
            if max(declaration.declared_seconds, declaration.valid_until_seconds or 0.0) >= forget_before_seconds:
                self.add(declaration)
                kept.append(line)
        if len(whole) < len(data):
            self.counters.add("declarations_cut_off")
        if b"".join(kept) != data:
            _replace(path, b"".join(kept))
        self._journal = path

    def load(self, path: Path) -> int:
        """Take in a CSV file; how many rows it had. Raises DeclarationError with the problems of all rows, and then
        nothing changed."""
        declarations = read_csv(path)
        for declaration in declarations:
            self.add(declaration)
        return len(declarations)


def _age(declaration: Declaration) -> tuple[float, str]:
    return declaration.declared_seconds, declaration.id


def _replace(path: Path, data: bytes) -> None:
    """Put `data` in the place of a file, whole or not at all. Raises DeclarationError."""
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise DeclarationError(
            f"cannot be written: {error.strerror}", place=str(path), cure="is the disk full?"
        ) from error


def _written(value: object) -> str:
    if isinstance(value, list):
        return ";".join(_written(part) for part in value)
    return value if isinstance(value, str) else str(value)
