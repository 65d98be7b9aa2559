"""What a site file says of rules, opened; and the verbs that work on rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from making_rules import rule_text, sighting
from running_verbs import run

from anpr.cli import exits
from anpr.clock import ManualClock, SystemClock
from anpr.config import load_site
from anpr.errors import ConfigError, DeclarationError
from anpr.rules.memory import MemoryHistory
from anpr.rules.opening import JOURNAL, Flaws, flaws_of, known_of, load_site_rules, open_rules, places_of
from anpr.rules.silence import silence_of

SITE = """
[box]
id = "box"
[site]
id = "ct07"
[store]
path = "store"
[bus]
endpoint = "tcp://127.0.0.1:*"
[[cameras]]
id = "in"
url = "rtsp://10.0.0.1/x"
direction = "approaching"
place = { road = "CT.07", km = 12.0, province = "Thái Nguyên", inbound = "approaching" }
[[cameras]]
id = "ramp"
url = "rtsp://10.0.0.2/x"
"""
RULES = rule_text(
    '{ bound = "in", lookup = { from = "registry", field = "fines", over = 1 } }', name="fines"
) + rule_text("{ declared = { persons_more_than = 1 } }", name="persons")
FULL = """
[rules]
folder = "rules"
zones = "zones.toml"
declarations = "declarations.csv"
intake = "tcp://127.0.0.1:7782"
dry_run = true
lateness = "45s"
[rules.overrides.fines]
severity = "INFO"
[[rules.lookups]]
name = "registry"
file = "registry.csv"
[[rules.distances]]
from = "in"
to = "ramp"
km = 1.4
"""
ZONES = '\n[[zones]]\nname = "gates"\nvi = "cửa"\nen = "gates"\n'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "rules/one.toml").write_text(RULES)
    (tmp_path / "zones.toml").write_text(ZONES)
    (tmp_path / "declarations.csv").write_text("plate,type,declared,persons\n98C-012.34,khaibao,2026-05-20T08:00,3\n")
    (tmp_path / "registry.csv").write_text("plate,fines\n98C-012.34,2\n")
    file = tmp_path / "site.toml"
    file.write_text(SITE + FULL)
    return file


def test_a_site_without_rules(site: Path) -> None:
    site.write_text(SITE)
    config = load_site(site, environment=None)
    assert open_rules(config, clock=ManualClock()) is None
    assert flaws_of(config, clock=ManualClock()) == Flaws()


def test_all_that_a_site_says(site: Path) -> None:
    config = load_site(site, environment=None)
    opened = open_rules(config, clock=ManualClock())
    assert opened is not None
    passage = sighting(camera="in", direction="unknown")
    raised = opened.book.evaluate(passage, history=MemoryHistory())
    assert {each.hit.rule: (each.hit.severity, each.dry_run) for each in raised} == {
        "fines": ("INFO", True),
        "persons": ("CHECK", True),
    }
    assert places_of(config).distance_km("in", "ramp") == 1.4
    assert opened.book.declarations is opened.declarations
    opened.declarations.push({"plate": "98C-012.34", "type": "x", "declared": "2026-05-20T09:00", "persons": 1})
    assert (config.store.path / JOURNAL).exists()
    again = open_rules(config, clock=ManualClock())
    assert again is not None
    assert [each.hit.rule for each in again.book.evaluate(passage, history=MemoryHistory())] == ["fines"]
    assert opened.totals().total("declarations_pushed") == 1
    for each in (opened, again):
        each.close()


@pytest.mark.parametrize(
    ("change", "error", "problem"),
    [
        (('"rules"', '"nowhere"'), ConfigError, "nowhere does not exist"),
        (("overrides.fines", "overrides.fine"), ConfigError, "overrides a rule 'fine' that is not there"),
        (("127.0.0.1:7782", "0.0.0.0:7782"), ConfigError, "would come unencrypted through tcp://0.0.0.0:7782"),
        (('file = "registry.csv"', ""), ConfigError, "register 'registry' needs exactly one of file and url"),
        (('file = "registry.csv"', 'url = "https://x/"'), ConfigError, "no address of a register"),
        (('file = "registry.csv"', 'url = "http://x.vn/{plate}"'), ConfigError, "leave this machine unencrypted"),
        (('file = "registry.csv"', 'url = "https://a:b@x.vn/{plate}"'), ConfigError, "must not carry a password"),
        (('to = "ramp"', 'to = "in"'), ConfigError, "from and to are both 'in'"),
        (('road = "CT.07", ', ""), ConfigError, "road and km go together"),
        (('lateness = "45s"', "lateness = 45"), ConfigError, "no duration: '45'"),
        (('"declarations.csv"', '"site.toml"'), DeclarationError, "the column 'plate' is missing"),
        (('"registry.csv"', '"site.toml"'), ConfigError, "the column 'plate' is missing"),
        (
            ("[[rules.distances]]", '[[rules.lookups]]\nname = "registry"\nfile = "registry.csv"\n[[rules.distances]]'),
            ConfigError,
            "two registers have one name",
        ),
    ],
)
def test_a_wrong_site_is_refused(site: Path, change: tuple[str, str], error: type[Exception], problem: str) -> None:
    site.write_text((SITE + FULL).replace(*change))
    problems: tuple[str, ...] = ()
    try:
        config = load_site(site, environment=None)
    except ConfigError as refused:
        problems = refused.problems
    else:
        problems = flaws_of(config, clock=ManualClock()).problems
        with pytest.raises(error):
            open_rules(config, clock=ManualClock())
    assert any(problem in each for each in problems), problems


def test_bad_rows_that_are_left_out_are_told(site: Path) -> None:
    rows = "".join(f"30A-{number:03}.45,0\n" for number in range(200))
    (site.parent / "registry.csv").write_text(f"plate,fines\n98C-012.34,2\nX,1\n{rows}")
    config = load_site(site, environment=None)
    flaws = flaws_of(config, clock=ManualClock())
    assert flaws.problems == ()
    (line,) = flaws.left_out
    assert line.startswith(f"{site.parent}/registry.csv:3: plate 'X' is no Vietnamese plate")
    result = run("check-config", site)
    assert result.exit_code == exits.OK
    assert result.output.splitlines()[-2:] == [f"{line}: the row is left out", f"{site}: site, no mistakes"]
    result = run("check-config", site, "--json")
    told = json.loads(result.output.splitlines()[-1])
    assert (told["problems"], told["left_out"]) == ([], [line])
    opened = open_rules(config, clock=ManualClock())
    assert opened is not None
    assert [(each.name, each.plates, each.left_out) for each in opened.data] == [
        ("declarations", 1, 0),
        ("register registry", 201, 1),
    ]
    opened.close()


def test_a_register_over_http_is_set_up(site: Path) -> None:
    site.write_text((SITE + FULL).replace('file = "registry.csv"', 'url = "http://127.0.0.1:9/{plate}"'))
    config = load_site(site, environment=None)
    assert flaws_of(config, clock=ManualClock()) == Flaws()
    opened = open_rules(config, clock=ManualClock())
    assert opened is not None
    assert opened.lookups.ask("registry", "29A12345") is None
    assert opened.lookups.counters.total("lookups_unknown") == 1
    opened.close()


def test_what_a_site_knows(site: Path) -> None:
    config = load_site(site, environment=None)
    assert config.rules is not None
    rules = load_site_rules(config.rules)
    known = known_of(config, now_seconds=0.0)
    assert not any(silence_of(rule, known, rules.zones).causes for rule in rules.rules.values())
    site.write_text(SITE)
    known = known_of(load_site(site, environment=None), now_seconds=0.0)
    assert all(silence_of(rule, known, rules.zones).causes for rule in rules.rules.values())


def test_rules_that_can_never_be_true_are_told_and_are_no_mistake(site: Path) -> None:
    stolen = rule_text('{ listed = { list = "stolen" } }', name="stolen")
    colour = rule_text('{ lookup = { from = "registry", field = "colour", is = "red" } }', name="colour")
    (site.parent / "rules/two.toml").write_text(stolen + colour)
    (site.parent / "xe.csv").write_text("plate,reason\n30A-123.45,x\n")
    lists = '[[lists]]\nname = "xe-mat-cap"\nfile = "xe.csv"\n'
    over = lists.replace("xe-mat-cap", "stolen") + "valid_until = 2020-01-01\n"
    elsewhere = lists.replace("xe-mat-cap", "stolen") + 'sites = ["km5"]\n'
    for given, has in ((lists, " (it has xe-mat-cap)"), (lists + over, " (it has xe-mat-cap)"), (elsewhere, "")):
        site.write_text(SITE + FULL + given)
        flaws = flaws_of(load_site(site, environment=None), clock=SystemClock())
        assert flaws.problems == ()
        none = f"list stolen: none of this name holds at the site{has}"
        assert flaws.silent == (f"stolen: {none}", "colour: register registry: no column colour")
    site.write_text(SITE + FULL + lists.replace("xe-mat-cap", "stolen"))
    result = run("check-config", site)
    assert result.exit_code == exits.OK
    assert result.output.splitlines()[-2:] == [
        f"{site}: rules that are silent at this site: colour: register registry: no column colour",
        f"{site}: site, no mistakes",
    ]
    result = run("check-config", site, "--json")
    assert json.loads(result.output.splitlines()[-1])["silent"] == ["colour: register registry: no column colour"]
    opened = open_rules(load_site(site, environment=None), clock=SystemClock())
    assert opened is not None
    silent = opened.silent_of(opened.book, ["stolen"])
    assert silent == ("colour: register registry: no column colour",)
    opened.close()


def test_a_register_that_cannot_be_read_may_know_everything(site: Path) -> None:
    (site.parent / "registry.csv").unlink()
    known = known_of(load_site(site, environment=None), now_seconds=0.0)
    assert known.registers == {"registry": None}
    (site.parent / "registry.csv").write_bytes(b"\xff\xfep")
    assert known_of(load_site(site, environment=None), now_seconds=0.0).registers == {"registry": None}


def rules(*words: object) -> tuple[int, str]:
    result = run("rules", *words)
    if isinstance(result.exception, ConfigError):
        return exits.code_of(result.exception), str(result.exception)
    return result.exit_code, result.output


def test_check(site: Path) -> None:
    folder = str(site.parent / "rules")
    assert rules("check", folder) == (exits.OK, "2 rules, 0 zones, no mistakes\n")
    assert json.loads(rules("check", folder, "--json")[1]) == {"rules": 2, "zones": 0, "problems": []}
    (site.parent / "rules/two.toml").write_text(rule_text('{ zone = "x" }', name="two"))
    code, output = rules("check", folder)
    assert code == exits.CONFIGURATION
    assert output == f"{folder}/two.toml:7:17: no zone 'x' (known: none)\n"
    assert rules("check", str(site.parent / "nowhere"))[0] == exits.CONFIGURATION


def test_explain(site: Path) -> None:
    code, output = rules("explain", "fines", "--site", str(site), "--language", "en")
    assert code == exits.OK
    assert "INFO · rule" in output
    assert "by registry, fines is over 1" in output
    site.write_text(SITE)
    told = json.loads(rules("explain", "persons", str(site.parent / "rules"), "--site", str(site), "--json")[1])
    assert told["silent"] is True
    assert told["en"][-1] == "→ the rule is silent at this site: declarations: the site has none"
    code, output = rules("explain", "fine", str(site.parent / "rules"))
    assert (code, output) == (exits.CONFIGURATION, "there is no rule 'fine' (did you mean 'fines'?)")


def test_the_shipped_rules_are_explained_by_default() -> None:
    code, output = rules("explain", "all", "--language", "vi")
    assert code == exits.OK
    assert output.count("Khi tất cả các điều sau đều đúng:") >= 17


def test_fixtures(site: Path) -> None:
    folder = site.parent / "rules"
    assert rules("test", str(folder))[0] == exits.CONFIGURATION
    text = '[[cases]]\nname = "c"\nsightings = [{ plate = "98C-012.34", camera = "a", at = 2026-05-20'
    (folder / "one.test.toml").write_text(text + " }]\n")
    assert rules("test", str(folder)) == (exits.OK, "1 cases, 0 expected hits, 0 failures\n")
    (folder / "one.test.toml").write_text(text + ', expect = { rule = "fines", severity = "CHECK" } }]\n')
    code, output = rules("test", str(folder))
    assert code == exits.FINDINGS
    assert output.splitlines() == [
        f"{folder}/one.test.toml:3:14: c: sighting 1: fines should raise CHECK and does not: "
        "bound is unknown, lookup is unknown",
        "1 cases, 1 expected hits, 1 failures",
    ]
    assert json.loads(rules("test", str(folder), "--json")[1])["expected_hits"] == 1
