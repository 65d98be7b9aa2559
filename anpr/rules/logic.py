"""Three-valued logic after Kleene: True, False, and None for unknown, which is never true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Truth = bool | None
_T = TypeVar("_T")


def both(tests: Sequence[Callable[[_T], Truth]]) -> Callable[[_T], Truth]:
    """True if all are true; one that is false makes it false, whatever is unknown. Later tests are asked last."""
    if len(tests) == 1:
        return tests[0]
    asked = tuple(tests)

    def test(subject: _T) -> Truth:
        truth: Truth = True
        for each in asked:
            answer = each(subject)
            if answer is False:
                return False
            if answer is None:
                truth = None
        return truth

    return test


def either(tests: Sequence[Callable[[_T], Truth]]) -> Callable[[_T], Truth]:
    """False if all are false; one that is true makes it true, whatever is unknown."""
    if len(tests) == 1:
        return tests[0]
    asked = tuple(tests)

    def test(subject: _T) -> Truth:
        truth: Truth = False
        for each in asked:
            answer = each(subject)
            if answer is True:
                return True
            if answer is None:
                truth = None
        return truth

    return test


def opposite(test: Callable[[_T], Truth]) -> Callable[[_T], Truth]:
    """True if `test` is false; unknown stays unknown."""

    def negated(subject: _T) -> Truth:
        answer = test(subject)
        return None if answer is None else not answer

    return negated
