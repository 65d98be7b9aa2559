"""Reads the rules of a folder. Every mistake is told at once, each as `file:line:column: what (cure)`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anpr.config.fields import Context
from anpr.config.loader import Problem, parse_file, refusal, validate
from anpr.config.positions import START, Positions
from anpr.config.ruling import RuleOverride
from anpr.errors import ConfigError
from anpr.rules.book import RuleBook
from anpr.rules.checks import check, circle, conditions_of, did_you_mean
from anpr.rules.compile import CompiledRule, Sources
from anpr.rules.declarations import Declarations
from anpr.rules.language import Rule, RuleFile, ZoneText
from anpr.rules.lookups import Registers
from anpr.rules.passage import Ground
from anpr.rules.places import Places
from anpr.rules.zones import Zone

FIXTURES = ".test.toml"
"""How the files end that hold tests of rules."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Checked rules and zones."""

    rules: Mapping[str, Rule]
    zones: Mapping[str, ZoneText]
    files: Mapping[str, Path] = field(default_factory=dict)
    """Where each rule is written."""

    def version(self, name: str) -> str:
        """Twelve digits that change with a rule's content, or with a zone that it names."""
        rule = self.rules[name]
        zones = [self.zones[zone].model_dump(mode="json") for zone in sorted(zones_of(rule))]
        content = json.dumps([rule.model_dump(mode="json", exclude_defaults=True), zones], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def book(self, *, places: Places, registers: Registers, declarations: Declarations | None = None) -> RuleBook:
        """The rules compiled, ready to be asked."""
        zones = {name: Zone.of(zone) for name, zone in self.zones.items()}
        sources = Sources(Ground(zones, places), registers, declarations)
        return RuleBook(CompiledRule(rule, self.version(name), sources) for name, rule in self.rules.items())


def zones_of(rule: Rule) -> frozenset[str]:
    """The zones that a rule names."""
    named: set[str] = set()
    for condition, _ in conditions_of(rule):
        filters = (condition.seen, condition.dwell, condition.travel, condition.unread_before)
        named |= {each for each in (condition.province_zone, condition.zone) if each}
        named |= {each.zone for each in filters if each and each.zone}
        named |= set(condition.order.zones or ()) if condition.order else set()
        named |= {condition.declared.origin_zone} if condition.declared and condition.declared.origin_zone else set()
    return frozenset(named)


@dataclass(frozen=True, slots=True)
class _Read:
    path: Path
    content: RuleFile
    positions: Positions


def rule_files(path: Path) -> tuple[Path, ...]:
    """The rule files of a folder by name, without fixtures; a file is itself. Raises ConfigError if there is none."""
    try:
        if not path.is_dir():
            return (path,)
        files = tuple(sorted(file for file in path.glob("*.toml") if not file.name.endswith(FIXTURES)))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", place=str(path), cure="check the path") from error
    if not files:
        raise ConfigError("the folder holds no rules", place=str(path), cure="put *.toml files into it")
    return files


def load_rules(
    paths: Sequence[Path],
    *,
    zones: Path | None = None,
    overrides: Mapping[str, RuleOverride] | None = None,
    dry_run: bool = False,
) -> RuleSet:
    """The rules of files and folders. The zones of the file `zones` take the place of those of the same name.

    `dry_run`: every rule is in dry run. Raises ConfigError with all mistakes of all files.
    """
    desk = _Desk()
    shipped = [desk.read(file) for path in paths for file in rule_files(path)]
    own = [desk.read(zones)] if zones is not None else []
    written = [each for each in (*shipped, *own) if each is not None]
    found_zones = desk.named("zones", [each for each in shipped if each is not None])
    found_zones |= desk.named("zones", [each for each in own if each is not None])
    found_rules = desk.named("rules", written)
    changes = dict(overrides or {})
    rules = {name: _changed(found.table, changes.pop(name, None), dry_run) for name, found in found_rules.items()}
    for name in changes:
        what = f"the site file overrides a rule {name!r} that is not there"
        desk.problems.append(Problem(str(paths[0]), START, what, did_you_mean(name, rules)))
    if None not in shipped and None not in own:  # else names that stand in an unreadable file would seem to be missing
        for name, found in found_rules.items():
            for mistake in check(rules[name], rules, found_zones.keys()):
                desk.problems.append(found.problem(mistake.path, mistake.what, mistake.cure))
        round_trip = circle(rules)
        if round_trip:
            what = f"rules raise or suppress each other in a circle: {' → '.join(round_trip)}"
            desk.problems.append(found_rules[round_trip[0]].problem((), what, "take one of them out"))
    desk.refuse(paths[0])
    return RuleSet(
        rules,
        {name: found.table for name, found in found_zones.items()},
        {name: found.file.path for name, found in found_rules.items()},
    )


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    content: RuleFile
    positions: Positions


@dataclass(frozen=True, slots=True)
class _Found:
    """A rule or a zone, and where it stands."""

    table: Any
    file: _File
    path: tuple[str | int, ...]

    def problem(self, path: tuple[str | int, ...], what: str, cure: str) -> Problem:
        return Problem(str(self.file.path), self.file.positions.of_value((*self.path, *path)), what, cure)


@dataclass(slots=True)
class _Desk:
    """Reads files and collects what is wrong with them."""

    problems: list[Problem] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Lines about files that are no TOML."""
    fault: OSError | None = None
    """For which one of them could not be read at all."""

    def read(self, path: Path) -> _File | None:
        """A file of rules; None if it is wrong."""
        try:
            data, positions = parse_file(path)
        except ConfigError as error:
            self.unreadable += error.problems
            self.fault = error.__cause__ if isinstance(error.__cause__, OSError) else self.fault
            return None
        _spread(data, positions)
        context = Context(path.parent.absolute(), None)
        content, mistakes = validate(RuleFile, data, path=path, positions=positions, context=context)
        self.problems += mistakes
        return None if content is None else _File(path, content, positions)

    def named(self, table: str, files: Sequence[_File]) -> dict[str, _Found]:
        """The rules or the zones of files by name; a name that stands twice is a mistake."""
        found: dict[str, _Found] = {}
        for file in files:
            for index, each in enumerate(getattr(file.content, table)):
                here = _Found(each, file, (table, index))
                first = found.setdefault(each.name, here)
                if first is not here:
                    where = f"{first.file.path}:{first.file.positions.of_key(first.path)[0]}"
                    what = f"{table[:-1]} {each.name!r} is there already, in {where}"
                    self.problems.append(here.problem(("name",), what, "give each its own name"))
        return found

    def refuse(self, path: Path) -> None:
        """Raises ConfigError if anything was wrong."""
        lines = (*self.unreadable, *map(str, sorted(set(self.problems))))
        if len(lines) == 1 and self.problems:
            raise refusal(Path(self.problems[0].path), self.problems)
        if lines:
            what = f"{len(lines)} mistakes, the first: {lines[0]}"
            raise ConfigError(what, place=str(path), problems=lines) from self.fault


def _spread(data: dict[str, Any], positions: Positions) -> None:
    """Write an `unless` that is one table as an array of one, and its positions too."""
    rules = data.get("rules")
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        if isinstance(rule, dict) and isinstance(rule.get("unless"), dict):
            rule["unless"] = [rule["unless"]]
            head = ("rules", index, "unless")
            for table in (positions.keys, positions.values):
                inside = {path: at for path, at in table.items() if path[:3] == head}
                table.update({(*head, 0, *path[3:]): at for path, at in inside.items()})


def _changed(rule: Rule, override: RuleOverride | None, dry_run: bool) -> Rule:
    """A rule as the site wants it."""
    changes: dict[str, Any] = {"dry_run": True} if dry_run else {}
    if override is not None:
        changes |= {name: value for name, value in override.model_dump().items() if value is not None}
    return rule.model_copy(update=changes)
