"""Rule sets and books from texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from making_rules import PLACES, Answers

from anpr.rules.book import RuleBook
from anpr.rules.declarations import Declarations
from anpr.rules.load import RuleSet, load_rules
from anpr.rules.lookups import Record


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., RuleSet]:
    """Writes texts into one rule file and loads it."""

    def make(*texts: str, **options: Any) -> RuleSet:
        file = tmp_path / "rules.toml"
        file.write_text("\n".join(texts), encoding="utf-8")
        return load_rules([file], **options)

    return make


@pytest.fixture
def book(load: Callable[..., RuleSet]) -> Callable[..., RuleBook]:
    """The rules of texts, compiled over the test's map."""

    def make(
        *texts: str,
        declarations: Declarations | None = None,
        answers: dict[tuple[str, str], Record] | None = None,
        **options: Any,
    ) -> RuleBook:
        return load(*texts, **options).book(places=PLACES, registers=Answers(answers or {}), declarations=declarations)

    return make
