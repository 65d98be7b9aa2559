"""Files of what rules ask, registers and declarations: read at the start, and again while the box runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from anpr.config.signature import Signature, signature_of
from anpr.errors import ConfigError, DeclarationError
from anpr.privacy import masked
from anpr.rules.content import content_of
from anpr.rules.declaration import parse_csv
from anpr.rules.declarations import Declarations, Shelf
from anpr.rules.lookups import Lookups
from anpr.rules.registers import parse_register

COPIES = "rule-data"
"""In the store's folder: the last good copies."""
MOST_TOLD = 5
"""Problems that are logged one by one."""


@dataclass(frozen=True, slots=True)
class FreshData:
    """What a file says, checked but not yet asked."""

    plates: int
    take: Callable[[], None]
    """Have it asked from the next passage on, in place of what was asked. In the thread that judges."""


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
    """Of the file when it was opened."""
    plates: int = 0
    """How many it told of then."""
    refused: str = ""
    """Why it was refused then, for which its copy stands in; without a plate. Empty: it was taken."""

    def read(self) -> FreshData:
        """What the file says now; in any thread. Raises ConfigError or DeclarationError with all that is wrong."""
        return self._read(self.file)

    def open(self) -> RuleData:
        """Have rules ask the file, or, if it is refused, its copy. Raises what `read` raises if there is no copy."""
        signature, why = signature_of(self.file), ""
        try:
            fresh = self.read()
        except (ConfigError, DeclarationError) as error:
            try:
                fresh = self._read(self.copy)
            except (ConfigError, DeclarationError):
                raise error from None
            why = masked(str(error))
            structlog.get_logger().error(
                "rule_data_stands_in",
                data=self.name,
                plates=fresh.plates,
                problem=str(error),
                problems=error.problems[:MOST_TOLD],
            )
        fresh.take()
        return replace(self, signature=signature, plates=fresh.plates, refused=why)

    def _read(self, path: Path) -> FreshData:
        try:
            content = content_of(path)
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", place=str(path), cure="check the path") from error
        return self.parse(content, path)


def register_data(name: str, file: Path, lookups: Lookups, *, store: Path) -> RuleData:
    """The register `name` of a CSV file."""

    def parse(content: bytes, path: Path) -> FreshData:
        records = parse_register(content, path)
        return FreshData(len(records), lambda: lookups.hold(name, records))

    return RuleData(f"register {name}", file, store / COPIES / f"register-{name}.csv", parse)


def declared_data(file: Path, declarations: Declarations, *, store: Path) -> RuleData:
    """The file of declarations."""

    def parse(content: bytes, path: Path) -> FreshData:
        shelf = Shelf.of(parse_csv(content, path))
        return FreshData(shelf.plates, lambda: declarations.replace_filed(shelf))

    return RuleData("declarations", file, store / COPIES / "declarations.csv", parse)
