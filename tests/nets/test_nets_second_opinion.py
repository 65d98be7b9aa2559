"""A second reader is asked when the first is unsure, and both vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from anpr.metrics import Counters
from anpr.nets.second_opinion import OpinionOptions, SecondOpinion
from anpr.plates.lattice import settle
from anpr.records import ALPHABET, EMPTY, Frame, Plate, Read

GREY = np.full((8, 16), 128, np.uint8)
FRAME = Frame("test", 0, 0.0, 0.0, np.zeros((16, 32), np.uint8), GREY, GREY)
PLATE = Plate(np.array([[1, 1], [30, 1], [30, 14], [1, 14]], np.float32), 1.0, 1)


def read_of(text: str, *, sure: float = 0.999, last: dict[str, float] | None = None, unreadable: str = "") -> Read:
    """A read of `text`, `sure` of each character; of the last one as `last` says."""
    probabilities = np.full((10, EMPTY + 1), (1.0 - sure) / EMPTY, np.float32)
    for slot in range(10):
        probabilities[slot, ALPHABET.index(text[slot]) if slot < len(text) else EMPTY] = sure
    if last:
        probabilities[len(text) - 1] = 1e-4
        for character, share in last.items():
            probabilities[len(text) - 1, ALPHABET.index(character)] = share
    settled = settle(np.log(probabilities))
    return Read(np.log(probabilities), settled.raw, settled.text, settled.probability, settled.alternatives, unreadable)


@dataclass
class Fixed:
    """A reader that always says the same."""

    answer: Read
    asked: list[int] = field(default_factory=list)

    def read(self, frame: Frame, plates: Sequence[Plate]) -> list[Read]:
        self.asked.append(len(plates))
        return [self.answer] * len(plates)


def ask(first: Read, second: Read, **options: float) -> tuple[Read, dict[str, int], list[int]]:
    """What both say, what was counted, and the plates that the second was shown."""
    other, counters = Fixed(second), Counters()
    both = SecondOpinion(
        first=Fixed(first), second=other, options=OpinionOptions(**options), alternatives=5, counters=counters
    )
    (read,) = both.read(FRAME, [PLATE])
    return read, {reason: count for (_, reason), count in counters.counts.items()}, other.asked


UNSURE = read_of("30A12345", last={"5": 0.55, "6": 0.45})


def test_a_sure_read_stands_and_nobody_else_is_asked() -> None:
    sure = read_of("30A12345")
    read, counts, asked = ask(sure, read_of("51F67890"))
    assert read is sure
    assert (counts, asked) == ({}, [])


def test_a_read_that_is_unreadable_is_not_asked_again() -> None:
    refused = replace(UNSURE, unreadable="too small")
    read, _, asked = ask(refused, read_of("30A12345"))
    assert read is refused
    assert asked == []


def test_two_that_agree_are_surer() -> None:
    read, counts, asked = ask(UNSURE, read_of("30A12345", last={"5": 0.8, "6": 0.2}))
    assert read.text == "30A12345"
    assert read.probability > UNSURE.probability
    assert (counts, asked) == ({"agreed": 1}, [1])


def test_a_sure_second_reader_changes_the_text() -> None:
    read, counts, _ = ask(UNSURE, read_of("30A12346"))
    assert read.text == read.raw == read.alternatives[0][0] == "30A12346"
    assert counts == {"changed": 1}


def test_weights_decide_who_is_heard() -> None:
    read, counts, _ = ask(UNSURE, read_of("30A12346"), second_weight=0.01)
    assert read.text == "30A12345"
    assert counts == {"kept": 1}


def test_a_second_reader_that_sees_no_plate_changes_nothing() -> None:
    read, counts, _ = ask(UNSURE, read_of("51F67890", unreadable="not a Vietnamese plate"))
    assert read is UNSURE
    assert counts == {"refused": 1}


@pytest.mark.parametrize(("below", "asked"), [(0.0, []), (1.0, [1])])
def test_the_limit_is_an_option(below: float, asked: list[int]) -> None:
    assert ask(UNSURE, UNSURE, below_probability=below)[2] == asked
