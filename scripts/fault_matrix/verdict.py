"""Truth against what was told: who was lost, told twice, or told wrongly. Pure; nothing of anpr's own code is used.

A **passage** is one vehicle of the truth before one camera, by the wall clock. A camera is **whole** in the times when
nothing is done to it and somebody takes its pictures; a passage whose plate is readable only within a whole time, and
for long enough, must be told with its exact text. What passes in a fault may be missed; how much was read is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

EARLY_SECONDS = 1.5
LATE_SECONDS = 3.0
"""How far a sighting's time may lie outside the time in which the vehicle is shown: the clocks are read at two ends."""
LEAST_READABLE_SECONDS = 0.3
"""Who can be read for less, three of the world's pictures, may be lost to a single picture that a busy machine drops,
and is not held to be told (but may not be told twice or wrongly)."""
SETTLE_SECONDS = 0.4
"""A whole time must go on so long after the plate was last readable: the worker needs the picture, too."""
SURE = 0.95
"""A wrong text that is given as more probable than this is a wrong read that somebody would act on."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One vehicle that passed one camera; wall-clock seconds."""

    text: str
    readable_from: float
    readable_until: float
    shown_from: float
    shown_until: float


@dataclass(frozen=True, slots=True)
class Told:
    """The last revision of one sighting."""

    id: str
    camera: str
    state: str
    text: str
    probability: float
    seen_seconds: float


@dataclass(slots=True)
class Verdict:
    """What became of one camera's passages."""

    expected: int = 0
    """Passages in whole times."""
    lost: list[str] = field(default_factory=list)
    """Texts of those that were not told."""
    duplicated: list[str] = field(default_factory=list)
    """Texts told once more than they passed, in whole times."""
    in_fault: int = 0
    """Passages that a fault between two whole times touched."""
    in_fault_told: int = 0
    in_fault_duplicated: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Texts told with great probability that nobody carried then."""


def last_words(sightings: Iterable[dict[str, Any]]) -> list[Told]:
    """The newest revision of each sighting, from the `data` of its events in any order."""
    newest: dict[str, dict[str, Any]] = {}
    for data in sightings:
        if data["id"] not in newest or data["revision"] > newest[data["id"]]["revision"]:
            newest[data["id"]] = data
    return [
        Told(
            id=data["id"],
            camera=data["camera_id"],
            state=data["state"],
            text=data["text"],
            probability=data["probability"],
            seen_seconds=data["seen_seconds"],
        )
        for data in newest.values()
    ]


def judge(
    passages: Sequence[Passage],
    told: Sequence[Told],
    whole: Sequence[tuple[float, float]],
    *,
    at_any_time: bool = False,
) -> Verdict:
    """The verdict on one camera; `told` are its sightings, `whole` its whole times, both by the wall clock.

    With `at_any_time` a text is not wrong if anybody carries it at all.
    """
    verdict = Verdict()
    valid: dict[str, list[Told]] = defaultdict(list)
    for each in told:
        if each.state != "withdrawn" and each.text:
            valid[each.text].append(each)
    carried: dict[str, list[Passage]] = defaultdict(list)
    for passage in passages:
        carried[passage.text].append(passage)
        matching = [each for each in valid[passage.text] if _fits(each, passage)]
        extra = [passage.text] * (len(matching) - 1)
        if any(
            begin <= passage.readable_from and passage.readable_until + SETTLE_SECONDS <= end for begin, end in whole
        ):
            sure = passage.readable_until - passage.readable_from >= LEAST_READABLE_SECONDS
            verdict.expected += sure
            verdict.duplicated += extra
            if sure and not matching:
                verdict.lost.append(passage.text)
        elif whole and whole[0][0] <= passage.readable_from and passage.readable_until <= whole[-1][1]:
            verdict.in_fault += 1
            verdict.in_fault_told += bool(matching)
            verdict.in_fault_duplicated += extra
    for text, sightings in valid.items():
        for each in sightings:
            known = text in carried and (at_any_time or any(_fits(each, passage) for passage in carried[text]))
            if each.probability > SURE and not known:
                verdict.wrong.append(text)
    return verdict


def missing_numbers(numbers: Iterable[int]) -> list[int]:
    """The numbers absent from a run that should be dense, between its least and its greatest."""
    heard = set(numbers)
    return [number for number in range(min(heard), max(heard)) if number not in heard] if heard else []


def _fits(told: Told, passage: Passage) -> bool:
    return passage.shown_from - EARLY_SECONDS <= told.seen_seconds <= passage.shown_until + LATE_SECONDS
