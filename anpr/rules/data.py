"""Files of what rules ask, registers and declarations: read at the start, and again while the box runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from anpr.config.handed_in import MAX_VANISHING
from anpr.config.signature import Signature, signature_of
from anpr.errors import ConfigError, DeclarationError
from anpr.privacy import masked
from anpr.rules.content import content_of
from anpr.rules.declaration import parse_csv
from anpr.rules.declarations import Declarations, Shelf
from anpr.rules.lookups import Lookups
from anpr.rules.registers import columns_of, parse_register
from anpr.rules.sheet import LeftOut

COPIES = "rule-data"
"""In the store's folder: the last good copies."""
MOST_TOLD = 5
"""Problems that are logged one by one."""
NOTHING = LeftOut()


@dataclass(frozen=True, slots=True)
class FreshData:
    """What a file says, checked but not yet asked."""

    plates: int
    take: Callable[[], None]
    """Have it asked from the next passage on, in place of what was asked. In the thread that judges."""
    left_out: LeftOut = NOTHING
    """Bad rows that it is without."""

    def tell_left_out(self, name: str) -> None:
        """Log them."""
        if self.left_out.rows:
            first = self.left_out.problems[:MOST_TOLD]
            log = structlog.get_logger()
            log.warning("rule_data_rows_left_out", data=name, rows=self.left_out.rows, problems=first)


@dataclass(frozen=True, slots=True)
class RuleData:
    """One file."""

    name: str
    """`declarations`, or `register NAME`."""
    file: Path
    copy: Path
    """Where its last good copy is kept."""
    parse: Callable[[bytes, Path], FreshData]
    """Raises ConfigError or DeclarationError."""
    signature: Signature | None = None
    """Of the file when it was opened; None if it could not be read."""
    plates: int = 0
    """How many it told of then."""
    left_out: int = 0
    """Bad rows that were left out then."""
    refused: str = ""
    """Why it was refused then, for which its copy stands in; without a plate. Empty: it was taken."""

    def read(self) -> FreshData:
        """What the file says now; in any thread. Raises ConfigError or DeclarationError with all that is wrong."""
        return self._read(self.file)

    def open(self, *, answers: bool = True) -> RuleData:
        """Have rules ask the file, or, if it is refused, its copy: if it is wrong, or the file system does not
        `answers`, or it tells of far fewer plates. Raises what `read` raises if there is no copy."""
        signature, why = None, ""
        try:
            if not answers:
                cure = "is the network share there that it lies on?"
                raise ConfigError("does not answer", place=str(self.file), cure=cure)
            signature = signature_of(self.file)
            fresh = self.read()
            self._compare_with_copy(fresh)
        except (ConfigError, DeclarationError) as error:
            try:
                fresh = self._read(self.copy)
            except (ConfigError, DeclarationError):
                raise error from None
            why = masked(str(error))
            if isinstance(error.__cause__, OSError):
                signature = None  # the file may be good: it is read again
            structlog.get_logger().error(
                "rule_data_stands_in",
                data=self.name,
                plates=fresh.plates,
                problem=str(error),
                problems=error.problems[:MOST_TOLD],
            )
        fresh.tell_left_out(self.name)
        fresh.take()
        return replace(self, signature=signature, plates=fresh.plates, left_out=fresh.left_out.rows, refused=why)

    def check_vanishing(self, fresh: FreshData, plates_before: int) -> None:
        """Raises ConfigError if too many plates are gone: most likely it is half a file."""
        if fresh.plates < (1.0 - MAX_VANISHING) * plates_before:
            what = f"the file tells of {fresh.plates} plates, the old one of {plates_before}"
            cure = f"check that it is whole; if it is meant so, remove {self.copy} and restart the box"
            raise ConfigError(what, place=str(self.file), cure=cure)

    def _compare_with_copy(self, fresh: FreshData) -> None:
        """Raises ConfigError as `check_vanishing` does, by the copy if there is a good one that is another."""
        now, kept = signature_of(self.file), signature_of(self.copy)
        if kept is None or (now is not None and (now[0], now[2]) == (kept[0], kept[2])):
            return
        try:
            before = self._read(self.copy).plates
        except (ConfigError, DeclarationError):
            return
        self.check_vanishing(fresh, before)

    def _read(self, path: Path) -> FreshData:
        try:
            content = content_of(path)
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", place=str(path), cure="check the path") from error
        return self.parse(content, path)


def register_data(name: str, file: Path, lookups: Lookups, *, store: Path) -> RuleData:
    """The register `name` of a CSV file, whose values are those that the rules of `lookups` ask."""

    def parse(content: bytes, path: Path) -> FreshData:
        records, left_out = parse_register(content, path, lookups.asked.get(name))
        columns = columns_of(content, path)
        return FreshData(len(records), lambda: lookups.hold(name, records, columns), left_out)

    return RuleData(f"register {name}", file, store / COPIES / f"register-{name}.csv", parse)


def declared_data(file: Path, declarations: Declarations, *, store: Path) -> RuleData:
    """The file of declarations."""

    def parse(content: bytes, path: Path) -> FreshData:
        declared, left_out = parse_csv(content, path)
        shelf = Shelf.of(declared)
        return FreshData(shelf.plates, lambda: declarations.replace_filed(shelf), left_out)

    return RuleData("declarations", file, store / COPIES / "declarations.csv", parse)
