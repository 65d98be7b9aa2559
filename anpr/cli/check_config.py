"""`anpr check-config FILE…`: every mistake of site, pipeline and bridge files, each at its line and column."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from anpr.cli import exits


def check_config(
    files: Annotated[list[Path], typer.Argument(help="Site, pipeline or bridge files.", show_default=False)],
    without_secrets: Annotated[
        bool, typer.Option("--without-secrets", help="Do not look up passwords: for a machine that has none.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file.")] = False,
) -> None:
    """Check site, pipeline and bridge files: all mistakes at once, with their cures. Exit code 78 if there are any."""
    environment = None if without_secrets else os.environ
    wrong = False
    for file in files:
        what, problems, left_out, silent = _check(file, environment)
        wrong = wrong or bool(problems)
        if as_json:
            told = {"file": str(file), "kind": what, "problems": problems, "left_out": left_out, "silent": silent}
            print(json.dumps(told, ensure_ascii=False))
            continue
        for line in left_out:
            print(f"{line}: the row is left out")
        for line in silent:
            print(f"{file}: rules that are silent at this site: {line}")
        print("\n".join(problems) if problems else f"{file}: {what}, no mistakes")
    raise typer.Exit(exits.CONFIGURATION if wrong else exits.OK)


def _check(file: Path, environment: os._Environ[str] | None) -> tuple[str, list[str], list[str], list[str]]:
    """What `file` is, what is wrong with it and with the watch-lists and rules it names, and what is wrong with rows
    that are left out of its registers and declarations, and which rules can never be true there."""
    from anpr.clock import SystemClock
    from anpr.config import BridgeFile, Site, load_any
    from anpr.engine.box import load_lists
    from anpr.errors import ConfigError, WatchListError
    from anpr.rules.opening import flaws_of

    try:
        config = load_any(file, environment=environment)
    except ConfigError as error:
        return "unknown", list(error.problems), [], []
    if isinstance(config, BridgeFile):
        return "bridge", [], [], []
    if not isinstance(config, Site):
        return "pipeline", [], [], []
    problems: list[str] = []
    try:
        load_lists(config.lists)
    except WatchListError as error:
        problems += error.problems
    flaws = flaws_of(config, clock=SystemClock())
    return "site", [*problems, *flaws.problems], [*flaws.left_out], [*flaws.silent]
