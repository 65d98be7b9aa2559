"""Runs fixtures: every case from an empty memory, each sighting's hits compared with what is expected of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from anpr.records import Hit, Sighting
from anpr.rules.book import RuleBook
from anpr.rules.contract import Raised
from anpr.rules.declarations import Declarations
from anpr.rules.fixtures import Answer, Case, Expected, FixtureFile, Seen, hits_of, read_fixtures, sighting_of
from anpr.rules.judgement import Judgement
from anpr.rules.load import FIXTURES, RuleSet
from anpr.rules.lookups import Record
from anpr.rules.memory import MemoryHistory
from anpr.rules.places import Place, Places
from anpr.rules.trace import why_not
from anpr.rules.values import Form


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that was not met."""

    place: str
    """`file:line:column` of the sighting."""
    case: str
    sighting_id: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.case}: sighting {self.sighting_id}: {self.what}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a file of fixtures showed."""

    path: Path
    cases: int
    expected: int
    """Hits that had to be raised."""
    failures: tuple[Failure, ...]


def fixture_files(folder: Path) -> tuple[Path, ...]:
    """The fixtures of a folder, by name."""
    return tuple(sorted(folder.glob(f"*{FIXTURES}")))


def run_fixtures(path: Path, rules: RuleSet) -> Outcome:
    """Test `rules` by a file of fixtures: those of the rule file beside it, or those that it names.

    Raises ConfigError with all mistakes of the file.
    """
    content, positions = read_fixtures(path)
    beside = path.name.removesuffix(FIXTURES) + ".toml"
    names = content.rules or tuple(name for name, file in rules.files.items() if file.name == beside)
    failures: list[Failure] = []
    for index, case in enumerate(content.cases):
        for seen, sighting_id, what in _Run(content, case, rules, frozenset(names)).play():
            where = positions.of_value(("cases", index, "sightings", case.sightings.index(seen)))
            failures.append(Failure(f"{path}:{where[0]}:{where[1]}", case.name, sighting_id, what))
    expected = sum(len(seen.expect) for case in content.cases for seen in case.sightings)
    return Outcome(path, len(content.cases), expected, tuple(failures))


@dataclass(slots=True)
class _Judged:
    """One revision of a sighting, and what the rules raised about it."""

    seen: Seen
    sighting: Sighting
    hits: Sequence[Hit]
    raised: dict[str, Raised]
    """By rule."""


class _Run:
    """One case being played."""

    def __init__(self, content: FixtureFile, case: Case, rules: RuleSet, names: Collection[str]) -> None:
        self._case = case
        self._names = names
        self._sites = {camera.id: camera.site for camera in content.cameras}
        self._book = _book(content, case, rules)
        self._history = MemoryHistory()
        self._judged: list[_Judged] = []
        self._newest: dict[str, _Judged] = {}
        """By sighting."""

    def play(self) -> Iterator[tuple[Seen, str, str]]:
        """Everything that differs from what is expected: (fixture, sighting, what)."""
        for number, seen in enumerate(self._case.sightings, start=1):
            self._take(seen, seen.id or str(number))
        due = [
            (judged.sighting.seen_seconds + wait, judged.sighting.id, wait)
            for judged in self._newest.values()
            for wait in self._book.waits
            if judged.sighting.state != "withdrawn"
        ]
        for _, sighting_id, wait in sorted(due):
            self._judge(self._newest[sighting_id], wait)
        for judged in self._judged:
            for what in self._differences(judged):
                yield judged.seen, judged.sighting.id, what

    def _take(self, seen: Seen, sighting_id: str) -> None:
        """A sighting arrives."""
        before = self._newest.get(sighting_id)
        revision = 0 if before is None else before.sighting.revision + 1
        sighting = sighting_of(
            seen,
            sighting_id=sighting_id,
            revision=revision if seen.revision is None else seen.revision,
            site_id=self._sites.get(seen.camera, "site"),
        )
        judged = _Judged(seen, sighting, hits_of(seen, sighting), {})
        self._judged.append(judged)
        self._newest[sighting_id] = judged
        self._history.add(sighting, hits=judged.hits)
        if sighting.state != "withdrawn":
            self._judge(judged, 0.0)

    def _judge(self, judged: _Judged, wait_seconds: float) -> None:
        raised = self._book.evaluate(
            judged.sighting, history=self._history, hits=judged.hits, wait_seconds=wait_seconds
        )
        judged.raised |= {each.hit.rule: each for each in raised}
        self._history.note(judged.sighting.id, tuple(judged.raised.values()))

    def _differences(self, judged: _Judged) -> Iterator[str]:
        expected = {each.rule: each for each in judged.seen.expect}
        for name, raised in judged.raised.items():
            if name in self._names and name not in expected:
                yield f"{name} raised {raised.hit.severity}, which is not expected: {raised.hit.message_en}"
        for name, wanted in expected.items():
            got = judged.raised.get(name)
            if got is None:
                yield f"{name} should raise {wanted.severity} and does not: {self._why_not(name, judged)}"
            else:
                yield from _compare(wanted, got)

    def _why_not(self, name: str, judged: _Judged) -> str:
        rule = next((each for each in self._book.rules if each.rule.name == name), None)
        if rule is None:
            return "there is no such rule"
        known = judged.sighting.seen_seconds + (rule.rule.wait or 0.0)
        asked = Judgement(judged.sighting, history=self._history, hits=judged.hits, known_seconds=known)
        return why_not(rule, asked)


def _compare(wanted: Expected, got: Raised) -> Iterator[str]:
    """What differs between a hit and what was expected of it."""
    hit = got.hit
    pairs = [
        ("severity", wanted.severity, hit.severity),
        ("dry_run", wanted.dry_run, got.dry_run),
        ("sightings", wanted.sightings, hit.sighting_ids),
        ("vi", wanted.vi, hit.message_vi),
        ("en", wanted.en, hit.message_en),
    ]
    for what, expected, seen in pairs:
        if expected is not None and expected != seen:
            yield f"{wanted.rule}: {what} should be {expected!r}, is {seen!r}"


def _book(content: FixtureFile, case: Case, rules: RuleSet) -> RuleBook:
    """The rules as the case wants them: all enabled, with its zones, map, declarations and registers."""
    zones = {**rules.zones, **{zone.name: zone for zone in (*content.zones, *case.zones)}}
    enabled = {name: rule.model_copy(update={"enabled": True}) for name, rule in rules.rules.items()}
    places = Places.of(
        (
            Place(
                camera_id=camera.id,
                site_id=camera.site,
                road=camera.road,
                km=camera.km,
                province=camera.province or "",
                inbound=camera.inbound or "unknown",
                rising=camera.rising or "unknown",
            )
            for camera in content.cameras
        ),
        ((way.one, way.other, way.km) for way in content.distances),
    )
    declarations = Declarations()
    for declaration in case.declared():
        declarations.add(declaration)
    return replace(rules, rules=enabled, zones=zones).book(
        places=places,
        registers=_Registers(case.lookups),
        declarations=None if case.no_declarations else declarations,
    )


class _Registers:
    """Registers that answer as a case says; those that it does not name are not set up."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._sources = {answer.source for answer in answers}
        self._answers = {(answer.source, answer.plate_text()): answer for answer in answers}

    def ask(self, name: str, plate: str) -> Record | None:
        answer = self._answers.get((name, plate))
        if name not in self._sources or (answer is not None and answer.fails):
            return None
        if answer is None or answer.missing:
            return {}
        return {name: str(value) if isinstance(value, date) else value for name, value in answer.fields.items()}

    def at_hand(self, name: str) -> bool:
        return name in self._sources

    def tell_unreadable(self, name: str, field: str, form: Form) -> None:
        """A case expects silence of it, or not."""
