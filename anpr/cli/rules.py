"""`anpr rules check|explain|test`: the rules, before they run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from anpr.cli import exits

if TYPE_CHECKING:
    from anpr.config import Site
    from anpr.rules.load import RuleSet

app = typer.Typer(help="Check, explain and test rules.", no_args_is_help=True)

Language = Literal["vi", "en", "both"]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
SiteOption = Annotated[
    Path | None, typer.Option("--site", metavar="SITE", help="Site file: its rules, zones and overrides.")
]


@app.command("check")
def check_rules(
    paths: Annotated[list[Path], typer.Argument(help="Rule files, or folders of them.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Tell every mistake of rule files, each at file:line:column with its cure. Exit code 78 if there are any."""
    from anpr.errors import ConfigError
    from anpr.rules.load import load_rules

    problems: tuple[str, ...] = ()
    rules = zones = 0
    try:
        checked = load_rules(paths)
        rules, zones = len(checked.rules), len(checked.zones)
    except ConfigError as error:
        problems = error.problems
    if as_json:
        told = {"rules": rules, "zones": zones, "problems": list(problems)}
        print(json.dumps(told, ensure_ascii=False))
    else:
        print("\n".join(problems) if problems else f"{rules} rules, {zones} zones, no mistakes")
    raise typer.Exit(exits.CONFIGURATION if problems else exits.OK)


@app.command("explain")
def explain_rule(
    name: Annotated[str, typer.Argument(metavar="RULE", help="Name of a rule, or `all`.")],
    path: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", help="Rule file or folder; the site's or the shipped rules.")
    ] = None,
    site: SiteOption = None,
    language: Annotated[Language, typer.Option("--language", help="Of the sentences.")] = "both",
    as_json: JsonOption = False,
) -> None:
    """Print a rule as sentences, and what it asks in vain at the site."""
    from anpr.clock import SystemClock
    from anpr.errors import ConfigError
    from anpr.rules.checks import did_you_mean
    from anpr.rules.explain import explain
    from anpr.rules.opening import known_of
    from anpr.rules.silence import silence_of

    config = _load(site)
    rules = _rules(path, config)
    known = known_of(config, now_seconds=SystemClock().wall_seconds()) if config is not None else None
    if name != "all" and name not in rules.rules:
        raise ConfigError(f"there is no rule {name!r}", cure=did_you_mean(name, rules.rules.keys()))
    told = []
    for each in rules.rules if name == "all" else (name,):
        vietnamese, english = explain(each, rules, known)
        silent = known is not None and bool(silence_of(rules.rules[each], known, rules.zones).causes)
        shown = {"both": {"vi": vietnamese, "en": english}, "vi": {"vi": vietnamese}, "en": {"en": english}}[language]
        told.append({"rule": each, "version": rules.version(each), "silent": silent, **shown})
        if not as_json:
            print("\n\n".join("\n".join(lines) for lines in shown.values()), end="\n\n")
    if as_json:
        print(json.dumps(told if name == "all" else told[0], ensure_ascii=False))


@app.command("test")
def run_tests(
    folder: Annotated[Path, typer.Argument(help="Folder of rules with their fixtures, *.test.toml.")],
    as_json: JsonOption = False,
) -> None:
    """Run the fixtures beside the rules and tell every difference with its reason. Exit code 1 if there is any."""
    from anpr.errors import ConfigError
    from anpr.rules.load import load_rules
    from anpr.rules.testing import fixture_files, run_fixtures

    rules = load_rules([folder])
    files = fixture_files(folder)
    if not files:
        raise ConfigError("the folder holds no fixtures", place=str(folder), cure="put *.test.toml files into it")
    outcomes = [run_fixtures(file, rules) for file in files]
    failures = [str(failure) for outcome in outcomes for failure in outcome.failures]
    cases = sum(outcome.cases for outcome in outcomes)
    expected = sum(outcome.expected for outcome in outcomes)
    if as_json:
        told = {"cases": cases, "expected_hits": expected, "failures": failures}
        print(json.dumps(told, ensure_ascii=False))
    else:
        for failure in failures:
            print(failure)
        print(f"{cases} cases, {expected} expected hits, {len(failures)} failures")
    raise typer.Exit(exits.FINDINGS if failures else exits.OK)


def _load(path: Path | None) -> Site | None:
    from anpr.config import load_site

    return None if path is None else load_site(path, environment=None)


def _rules(path: Path | None, site: Site | None) -> RuleSet:
    """The rules of a path, else of the site, else those that are shipped."""
    from anpr import assets
    from anpr.rules.load import load_rules
    from anpr.rules.opening import load_site_rules

    if path is None and site is not None and site.rules is not None:
        return load_site_rules(site.rules)
    zones = site.rules.zones if site is not None and site.rules is not None else None
    return load_rules([path or assets.folder("configs") / "rules"], zones=zones)
