"""Reads the rules of a folder. Every mistake is told at once, each as `file:line:column: what (cure)`: of a rule whose
form is wrong that of its form, of every other what it says, too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from anpr.config.fields import Context, Table
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
from anpr.rules.values import Asked
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

    @property
    def asked(self) -> Mapping[str, Mapping[str, Asked]]:
        """By register and field what the rules ask."""
        found: dict[str, dict[str, Asked]] = {}
        for rule in self.rules.values():
            for condition, _ in conditions_of(rule) if rule.enabled else ():
                if condition.lookup is not None and condition.lookup.field is not None:
                    fields, name = found.setdefault(condition.lookup.source, {}), condition.lookup.field
                    fields[name] = fields.get(name, Asked()).and_by(condition.lookup)
        return found

    def book(self, *, places: Places, registers: Registers, declarations: Declarations | None = None) -> RuleBook:
        """The rules compiled, ready to be asked."""
        zones = {name: Zone.of(zone) for name, zone in self.zones.items()}
        sources = Sources(Ground(zones, places), registers, declarations)
        rules = (CompiledRule(rule, self.version(name), sources) for name, rule in self.rules.items())
        return RuleBook(rules, zones=self.zones)


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


def rule_files(path: Path) -> tuple[Path, ...]:
    """The rule files of a folder by name, without fixtures; a file is itself. Raises ConfigError if there is none."""
    try:
        if not path.is_dir():
            if path.name.endswith(FIXTURES):
                cure = f"`anpr rules test {path.parent}` runs it; check {path.name.removesuffix(FIXTURES)}.toml"
                raise ConfigError("a file of fixtures, which test rules, and no rule file", place=str(path), cure=cure)
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
    shipped = [desk.read(file) for path in paths for file in desk.files(path)]
    own = [desk.read(zones)] if zones is not None else []
    found_zones = desk.named("zones", shipped) | desk.named("zones", own)
    found_rules = desk.named("rules", [*shipped, *own])
    well_formed = {name: found.table for name, found in found_rules.items() if found.table is not None}
    changes = dict(overrides or {})
    rules = {name: _changed(rule, changes.pop(name, None), dry_run) for name, rule in well_formed.items()}
    named = {"rules": found_rules.keys(), "zones": found_zones.keys()}
    for name in changes:
        if desk.all_named and name not in found_rules:
            what = f"the site file overrides a rule {name!r} that is not there"
            desk.problems.append(Problem(str(paths[0]), START, what, did_you_mean(name, rules)))
    for name, rule in rules.items():
        for mistake in check(rule, rules, found_zones.keys()):
            if mistake.absent is None or (desk.all_named and mistake.absent[1] not in named[mistake.absent[0]]):
                desk.problems.append(found_rules[name].problem(mistake.path, mistake.what, mistake.cure))
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
    positions: Positions
    tables: Mapping[str, Sequence[tuple[str, Any]]]
    """Per kind the name and the content of each in the order of the file; None for content whose form is wrong."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A rule or a zone, and where it stands."""

    table: Any
    """None: its form is wrong."""
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
    all_named: bool = True
    """Whether the names of all rules and zones are known: those in an unreadable file would seem to be missing."""

    def files(self, path: Path) -> tuple[Path, ...]:
        """The rule files that a path means; none if it is wrong."""
        try:
            return rule_files(path)
        except ConfigError as error:
            self._cannot_read(error)
            return ()

    def read(self, path: Path) -> _File | None:
        """A file of rules, as much of it as is well-formed; None if it is no TOML."""
        try:
            data, positions = parse_file(path)
        except ConfigError as error:
            self._cannot_read(error)
            return None
        _spread(data, positions)
        context = Context(path.parent.absolute(), None)
        content, mistakes = validate(RuleFile, data, path=path, positions=positions, context=context)
        rules: list[tuple[str, Any]]
        zones: list[tuple[str, Any]]
        if content is not None:
            rules = [(rule.name, rule) for rule in content.rules]
            zones = [(zone.name, zone) for zone in content.zones]
        else:
            self.problems += mistakes
            self.all_named = self.all_named and data.keys() <= RuleFile.model_fields.keys()
            rules, zones = self._each(Rule, data, context), self._each(ZoneText, data, context)
        return _File(path, positions, {"rules": rules, "zones": zones})

    def _each(self, model: type[Table], data: Mapping[str, Any], context: Context) -> list[tuple[str, Any]]:
        """The name and the content of each rule or zone of a file in which something is wrong."""
        written = data.get("rules" if model is Rule else "zones", [])
        if not isinstance(written, list):
            self.all_named = False
            return []
        found: list[tuple[str, Any]] = []
        for table in written:
            name = table.get("name") if isinstance(table, dict) else None
            if not isinstance(name, str):
                self.all_named, name = False, ""
            try:
                found.append((name, model.model_validate(table, context=context)))
            except ValidationError:
                found.append((name, None))
        return found

    def _cannot_read(self, error: ConfigError) -> None:
        self.unreadable += error.problems
        self.fault = error.__cause__ if isinstance(error.__cause__, OSError) else self.fault
        self.all_named = False

    def named(self, kind: Literal["rules", "zones"], files: Sequence[_File | None]) -> dict[str, _Found]:
        """The rules or the zones of files by name; a name that stands twice is a mistake."""
        found: dict[str, _Found] = {}
        for file in filter(None, files):
            for index, (name, table) in enumerate(file.tables[kind]):
                here = _Found(table, file, (kind, index))
                first = found.setdefault(name, here) if name else here
                if first is not here:
                    where = f"{first.file.path}:{first.file.positions.of_key(first.path)[0]}"
                    what = f"{kind[:-1]} {name!r} is there already, in {where}"
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
