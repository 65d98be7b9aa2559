"""Rules as sentences."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from making_rules import PLACES, rule_text

from anpr import assets
from anpr.rules.compile import DEEP_PREDICATES
from anpr.rules.explain import explain
from anpr.rules.language import Condition
from anpr.rules.load import RuleSet, load_rules
from anpr.rules.passage import PASSAGE_PREDICATES
from anpr.rules.sentences import SAID_PREDICATES
from anpr.rules.silence import Known
from anpr.rules.wording import NOTHING, date_of, duration, number, one_of, percent, same

Load = Callable[..., RuleSet]


def test_every_predicate_is_compiled_and_said() -> None:
    combining = {"any_of", "all_of", "negated"}
    predicates = set(Condition.model_fields) - combining
    assert predicates == PASSAGE_PREDICATES | DEEP_PREDICATES
    assert not PASSAGE_PREDICATES & DEEP_PREDICATES
    assert predicates == SAID_PREDICATES


def test_a_rule_is_said_in_both_languages(load: Load) -> None:
    rules = load(
        rule_text(
            '{ kind = "car", any = [{ colour = "blue" }, { seen = { within = "6h", camera = "km3" }, lane = "1" }], '
            'not = { time = "22:00-05:00" } }',
            'unless = { code = "20" }\ncooldown = "2h"\nwait = "1h"\ndry_run = true\n'
            'confirmations = { sightings = 2, cameras = 2, within = "1h" }\nvalid_from = 2026-05-20',
        )
    )
    vietnamese, english = explain("rule", rules)
    assert english == [
        "CHECK · rule",
        f"  rule rule · {rules.version('rule')}",
        "  dry run: told in the log, raises nothing",
        "When all of these are true:",
        "  - the plate's kind is car",
        "  - at least one of these:",
        "    - the plate's colour is blue",
        "    - both:",
        "      - in lane 1",
        "      - the plate passed at least 1 time within 6 h before, at camera km3",
        "  - it is not so that:",
        "    - the time of day is 22:00-05:00",
        "Unless:",
        "  - the province code is 20",
        "Only passages read with at least 90 % are judged.",
        "Plates that are military or foreign, diplomatic are skipped.",
        "It holds from 2026-05-20 00:00:00.",
        "It is judged 60 min after the passage.",
        "It needs 2 passages before 2 camera(s) within 60 min.",
        "It raises once in 2 h, per plate.",
        "Message: {plate}",
    ]
    assert len(vietnamese) == len(english)
    assert "  - loại biển: ô tô" in vietnamese
    assert "      - biển này đã đi qua ít nhất 1 lần trong 6 giờ trước đó, tại camera km3" in vietnamese


@pytest.mark.parametrize("language", [0, 1])
def test_all_shipped_rules_can_be_said(language: int) -> None:
    rules = load_rules([assets.folder("configs") / "rules"])
    for name in rules.rules:
        lines = explain(name, rules, Known(PLACES))[language]
        assert len(lines) >= 7
        assert not any("None" in line or "()" in line for line in lines), lines


@pytest.mark.parametrize(
    ("seconds", "vi", "en"),
    [
        (8.0, "8 giây", "8 s"),
        (59.6, "1 phút", "1 min"),
        (95.0, "1 phút 35 giây", "1 min 35 s"),
        (2100.0, "35 phút", "35 min"),
        (5400.0, "90 phút", "90 min"),
        (14_400.0, "4 giờ", "4 h"),
        (15_000.0, "4 giờ 10 phút", "4 h 10 min"),
        (14 * 86_400.0, "14 ngày", "14 days"),
        (3 * 86_400.0 + 7200.0, "3 ngày 2 giờ", "3 days 2 h"),
    ],
)
def test_durations(seconds: float, vi: str, en: str) -> None:
    assert duration(seconds) == (vi, en)


def test_words() -> None:
    assert one_of([same("a")]) == ("a", "a")
    assert one_of(map(same, "abc")) == ("a, b hoặc c", "a, b or c")
    assert number(56.96, 1) == ("57,0", "57.0")
    assert percent(0.9899) == ("98 %", "98 %")
    assert percent(0.29) == ("29 %", "29 %")
    assert date_of(0.0) == ("01/01/1970", "1970-01-01")
    assert same("") == NOTHING == ("?", "?")
