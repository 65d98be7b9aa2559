"""What the day shows: per rule what was planted, found and missed, and what was raised that nobody planted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from anpr.records import Hit, Sighting
from scripts.day.planting import Case
from scripts.day.road import Passing

TITLES = (
    "stolen or wanted", "epidemic inbound", "declaration", "stay in zone", "green lane", "persons limit", "transit",
    "impossible travel", "average speed", "convoy", "unpaid fine", "inspection", "colour mismatch", "curfew, class",
    "repeated visits", "list quality", "unreadable plate",
)  # fmt: skip


@dataclass(slots=True)
class Row:
    """One rule of the seventeen."""

    planted: int = 0
    """Hits that must come."""
    found: int = 0
    missed: int = 0
    misread: int = 0
    """Of the missed ones, those of vehicles that the reader misread."""
    near_misses: int = 0
    """Planted passings about which the rule must say nothing …"""
    fired: int = 0
    """… and those about which it spoke."""
    unplanned: int = 0
    """Hits that nobody planted …"""
    unplanned_misread: int = 0
    """… and those of them that stand on a misread plate."""


@dataclass(slots=True)
class Verdict:
    """The whole day."""

    rows: dict[int, Row]
    problems: list[str] = field(default_factory=list)
    """One line for each planted hit that did not come, and for each that must not have come."""
    unplanned: list[str] = field(default_factory=list)
    """One line for each hit that nobody planted."""
    withdrawn: int = 0
    """Hits that a preview raised and the final read took back."""

    @property
    def passed(self) -> bool:
        """True if every planted hit came, and no near-miss raised one."""
        return not self.problems

    def totals(self) -> Row:
        """The sum of the rows."""
        return Row(*(sum(getattr(row, name) for row in self.rows.values()) for name in Row.__slots__))


def judge(
    cases: Sequence[Case], passings: Sequence[Passing], finals: Sequence[Sighting], hits: Sequence[Hit],
    numbers: Mapping[str, int],
) -> Verdict:  # fmt: skip
    """Compare what came with what was planted.

    `finals` are the settled sightings of `passings`, in the same order; `hits` all revisions that rules raised;
    `numbers` says which of the seventeen each rule belongs to.
    """
    by_passing = {id(passing): final for passing, final in zip(passings, finals, strict=True)}
    told: dict[str, Hit] = {}
    for hit in hits:
        if hit.id not in told or hit.revision > told[hit.id].revision:
            told[hit.id] = hit
    raised = {(hit.rule, hit.sighting_id): hit for hit in told.values() if hit.state != "withdrawn"}
    verdict = Verdict({number: Row() for number in sorted(set(numbers.values()))})
    verdict.withdrawn = len(told) - len(raised)
    planted = set()
    silent = set()
    for case in cases:
        misread = any(_misread(passing, by_passing[id(passing)]) for passing in case.passings)
        for expected in case.expected:
            sighting = by_passing[id(case.passings[expected.passing])]
            row = verdict.rows[numbers[expected.rule]]
            planted.add((expected.rule, sighting.id))
            row.planted += 1
            answer = raised.get((expected.rule, sighting.id))
            if answer is not None and answer.severity == expected.severity:
                row.found += 1
                continue
            row.missed += 1
            row.misread += misread
            came = f"came as {answer.severity}" if answer else "did not come"
            why = " (a plate of it was misread)" if misread else ""
            verdict.problems.append(
                f"{expected.rule} {expected.severity} {came}: {case.name}, {_where(case, expected.passing)}{why}"
            )
        for rule in case.silent:
            for index, passing in enumerate(case.passings):
                key = (rule, by_passing[id(passing)].id)
                if key in planted:
                    continue
                silent.add(key)
                verdict.rows[numbers[rule]].near_misses += 1
                if key in raised:
                    verdict.rows[numbers[rule]].fired += 1
                    verdict.problems.append(f"{rule} fired: {case.name}, {_where(case, index)}")
    true_text = {final.id: passing.vehicle.display for passing, final in zip(passings, finals, strict=True)}
    misreads = {final.id for passing, final in zip(passings, finals, strict=True) if _misread(passing, final)}
    for key, hit in sorted(raised.items(), key=lambda item: item[1].seen_seconds):
        if key not in planted and key not in silent:
            row = verdict.rows[numbers[hit.rule]]
            row.unplanned += 1
            row.unplanned_misread += hit.sighting_id in misreads
            verdict.unplanned.append(f"{hit.rule} {hit.severity}: {true_text[hit.sighting_id]}: {hit.message_en}")
    return verdict


def table(verdict: Verdict) -> str:
    """The verdict as a table for a terminal."""
    lines = [
        f"{'':>2}  {'rule':<18}{'planted':>8}{'found':>7}{'missed':>7}{'near':>7}{'fired':>7}{'not planted':>13}"
        f"{'of misreads':>13}"
    ]
    for number, row in verdict.rows.items():
        lines.append(_line(str(number), TITLES[number - 1], row))
    lines.append(_line("", "all", verdict.totals()))
    lines.append(
        "near: planted passings that must raise nothing; fired: those that did. Hits not planted are the rules'"
    )
    lines.append("own, on ordinary traffic; of misreads: those that stand on a plate that was misread.")
    return "\n".join(lines)


def _line(number: str, title: str, row: Row) -> str:
    counts = f"{row.planted:>8}{row.found:>7}{row.missed:>7}{row.near_misses:>7}{row.fired:>7}{row.unplanned:>13}"
    return f"{number:>2}  {title:<18}{counts}{row.unplanned_misread:>13}"


def reading(passings: Sequence[Passing], finals: Sequence[Sighting]) -> dict[str, int]:
    """How the plates that could be read were read."""
    counts: Counter[str] = Counter(right=0, wrong=0, unreadable=0)
    for passing, final in zip(passings, finals, strict=True):
        if not passing.covered:
            kind = "right" if final.text == passing.vehicle.text else "wrong" if final.text else "unreadable"
            counts[kind] += 1
    return dict(counts)


def by_rule(hits: Sequence[Hit]) -> dict[str, int]:
    """How many hits each rule has raised, revisions of one hit counted once."""
    seen: dict[str, set[str]] = defaultdict(set)
    for hit in hits:
        seen[hit.rule].add(hit.id)
    return {rule: len(ids) for rule, ids in sorted(seen.items())}


def _misread(passing: Passing, final: Sighting) -> bool:
    return not passing.covered and final.text != passing.vehicle.text


def _where(case: Case, index: int) -> str:
    passing = case.passings[index]
    return f"{passing.vehicle.display} at {passing.site.camera_id}"
