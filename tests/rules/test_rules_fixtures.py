"""Fixtures: a wrong expectation fails with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from making_rules import rule_text

from anpr.errors import ConfigError
from anpr.rules.load import load_rules
from anpr.rules.testing import Outcome, run_fixtures

RULES = (
    rule_text('{ colour = "yellow", seen = { within = "1h" } }', name="seen", en="seen {seen_ago} ago")
    + rule_text('{ code = "98", vehicle_class = "truck" }', 'cooldown = "1h"', name="truck")
    + rule_text('{ lookup = { from = "r", field = "x", over = 3 } }', name="asks")
    + rule_text("{ declared = { valid = true } }", 'unless = { camera = "exempt" }', name="declared")
)


def run(tmp_path: Path, text: str) -> Outcome:
    (tmp_path / "rules.toml").write_text(RULES, encoding="utf-8")
    path = tmp_path / "rules.test.toml"
    path.write_text(text, encoding="utf-8")
    return run_fixtures(path, load_rules([tmp_path]))


def case(*sightings: str, more: str = "") -> str:
    return "[[cases]]\nname = 'case'\n" + more + "".join(f"[[cases.sightings]]\n{each}\n" for each in sightings)


def seen(at: str, more: str = "", plate: str = "98C-012.34") -> str:
    return f'plate = "{plate}"\ncamera = "km25"\nat = 2026-05-20T{at}\n{more}'


@pytest.mark.parametrize(
    ("text", "failures"),
    [
        (case(seen("10:00:00")), []),
        (
            case(seen("10:00:00", 'colour = "yellow"\nexpect = { rule = "seen", severity = "CHECK" }')),
            ["sighting 1: seen should raise CHECK and does not: seen is false"],
        ),
        (
            case(seen("10:00:00", 'colour = "unknown"\nexpect = { rule = "seen", severity = "CHECK" }')),
            ["sighting 1: seen should raise CHECK and does not: colour is unknown, seen is false"],
        ),
        (
            case(seen("10:00:00"), seen("10:30:00", 'colour = "yellow"')),
            ["sighting 2: seen raised CHECK, which is not expected: seen 30 min ago"],
        ),
        (
            case(
                seen("10:00:00", 'id = "a"'),
                seen(
                    "10:30:00",
                    'colour = "yellow"\n'
                    'expect = { rule = "seen", severity = "INFO", sightings = ["b"], en = "seen", dry_run = true }',
                ),
            ),
            [
                "sighting 2: seen: severity should be 'INFO', is 'CHECK'",
                "sighting 2: seen: dry_run should be True, is False",
                "sighting 2: seen: sightings should be ('b',), is ('a',)",
                "sighting 2: seen: en should be 'seen', is 'seen 30 min ago'",
            ],
        ),
        (
            case(
                *(
                    seen(at, 'vehicle_class = "truck"\nexpect = { rule = "truck", severity = "CHECK" }')
                    for at in ("10:00:00", "10:30:00")
                )
            ),
            ["sighting 2: truck should raise CHECK and does not: it is true, but suppressed, silent or cooling down"],
        ),
        (
            case(seen("10:00:00", 'probability = 0.8\nexpect = { rule = "truck", severity = "CHECK" }')),
            ["sighting 1: truck should raise CHECK and does not: its probability 0.8 is below 0.9"],
        ),
        (
            case(seen("10:00:00", 'expect = { rule = "truck", severity = "CHECK" }', plate="TM-12-34")),
            ["sighting 1: truck should raise CHECK and does not: rules skip plates of kind military"],
        ),
        (
            case(seen("10:00:00", 'expect = { rule = "truck", severity = "CHECK" }', plate="")),
            ["sighting 1: truck should raise CHECK and does not: the passage is unreadable"],
        ),
        (
            case(seen("10:00:00", 'expect = { rule = "trick", severity = "CHECK" }')),
            ["sighting 1: trick should raise CHECK and does not: there is no such rule"],
        ),
        (
            case(
                seen("10:00:00", 'camera = "exempt"\nexpect = { rule = "declared", severity = "CHECK" }').replace(
                    'camera = "km25"\n', ""
                ),
                more='declarations = [{ plate = "98C-012.34", type = "x", declared = 2026-05-20 }]\n',
            ),
            ["sighting 1: declared should raise CHECK and does not: an exemption is true"],
        ),
        (
            case(
                seen("10:00:00", 'expect = { rule = "asks", severity = "CHECK" }'),
                more='lookups = [{ from = "r", plate = "98C-012.34", fields = { x = 4 } }]\n',
            ),
            [],
        ),
        (
            case(
                seen("10:00:00", 'expect = { rule = "asks", severity = "CHECK" }'),
                more='lookups = [{ from = "r", plate = "98C-012.34", fails = true }]\n',
            ),
            ["sighting 1: asks should raise CHECK and does not: lookup is unknown"],
        ),
    ],
)
def test_failures_are_told_with_their_reason(tmp_path: Path, text: str, failures: list[str]) -> None:
    outcome = run(tmp_path, text)
    assert [f"sighting {each.sighting_id}: {each.what}" for each in outcome.failures] == failures
    for each in outcome.failures:
        path, line, _ = each.place.rsplit(":", 2)
        assert path == str(outcome.path)
        assert text.splitlines()[int(line) - 1] == "[[cases.sightings]]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (case(seen("10:00:00", plate="X")), "3:1: 'X' is no Vietnamese plate: 1 characters are too few"),
        (case(seen("10:00:00", "colr = 'red'")), "7:1: unknown key 'colr' (did you mean 'colour'?)"),
        (
            case(seen("10:00:00"), more="declarations = [{ plate = '98C-012.34', declared = 2026-05-20 }]\n"),
            "1:1: declaration 1: type is missing (give it)",
        ),
        ("cases = []\n", "1:9: cases has too few values (give at least 1)"),
    ],
)
def test_a_bad_fixture_is_told_where_it_stands(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(tmp_path, text)
    assert caught.value.problems[0].removeprefix(f"{tmp_path / 'rules.test.toml'}:").startswith(expected)


def test_rules_of_the_whole_folder_hold_in_every_fixture(tmp_path: Path) -> None:
    """A fixture judges its own file's rules; others may suppress them."""
    (tmp_path / "guard.toml").write_text(rule_text('{ camera = "km25" }', 'suppresses = "truck"', name="guard"))
    outcome = run(tmp_path, case(seen("10:00:00", 'vehicle_class = "truck"')))
    assert outcome.failures == ()


@pytest.mark.parametrize(("first", "second"), [("preview", "final"), ("final", "final")])
def test_each_revision_has_its_own_expectation(tmp_path: Path, first: str, second: str) -> None:
    truck = 'vehicle_class = "truck"\nid = "a"\nstate = "{}"\n'
    text = case(
        seen("10:00:00", truck.format(first) + 'expect = { rule = "truck", severity = "CHECK" }'),
        seen("10:00:00", truck.format(second), plate="29A-123.45"),
        seen("10:00:00", truck.format("withdrawn")),
    )
    assert run(tmp_path, text).failures == ()
