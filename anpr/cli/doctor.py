"""`anpr doctor [SITE.toml]`: what on this machine would keep the engine from working, each with its cure."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from anpr.cli import exits


def doctor(
    site: Annotated[Path | None, typer.Argument(help="Site file; without one, only the machine is examined.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Examine models, runtime, cameras, disk, clock, store and ports. Exit code 1 if anything is wrong."""
    from anpr.config import load_site
    from anpr.engine.diagnosis import examine

    findings = []
    for finding in examine(load_site(site) if site is not None else None):
        findings.append(finding)
        if not as_json:
            mark = "✔" if finding.ok else "✖"
            cure = f"\n  → {finding.cure}" if finding.cure else ""
            print(f"{mark} {finding.subject}: {finding.what}{cure}", flush=True)
    wrong = sum(not finding.ok for finding in findings)
    if as_json:
        print(json.dumps({"ok": not wrong, "findings": [asdict(each) for each in findings]}, ensure_ascii=False))
    elif wrong:
        print(f"{wrong} of {len(findings)} need attention", file=sys.stderr)
    raise typer.Exit(exits.FINDINGS if wrong else exits.OK)
