"""Rule files: what is wrong is told all at once, each at its line and column with the cure."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from making_rules import rule_text

from anpr import assets
from anpr.config import ruling
from anpr.config.fields import Table
from anpr.config.ruling import RuleOverride
from anpr.errors import ConfigError
from anpr.rules import fixtures, language
from anpr.rules.load import RuleSet, load_rules

Load = Callable[..., RuleSet]
ZONE = """
[[zones]]
name = "epidemic"
vi = "vùng dịch"
en = "epidemic zone"
[[zones.periods]]
provinces_before = ["Bắc Giang"]
"""


def problems_of(tmp_path: Path, text: str) -> list[str]:
    """The problems of a file without its path."""
    file = tmp_path / "bad.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_rules([file])
    return [problem.removeprefix(f"{file}:") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("when", "more", "expected"),
    [
        ('{ kind = "cra" }', "", "7:17: rules.when.kind cannot be 'cra' (did you mean 'car'?)"),
        ('{ kind = ["car", "bike"] }', "", "7:25: rules.when.kind cannot be 'bike' (did you mean 'motorbike'?)"),
        ('{ colours = "blue" }', "", "7:10: unknown key 'colours' (did you mean 'colour'?)"),
        ('{ sean = { within = "6h" } }', "", "7:10: unknown key 'sean' (did you mean 'seen'?)"),
        ('{ seen = { withn = "6h", within = "6h" } }', "", "7:19: unknown key 'withn' (did you mean 'within'?)"),
        ("{ seen = { times = 2 } }", "", "7:17: rules.when.seen.within is missing (add within to [rules.when.seen])"),
        (
            '{ any = [{ not = { seen = { within = "6" } } }] }',
            "",
            '7:45: rules.when.any.not.seen.within: no duration: \'6\' (like "90s", "30m", "6h" or "14d")',
        ),
        (
            '{ any = [{ code = "20" }, { kode = "20" }] }',
            "",
            "7:36: unknown key 'kode' (did you mean 'code'?)",
        ),
        (
            '{ code = "87" }',
            "",
            "7:17: rules.when.code: province code '87' was never assigned (two digits in quotes, like \"98\")",
        ),
        (
            '{ province = "Bac Giang" }',
            "",
            "7:21: rules.when.province: no province 'Bac Giang' (write its name with its accents, like Bắc Giang)",
        ),
        (
            '{ plate = "ÔA" }',
            "",
            "7:18: rules.when.plate: character 'Ô' (U+00D4) at position 1 of 'ÔA' is never on a plate "
            "(did you mean O?)",
        ),
        ("{ }", "", "7:8: a condition without a predicate would be true of every passage (add one)"),
        (
            '{ kind = "car", not = { } }',
            "",
            "7:30: a condition without a predicate would be true of every passage (add one)",
        ),
        ('{ zone = "epidmic" }', "", "7:17: no zone 'epidmic' (did you mean 'epidemic'?)"),
        ('{ province_zone = "x" }', "", "7:26: no zone 'x' (known: epidemic)"),
        ('{ seen = { within = "6h", zone = "x" } }', "", "7:41: no zone 'x' (known: epidemic)"),
        ('{ order = { within = "6h", zones = ["epidemic", "x"] } }', "", "7:56: no zone 'x' (known: epidemic)"),
        ('{ declared = { origin_zone = "x" } }', "", "7:37: no zone 'x' (known: epidemic)"),
        ('{ kind = "car" }', 'unless = { zone = "x" }', "9:19: no zone 'x' (known: epidemic)"),
        ('{ kind = "car" }', 'unless = { sone = "x" }', "9:12: unknown key 'sone' (did you mean 'zone'?)"),
        ('{ kind = "car" }', 'unless = [{ kind = "car" }, { zone = "x" }]', "9:38: no zone 'x' (known: epidemic)"),
        ('{ kind = "car" }', 'raises_with = "rulle"', "9:15: no rule 'rulle' (did you mean 'rule'?)"),
        ('{ kind = "car" }', 'suppresses = ["other"]', "9:15: no rule 'other' (known: rule)"),
        (
            '{ kind = "car" }',
            'suppresses = "rule"',
            "2:1: rules raise or suppress each other in a circle: rule → rule (take one of them out)",
        ),
        (
            '{ kind = "military" }',
            "",
            '7:17: rules skip these kinds, so this one is never true (add allow_kinds = ["military"])',
        ),
        (
            "{ readable = false }",
            'cooldown = "1h"',
            '9:12: an unreadable plate has no cooldown (add cooldown_per = "camera")',
        ),
        (
            "{ readable = false }",
            'confirmations = { sightings = 2, within = "1h" }',
            "9:17: unreadable passages cannot confirm each other (use unread_before)",
        ),
        (
            '{ seen = { within = "4h", later = true } }',
            "",
            "7:28: later looks further ahead than the rule waits (give the rule a wait of at least the same length)",
        ),
        (
            '{ seen = { within = "4h", at_least = "4h" } }',
            "",
            "7:17: at_least is not shorter than within, so nothing can be seen",
        ),
        ('{ order = { within = "4h" } }', "", "7:18: give exactly one of cameras and zones"),
        (
            '{ order = { within = "4h", cameras = ["a"] } }',
            "",
            "7:45: rules.when.order.cameras has too few values (give at least 2)",
        ),
        (
            '{ lookup = { from = "r", field = "x" } }',
            "",
            "7:19: 0 tests where one is needed (one of known, is, is_not, over, under, older_than, differs_from)",
        ),
        ('{ lookup = { from = "r", over = 3 } }', "", "7:19: known stands without a field, every other test with one"),
        ("{ probability = { min = 0.9, max = 0.8 } }", "", "7:24: min 0.9 is above max 0.8"),
        (
            '{ time = "25:00-26:00" }',
            "",
            '7:17: rules.when.time: no hours: \'25:00-26:00\' (like "06:00-22:00", or "22:00-05:00" over midnight)',
        ),
        ('{ kind = "car" }', 'cooldown = "0s"', '9:12: rules.cooldown: must be longer than nothing (like "30m")'),
        ('{ kind = "car" }', 'cooldown = "9999d"', "9:12: rules.cooldown: 9999d is too long (at most 400d)"),
        ('{ kind = "car" }', 'severty = "INFO"', "9:1: unknown key 'severty' (did you mean 'severity'?)"),
        (
            '{ kind = "car" }',
            "valid_from = 2026-05-02\nvalid_until = 2026-05-01",
            "2:1: rule 'rule' ends before it begins (valid_until comes after valid_from)",
        ),
    ],
)
def test_a_mistake_is_told_where_it_stands(tmp_path: Path, when: str, more: str, expected: str) -> None:
    assert problems_of(tmp_path, rule_text(when, more) + ZONE) == [expected]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{plat}", "8:55: no predicate of this rule tells {plat} (did you mean {plate}?)"),
        ("{seen_ago}", "8:55: no predicate of this rule tells {seen_ago} (this rule has: camera, "),
        (
            "{plate",
            "8:55: the template is broken: expected '}' before end of string (write {plate}; a brace itself is {{)",
        ),
        ("{plate!r}", "8:55: {plate} cannot be formatted (write {plate} alone)"),
        ("{register.x}", "8:55: no predicate of this rule tells {register.x} ("),
    ],
)
def test_a_template_is_checked(tmp_path: Path, template: str, expected: str) -> None:
    text = rule_text(
        '{ kind = "car", not = { seen = { within = "1h" } } }', vi="biển số {plate} {{x}} đi qua", en=template
    )
    (problem,) = problems_of(tmp_path, text)
    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("when", "wrong"),
    [
        ('{ province_zone = "epidemic" }', True),
        ('{ code = "98", bound = "in", kind = "car", time = "22:00-05:00" }', True),
        ('{ plate = "98*" }', True),
        ('{ any = [{ listed = {} }, { province = "Bắc Ninh" }] }', True),
        ('{ all = [{ province_before = "Bắc Giang" }, { not = { declared = {} } }] }', True),
        ('{ province_zone = "epidemic", seen = { within = "6h", at_most_times = 0 } }', True),
        ('{ province_zone = "epidemic", seen = { within = "6h" } }', False),
        ('{ province_zone = "epidemic", any = [{ listed = {} }, { declared = { valid = false } }] }', False),
        ('{ province_zone = "epidemic", declared = { origin_zone = "epidemic" } }', False),
        ('{ province_zone = "epidemic", declared = { type = "khaibao", valid = true, within = "2h" } }', True),
        ("{ declared = { origin_is_plate_province = false } }", True),
        ("{ declared = { origin_is_plate_province = false, persons_more_than = 1 } }", False),
        ('{ not = { province_zone = "epidemic" }, kind = "motorbike" }', True),
        ('{ not = { province = "Thái Nguyên" } }', True),
        ('{ not = { not = { code = "98" } } }', True),
        ('{ not = { not = { code = "98", listed = {} } } }', False),
        ('{ code = "98", lookup = { from = "registry", known = false } }', True),
        ('{ code = "98", not = { lookup = { from = "registry", known = false } } }', False),
        ('{ code = "98", lookup = { from = "registry", field = "status", is_not = ["ok"] } }', True),
        ('{ code = "98", not = { lookup = { from = "registry", field = "status", is_not = ["lost"] } } }', False),
        ('{ code = "98", lookup = { from = "registry", field = "status", is = ["lost"] } }', False),
        ('{ code = "98", not = { listed = { list = "residents" } } }', True),
        ('{ code = "98", not = { seen = { within = "6h" } } }', True),
        ('{ code = "98", not = { seen = { within = "6h", at_most_times = 2 } } }', False),
        (
            '{ code = "98", zone = "epidemic", camera = "km3", lane = "1", speed_kmh = { min = 120 } }',
            True,
        ),
        ('{ not = { any = [{ not = { listed = {} } }, { not = { code = "98" } }] } }', False),
        ('{ not = { all = [{ not = { listed = {} } }, { not = { code = "98" } }] } }', True),
        ('{ kind = "motorbike" }', False),
    ],
)
def test_the_plates_province_alone_is_never_an_alert(tmp_path: Path, load: Load, when: str, wrong: bool) -> None:
    alert = rule_text(when, severity="ALERT") + ZONE
    assert load(rule_text(when) + ZONE).rules["rule"].severity == "CHECK"
    if wrong:
        (problem,) = problems_of(tmp_path, alert)
        assert problem.startswith(
            "6:12: the plate's province alone must not raise an ALERT (make it CHECK, or add one of "
        )
    else:
        assert load(alert).rules["rule"].severity == "ALERT"


@pytest.mark.parametrize(
    ("when", "unless", "wrong"),
    [
        ('{ direction = "approaching" }', '{ code = ["20", "97"] }', True),
        ('{ direction = "approaching" }', '[{ listed = { list = "supply" } }, { province = "Thái Nguyên" }]', True),
        ('{ direction = "approaching" }', '{ code = "20", listed = { list = "supply" } }', True),
        ('{ direction = "approaching" }', '{ plate = "20*" }', True),
        ('{ direction = "approaching" }', '{ not = { plate = "20A-123.45" } }', True),
        ('{ direction = "approaching" }', '{ plate = ["20A-123.45", "20A-123.46"] }', False),
        ('{ direction = "approaching" }', '{ code = "80" }', False),
        ('{ direction = "approaching" }', '{ listed = { list = "supply" } }', False),
        ('{ seen = { within = "6h" } }', '{ code = ["20", "97"] }', False),
    ],
)
def test_nor_is_it_by_an_exemption(tmp_path: Path, load: Load, when: str, unless: str, wrong: bool) -> None:
    alert = rule_text(when, f"unless = {unless}", severity="ALERT")
    if wrong:
        (problem,) = problems_of(tmp_path, alert)
        assert problem.startswith("6:12: the plate's province alone must not raise an ALERT")
    else:
        assert load(alert).rules["rule"].severity == "ALERT"


def test_nor_is_it_by_a_rule_that_silences(tmp_path: Path, load: Load) -> None:
    alert = rule_text('{ direction = "approaching" }', name="all", severity="ALERT")
    residents = rule_text('{ code = ["20", "97"] }', 'silent = true\nsuppresses = "all"')
    assert problems_of(tmp_path, alert + residents) == [
        "19:14: so the plate's province alone would decide whether rule 'all' raises an ALERT (rule 'all' needs one of "
        "listed, seen, order, dwell, travel, convoy, declared, lookup, or is no ALERT)"
    ]
    seen = rule_text('{ seen = { within = "6h" } }', name="all", severity="ALERT")
    assert load(seen + residents).rules.keys() == {"all", "rule"}
    assert load(alert.replace("ALERT", "CHECK") + residents).rules.keys() == {"all", "rule"}
    guests = rule_text("{ listed = {} }", 'silent = true\nsuppresses = "all"')
    assert load(alert + guests).rules.keys() == {"all", "rule"}


def test_province_does_not_raise_another_rule_to_alert(tmp_path: Path) -> None:
    text = rule_text('{ direction = "approaching" }', 'raises_with = ["other"]') + rule_text(
        '{ code = "98" }', name="other"
    )
    (problem,) = problems_of(tmp_path, text)
    assert problem.startswith("9:16: rule 'other' has no evidence beyond the plate's province to raise this one")


def test_province_rises_to_alert_only_with_evidence(tmp_path: Path, load: Load) -> None:
    province = rule_text('{ code = "98" }', 'raises_with = ["other"]')
    (problem,) = problems_of(tmp_path, province + rule_text('{ bound = "in" }', name="other"))
    assert problem.startswith(
        "9:16: rule 'other' has no evidence beyond the plate's province to raise this one to ALERT ("
    )
    assert load(province + rule_text('{ seen = { within = "6h" } }', name="other")).rules.keys() == {"rule", "other"}


def test_a_site_cannot_raise_a_province_rule_to_alert(load: Load) -> None:
    override = RuleOverride.model_validate({"severity": "ALERT"})
    with pytest.raises(ConfigError, match="province alone"):
        load(rule_text('{ code = "98" }'), overrides={"rule": override})


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(rule_text('{ kind = "cra" }') + rule_text('{ kind = "car" }', "x = 1", name="b"))
    (tmp_path / "b.toml").write_text("[[rules]\n")
    (tmp_path / "c.toml").write_text(rule_text('{ zone = "epidemic" }', name="c"))
    (tmp_path / "c.test.toml").write_text("this is no rule file")
    with pytest.raises(ConfigError) as caught:
        load_rules([tmp_path])
    assert [problem.removeprefix(f"{tmp_path}/") for problem in caught.value.problems] == [
        "b.toml:1:8: not TOML: Expected ']]' at the end of an array declaration",
        "a.toml:7:17: rules.when.kind cannot be 'cra' (did you mean 'car'?)",
        "a.toml:18:1: unknown key 'x' (known: allow_kinds, confirmations, cooldown, cooldown_per, dry_run, en, "
        "enabled, late, message, min_probability, name, raised_severity, raises_with, severity, silent, suppresses, "
        "unless, valid_from, valid_until, vi, wait, when)",
    ]


def test_what_well_formed_rules_say_is_checked_though_others_are_not_well_formed(tmp_path: Path) -> None:
    bad = [
        rule_text('{ kind = "cra" }', name="a"),
        rule_text('{ zone = "x", province_zone = "half" }', 'raises_with = ["a", "rull"]', vi="{plat}", name="b"),
        rule_text('{ code = "98" }', name="c", severity="ALERT"),
        rule_text('{ kind = "car" }', name="a"),
        rule_text('{ kind = "car" }', "wiat = '2h'", name="c"),
        '[[zones]]\nname = "half"\nvi = "z"\nen = "z"\ncolour = 1\n',
    ]
    problems = problems_of(tmp_path, "".join(bad))
    assert [problem.split(" (")[0] for problem in problems] == [
        "7:17: rules.when.kind cannot be 'cra'",
        "16:17: no zone 'x'",
        "17:18: no predicate of this rule tells {plat}",
        "18:21: no rule 'rull'",
        "24:12: the plate's province alone must not raise an ALERT",
        f"30:8: rule 'a' is there already, in {tmp_path}/bad.toml:2",
        f"39:8: rule 'c' is there already, in {tmp_path}/bad.toml:20",
        "45:1: unknown key 'wiat'",
        "50:1: unknown key 'colour'",
    ]


@pytest.mark.parametrize(
    "half", ["[[zone]]\nname = 'x'\n", "[[zones]]\nnmae = 'x'\nvi = 'x'\nen = 'x'\n", "zones = 3\n"]
)
def test_no_name_is_called_missing_that_may_stand_in_what_is_wrong(tmp_path: Path, half: str) -> None:
    text = rule_text('{ zone = "x" }', vi="{plat}")
    problems = problems_of(tmp_path, half + text if half.startswith("zones") else text + half)
    assert any("no predicate of this rule tells {plat}" in problem for problem in problems)
    assert not any("no zone" in problem for problem in problems)


def test_fixtures_are_no_rules(tmp_path: Path) -> None:
    file = tmp_path / "x.test.toml"
    file.write_text("[[cases]]\n")
    (tmp_path / "b.toml").write_text(rule_text('{ zone = "x" }', vi="{plat}"))
    with pytest.raises(ConfigError) as caught:
        load_rules([file, tmp_path / "b.toml"])
    first, second = caught.value.problems
    assert first == (
        f"{file}: a file of fixtures, which test rules, and no rule file "
        f"(`anpr rules test {tmp_path}` runs it; check x.toml)"
    )
    assert "{plat}" in second


def test_a_name_stands_once(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(rule_text('{ kind = "car" }'))
    (tmp_path / "b.toml").write_text(rule_text('{ kind = "car" }'))
    with pytest.raises(ConfigError, match=r"b\.toml:3:8: rule 'rule' is there already, in .*a\.toml:2 \(give each"):
        load_rules([tmp_path])


def test_rules_that_wait_relate_only_to_such(tmp_path: Path) -> None:
    text = rule_text('{ kind = "car" }', 'wait = "1h"\nsuppresses = "other"') + rule_text(
        '{ kind = "car" }', name="other"
    )
    assert problems_of(tmp_path, text) == [
        "10:14: rule 'other' is judged at another time (give both the same wait, or neither)"
    ]


def test_a_circle_over_several_rules(tmp_path: Path) -> None:
    text = (
        rule_text('{ kind = "car" }', 'suppresses = "b"', name="a")
        + rule_text('{ kind = "car" }', 'raises_with = "c"', name="b")
        + rule_text('{ kind = "car" }', 'suppresses = "b"', name="c")
    )
    assert problems_of(tmp_path, text) == [
        "11:1: rules raise or suppress each other in a circle: b → c → b (take one of them out)"
    ]


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        (
            "until = 2026-05-01\nfrom = 2026-05-02\ncodes = ['98']",
            "6:1: the period ends before it begins (until comes after from)",
        ),
        (
            "from = 2026-05-02",
            "6:1: the period holds nothing (give provinces, provinces_before, codes, sites or cameras)",
        ),
        ("from = 2026", "7:8: zones.periods.from: no date: '2026' (like 2026-03-31 or 2026-03-31T18:00+07:00)"),
        ("province = ['Bắc Ninh']\ncodes = ['98']", "7:1: unknown key 'province' (did you mean 'provinces'?)"),
    ],
)
def test_zones_are_checked(tmp_path: Path, period: str, expected: str) -> None:
    text = f'\n[[zones]]\nname = "z"\nvi = "z"\nen = "z"\n[[zones.periods]]\n{period}\n'
    assert problems_of(tmp_path, text) == [expected]


def test_a_site_may_change_rules_and_zones(tmp_path: Path, load: Load) -> None:
    zones = tmp_path / "zones.toml"
    zones.write_text(ZONE.replace("Bắc Giang", "Hà Nam"))
    override = RuleOverride.model_validate({"severity": "INFO", "cooldown": "2h", "enabled": False})
    rules = load(rule_text('{ zone = "epidemic" }') + ZONE, zones=zones, overrides={"rule": override}, dry_run=True)
    rule = rules.rules["rule"]
    assert (rule.severity, rule.cooldown, rule.enabled, rule.dry_run) == ("INFO", 7200.0, False, True)
    assert rules.zones["epidemic"].periods[0].provinces_before == ("Hà Nam",)


def test_a_change_of_a_rule_that_is_not_there_is_refused(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"overrides a rule 'rull' that is not there \(did you mean 'rule'\?\)"):
        load(rule_text('{ kind = "car" }'), overrides={"rull": RuleOverride()})


def test_the_version_changes_with_the_content(load: Load) -> None:
    text = rule_text('{ province_zone = "epidemic" }')
    version = load(text + ZONE).version("rule")
    assert load("# a remark\n" + text + ZONE).version("rule") == version
    assert load(text.replace("CHECK", "INFO") + ZONE).version("rule") != version
    assert load(text + ZONE.replace("Bắc Giang", "Hà Nam")).version("rule") != version


def test_a_folder_without_rules_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.test.toml").touch()
    with pytest.raises(ConfigError, match="the folder holds no rules"):
        load_rules([tmp_path])


def test_a_folder_that_cannot_be_looked_at_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be read: File name too long"):
        load_rules([Path("x" * 300)])


def test_the_shipped_rules_load() -> None:
    rules = load_rules([assets.folder("configs") / "rules"])
    assert len(rules.rules) >= 17
    assert len({rules.version(name) for name in rules.rules}) == len(rules.rules)


def test_every_key_of_the_language_is_described() -> None:
    text = (Path(__file__).parents[2] / "docs/rules.md").read_text(encoding="utf-8")
    tables = {
        table
        for module in (language, fixtures, ruling)
        for table in vars(module).values()
        if isinstance(table, type) and issubclass(table, Table)
    }
    keys = {field.alias or name for table in tables for name, field in table.model_fields.items()}
    assert len(keys) > 100
    fences = re.findall(r"^```toml\n(.*?)^```$", text, re.M | re.S)
    inline = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    told = set(re.findall(r"[a-z_]+", " ".join((*fences, *inline))))
    assert sorted(keys - told) == []
