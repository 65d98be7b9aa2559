"""`anpr store hold|release|holds|purge|purges|confirm-clock`: what must stay, what goes, and what has gone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from anpr.cli import exits
from anpr.cli.apart import open_to_read, read_apart
from anpr.cli.asking import (
    DEFAULT_STORE,
    CaseOption,
    FromOption,
    PlateOption,
    PurposeOption,
    ReasonOption,
    StoreOption,
    check_period,
    parse_time,
)
from anpr.cli.telling import tell

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def hold(
    context: typer.Context,
    reason: ReasonOption,
    case: CaseOption,
    record: Annotated[str, typer.Argument(metavar="[ID]", help="Of a sighting or a hit.", show_default=False)] = "",
    plate: PlateOption = "",
    from_time: FromOption = None,
    to_time: Annotated[
        datetime | None,
        typer.Option("--until", parser=parse_time, metavar="TIME", help="Passages before; may lie in the future."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Keep a record, or the passages of a plate, with their pictures, until the hold is released; while the box runs.

    Who holds it, and why, is written to the audit log first. Exit code 1 if nothing that is there now is held by it.
    """
    check_period(from_time, to_time)
    read_apart(context, store)
    import msgspec

    from anpr.clock import SystemClock
    from anpr.store.holding import MOST_COUNTED, make_hold
    from anpr.store.wholeness import naming_damage

    if bool(record) == bool(plate):
        raise typer.BadParameter("give an ID, or --plate")
    if record and (from_time or to_time):
        raise typer.BadParameter("--from and --until go with --plate")
    clock = SystemClock()
    with naming_damage(store, clock=clock):
        made, found = make_hold(
            store,
            reason=reason,
            case=case,
            record=record,
            plate=plate,
            from_seconds=from_time.timestamp() if from_time else None,
            until_seconds=to_time.timestamp() if to_time else None,
            clock=clock,
        )
    if as_json:
        print(json.dumps({**msgspec.to_builtins(made), "found": found}, ensure_ascii=False))
    else:
        many = " or more" if found == MOST_COUNTED else ""
        print(f"{made.id}: {found:,}{many} records that are there now are held")
    raise typer.Exit(exits.OK if found else exits.FINDINGS)


def release(
    context: typer.Context,
    hold_id: Annotated[str, typer.Argument(metavar="HOLD", help="As `anpr store holds` names it.")],
    reason: ReasonOption,
    case: CaseOption,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Let what a hold has kept go, when its time comes; while the box runs. Written to the audit log first."""
    read_apart(context, store)
    from anpr.clock import SystemClock
    from anpr.store.holding import release_hold

    was = release_hold(store, hold_id, reason=reason, case=case, clock=SystemClock())
    print(f"{was.id} is released")


def holds(
    context: typer.Context,
    purpose: PurposeOption,
    case: CaseOption,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Print the legal holds: what is held, by whom, since when and why. Who asked is written to the audit log first."""
    read_apart(context, store)
    import msgspec

    from anpr.cli.lines import printable
    from anpr.clock import SystemClock
    from anpr.store.audit import AuditLog, Request
    from anpr.store.holding import all_holds

    found = all_holds(store).holds
    AuditLog(store, clock=SystemClock()).append(Request("holds", purpose, case), rows=len(found))
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    for each in found:
        what = each.record or each.plate
        since = f" from {_moment(each.from_seconds)}" if each.from_seconds is not None else ""
        until = f" until {_moment(each.until_seconds)}" if each.until_seconds is not None else ""
        print(printable(f"{each.id}  {each.at}  {each.user}  {what}{since}{until}  {each.case}: {each.reason}"))
    tell(f"{len(found)} holds")


def purge(
    context: typer.Context,
    site: Annotated[Path, typer.Argument(help="Site file: its table [store] says what goes.", show_default=False)],
    now: Annotated[bool, typer.Option("--now", help="Purge what is due.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go; so also without --now.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what is due by the site's retention, or purge it now; a box that runs does so by itself.

    With --now the box must not run. Exit code 1 if the clock is in doubt: then nothing is purged; 74 if something
    failed: what was purged all the same is told.
    """
    if now and dry_run:
        raise typer.BadParameter("give --now or --dry-run")
    read_apart(context, lambda: _store_of(site))
    from anpr import log
    from anpr.clock import SystemClock
    from anpr.config import load_site
    from anpr.engine.keep_options import consumers_of, policy_of
    from anpr.store.forecast import forecast, purge_now

    log.configure(level="warning")
    config = load_site(site, environment=None)
    policy, consumers = policy_of(config.store), consumers_of(config.bus)
    if now:
        told = purge_now(config.store.path, policy, consumers=consumers, clock=SystemClock(), box=config.box.id)
    else:
        told = forecast(config.store.path, policy, consumers=consumers, clock=SystemClock())
    if as_json:
        print(json.dumps({"due": list(told.due), "problems": list(told.problems)}, ensure_ascii=False))
    else:
        for line in told.due:
            print(line)
        for problem in told.problems:
            print(f"✖ {problem}")
        if not told.due and not told.failed:
            tell("nothing is due")
    raise typer.Exit(exits.INPUT_OUTPUT if told.failed else exits.FINDINGS if told.problems else exits.OK)


def purges(
    context: typer.Context,
    store: StoreOption = DEFAULT_STORE,
    last: Annotated[int, typer.Option(min=1, help="How many, the newest.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Print what was purged, when and why, oldest first; `anpr store check` verifies that journal's signatures."""
    read_apart(context, store)
    from collections import deque

    import msgspec

    from anpr.store.forecast import line_of

    with open_to_read(store) as opened:
        found = deque(opened.purges(), maxlen=last)
    for each in found:
        print(msgspec.json.encode(each).decode() if as_json else line_of(each))


def confirm_clock(
    context: typer.Context,
    reason: ReasonOption,
    case: CaseOption,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Say that the box's clock is right, so that retention may go by it; while the box runs. Audited first."""
    read_apart(context, store)
    from anpr.clock import SystemClock
    from anpr.store.holding import confirm_clock as confirm

    at_seconds = confirm(store, reason=reason, case=case, clock=SystemClock())
    print(f"{_moment(at_seconds)} is confirmed; a box that runs takes it within a minute")


def _store_of(site: Path) -> Path:
    from anpr.config import load_site

    return load_site(site, environment=None).store.path


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
