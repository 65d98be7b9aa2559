"""`anpr audit verify|show`: who asked the store, and whether the log of it is whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anpr.cli import exits
from anpr.cli.apart import read_apart
from anpr.cli.asking import DEFAULT_STORE, CaseOption, PurposeOption, StoreOption
from anpr.cli.telling import tell

if TYPE_CHECKING:
    from anpr.store.audit import AuditLog

app = typer.Typer(help="Who asked the store for plates, and why.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def verify(
    context: typer.Context,
    store: StoreOption = DEFAULT_STORE,
    noted: Annotated[
        str, typer.Option("--head", metavar="NUMBER:SHA256", help="A head that was noted elsewhere before.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Look whether a line was changed, removed or moved, and print the head to note. Exit code 1 if so."""
    written = re.fullmatch(r"(\d{1,15}):([0-9a-f]{64})", noted)
    if noted and written is None:
        raise typer.BadParameter("--head is what an earlier verify printed: NUMBER:SHA256")
    read_apart(context, store)
    from anpr.store.audit import Head
    from anpr.store.forecast import audit_begins_of as begins_of

    log, begins = _log_of(store), begins_of(store)
    head_noted = Head(int(written[1]), written[2]) if written else None
    verdict = log.verify(head_noted, begins=begins)
    head = f"{verdict.head.number}:{verdict.head.sha256}"
    if as_json:
        print(json.dumps({"head": head, "problems": list(verdict.problems)}, ensure_ascii=False))
    else:
        for problem in verdict.problems:
            print(f"✖ {problem}")
        print(f"{verdict.head.number} entries, {len(verdict.problems)} problems, head {head}")
    raise typer.Exit(exits.FINDINGS if verdict.problems else exits.OK)


@app.command()
def show(
    purpose: PurposeOption,
    case: CaseOption,
    store: StoreOption = DEFAULT_STORE,
    last: Annotated[int, typer.Option(min=1, help="How many lines, the newest.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Print who asked what, when and why, oldest first. The log names plates: who reads it is written to it first."""
    from collections import deque

    import msgspec

    from anpr.cli.lines import printable
    from anpr.store.audit import Request

    audit = _log_of(store)
    lines = deque(audit.lines(), maxlen=last)
    if not lines:
        tell("nobody has asked anything")
        return
    audit.append(Request("audit", purpose, case, {"last": last}), rows=len(lines))
    for line in lines:
        if as_json:
            print(msgspec.json.encode(line).decode())
            continue
        who = f"{line.user or '?'} ({line.user_id}{'' if line.login_id is None else f', login {line.login_id}'})"
        given = "begins" if line.rows is None else f"{line.rows} rows"
        asked = " ".join(f"{name}={value}" for name, value in line.asked.items())
        print(printable(f"{line.number}  {line.at}  {who}  {line.verb}  {given}  {line.case}: {line.purpose}  {asked}"))


def _log_of(store: Path) -> AuditLog:
    """Raises StoreError for a folder that has none: nothing would be said against what was never looked at."""
    from anpr.clock import SystemClock
    from anpr.errors import StoreError
    from anpr.store.audit import AuditLog

    audit = AuditLog(store, clock=SystemClock())
    if not (audit.path.is_dir() or (store / "data.mdb").is_file()):
        raise StoreError("there is no store here", place=str(store), cure="give the folder of a store")
    return audit
