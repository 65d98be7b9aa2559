"""The 17 rules of configs/rules: complete, in both languages, each shown by its fixtures to fire and to keep silent."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anpr import assets
from anpr.cli.rules import app
from anpr.rules.explain import explain
from anpr.rules.load import RuleSet, load_rules, rule_files
from anpr.rules.places import Places
from anpr.rules.silence import Known, silence_of
from anpr.rules.testing import fixture_files, run_fixtures

FOLDER = assets.folder("configs") / "rules"
FILES = [path for path in rule_files(FOLDER) if path.name != "zones.toml"]

SEVERITIES = {
    "stolen": "ALERT", "stolen-near": "CHECK", "epidemic-inbound": "CHECK", "declaration-contradiction": "ALERT",
    "declaration-missing": "CHECK", "stay-in-zone": "ALERT", "green-lane-pass": "INFO", "green-lane-expired": "CHECK",
    "persons-limit": "CHECK", "transit": "INFO", "transit-not-left": "CHECK", "impossible-travel": "ALERT",
    "clone-white": "ALERT", "clone-coloured": "ALERT", "clone-goods": "ALERT", "clone-car": "ALERT",
    "average-speed": "INFO", "average-speed-high": "ALERT", "convoy": "INFO", "unpaid-fine": "INFO",
    "inspection-expired": "CHECK", "colour-mismatch": "CHECK", "yellow-without-transport": "CHECK",
    "motorbike-on-expressway": "ALERT", "heavy-goods-curfew": "INFO", "repeated-visits": "INFO", "zone-dwell": "INFO",
    "zone-not-left": "INFO", "list-entry-incomplete": "CHECK", "list-immune-plate": "CHECK", "list-flood": "CHECK",
    "unreadable-plate": "CHECK",
}  # fmt: skip
"""What each rule may raise by itself, as the table of the rules says."""

NEEDS = {
    "persons-limit": "vehicle class",
    "clone-goods": "vehicle class",
    "clone-car": "vehicle class",
    "unpaid-fine": "registry",
    "inspection-expired": "registry",
    "yellow-without-transport": "registry",
    "heavy-goods-curfew": "registry",
    "declaration-contradiction": "declarations",
    "green-lane-expired": "declarations",
}
"""What a rule cannot do without, in the words of `explain`."""


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load_rules([FOLDER])


def test_there_are_seventeen_files_each_with_fixtures() -> None:
    assert [int(path.name[:2]) for path in FILES] == list(range(1, 18))
    assert [path.with_suffix("").with_suffix("").name for path in fixture_files(FOLDER)] == [p.stem for p in FILES]


def test_the_rules_raise_what_the_table_says(rules: RuleSet) -> None:
    assert {name: rule.severity for name, rule in rules.rules.items()} == SEVERITIES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_fixtures_hold_fire_each_rule_and_keep_it_silent(path: Path, rules: RuleSet) -> None:
    fixtures = path.with_suffix(".test.toml")
    outcome = run_fixtures(fixtures, rules)
    assert not outcome.failures, "\n".join(map(str, outcome.failures))

    cases = tomllib.loads(fixtures.read_text(encoding="utf-8"))["cases"]
    expected = {hit["rule"] for case in cases for seen in case["sightings"] for hit in seen.get("expect", ())}
    silent = {name for name, rule in rules.rules.items() if rule.silent}
    assert {name for name, file in rules.files.items() if file == path} - silent <= expected
    assert any(not any(seen.get("expect") for seen in case["sightings"]) for case in cases)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_file_begins_with_its_number_and_names_its_sources(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    head = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert head.startswith(f"# {int(path.name[:2])}. ")
    assert re.search(r"^# Sources?: ", head, re.MULTILINE) or "Decree" in head


def test_messages_are_in_both_languages_and_say_what_is_not_known(rules: RuleSet) -> None:
    for name, rule in rules.rules.items():
        for text in (rule.vi, rule.message.vi):
            assert unicodedata.is_normalized("NFC", text), name
            assert re.search("[àáạảãăằắặẳẵâầấậẩẫèéẹẻẽêềếệểễìíịỉĩòóọỏõôồốộổỗơờớợởỡùúụủũưừứựửữỳýỵỷỹđ]", text.lower()), (
                name
            )
        for text in (rule.en, rule.message.en):
            assert text.isascii(), name
        fields = [set(re.findall(r"{([a-z_.]+)}", text)) for text in (rule.message.vi, rule.message.en)]
        assert fields[0] == fields[1], name
        if not rule.silent:
            assert re.search("Có thể|có thể|[Cc]hưa|[Kk]hông|Camera|Quản trị viên", rule.message.vi), name


@pytest.mark.parametrize(("name", "need"), NEEDS.items())
def test_a_rule_says_what_it_cannot_know_where_the_site_gives_nothing(rules: RuleSet, name: str, need: str) -> None:
    nothing = Known(Places())
    assert any(need in line.en for line in silence_of(rules.rules[name], nothing, rules.zones).causes)
    assert any("silent" in line for line in explain(name, rules, nothing)[1])


def test_nothing_silences_a_stolen_car_but_its_own_surer_alert(rules: RuleSet) -> None:
    silencers = {
        (rule.name, name)
        for rule in rules.rules.values()
        for name in rule.suppresses or ()
        if name in ("stolen", "stolen-near")
    }
    assert silencers == {("stolen", "stolen-near")}


def test_the_verb_runs_them() -> None:
    run = CliRunner().invoke(app, ["test", str(FOLDER)])
    assert run.exit_code == 0, run.output
    assert "0 failures" in run.output
