"""`anpr watch import|check|diff|list|preview`: watch-lists from CSV, JSON and XLSX files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anpr.cli import exits
from anpr.cli.telling import tell
from anpr.cli.watch_preview import preview_list
from anpr.errors import WatchListError

if TYPE_CHECKING:
    from anpr.watch.limits import Limits
    from anpr.watch.lists import Difference, WatchList

app = typer.Typer(help="Check, compare, import and show watch-lists.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(help="CSV, JSON or XLSX file, with a column `plate`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("import")
def import_list(
    file: FileArgument,
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="Folder of the active lists.")],
    name: Annotated[str | None, typer.Option(help="Name of the list; the file's own unless given.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Take it even if many active plates would vanish or many rows are bad.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and compare it, but change nothing.")] = False,
    show_diff: Annotated[bool, typer.Option("--diff", help="Name the plates that come, go or change.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Validate FILE and make it the active list of its name, in one step; the old one stays if it is refused."""
    from anpr.clock import SystemClock
    from anpr.watch.install import install

    now_seconds = SystemClock().wall_seconds()
    try:
        new, difference = install(file, into, now_seconds=now_seconds, name=name, force=force, dry_run=dry_run)
    except WatchListError as error:
        if as_json:
            refused = {"list": name or file.stem, "refused": error.summary, "problems": error.details}
            print(json.dumps(refused, ensure_ascii=False))
        else:
            _print_rows(error)
        tell(error.summary, head="anpr: ")
        raise typer.Exit(exits.code_of(error)) from error
    if as_json:
        told = {"list": new.name, "version": new.version, "entries": len(new.entries), "dry_run": dry_run}
        told |= {"bad_rows": new.bad_rows, "problems": [asdict(problem) for problem in new.problems]}
        print(json.dumps(told | _told(difference), ensure_ascii=False))
        return
    for problem in new.problems:
        print(f"{file}: {problem}")
    if show_diff:
        _print_plates(difference)
    left_out = f", {new.bad_rows} bad rows left out" if new.bad_rows else ""
    unchanged = "; nothing was changed" if dry_run else ""
    print(f"{new.name}: {len(new.entries)} entries, {difference}, version {new.version}{left_out}{unchanged}")


@app.command("check")
def check_list(file: FileArgument, as_json: JsonOption = False) -> None:
    """Tell everything that is wrong with FILE. Exit code 1 if anything is."""
    from anpr.config.handed_in import MAX_BAD
    from anpr.watch.lists import open_list, parse_file, read_head

    with open_list(file) as opened:
        parsed = parse_file(opened.file, file.suffix)
        opened.check()
    problems = (*read_head(parsed.head, parsed.head_lines)[1], *parsed.problems)
    if as_json:
        told = {"file": str(file), "entries": len(parsed.entries), "rows": parsed.rows, "bad_rows": parsed.bad_rows}
        print(json.dumps(told | {"problems": [asdict(problem) for problem in problems]}, ensure_ascii=False))
    else:
        for problem in problems:
            print(f"{file}: {problem}")
        if not problems:
            print(f"{file}: {len(parsed.entries)} entries, no problems")
        elif 0 < parsed.bad_rows <= MAX_BAD * parsed.rows:
            print(f"{file}: {len(parsed.entries)} entries; an import would leave {parsed.bad_rows} bad rows out")
    raise typer.Exit(exits.FINDINGS if problems else exits.OK)


@app.command("diff")
def diff_lists(
    old: Annotated[Path, typer.Argument(help="A list.")],
    new: Annotated[Path, typer.Argument(help="What may follow it.")],
    as_json: JsonOption = False,
) -> None:
    """Name the plates that NEW adds (+), removes (-) or changes (~). Exit code 1 if there are any."""
    from anpr.watch.lists import compare, load_list

    difference = compare(load_list(old), load_list(new))
    if as_json:
        print(json.dumps(_told(difference), ensure_ascii=False))
    else:
        _print_plates(difference)
        print(f"{difference}")
    found = difference.added_plates.size or difference.removed_plates.size or difference.changed_plates.size
    raise typer.Exit(exits.FINDINGS if found else exits.OK)


@app.command("list")
def show_lists(
    site: Annotated[Path, typer.Argument(help="Site file.", show_default=False)], as_json: JsonOption = False
) -> None:
    """Show the watch-lists of a site file: what they are for, how many plates, how old. Exit code 1 if one is wrong."""
    from anpr.cli.lines import printable
    from anpr.clock import SystemClock
    from anpr.config import load_site
    from anpr.watch.lists import load_list

    config = load_site(site, environment=None)
    now_seconds = SystemClock().wall_seconds()
    shown: list[dict[str, object]] = []
    for listed in config.lists:
        try:
            loaded = load_list(listed.file, name=listed.name, head=listed)
            shown.append(_facts(loaded, config.site.id, now_seconds) | _budget(loaded, config.site.vehicles_per_day))
        except WatchListError as error:
            shown.append({"name": listed.name, "problem": str(error)})
    if as_json:
        print(json.dumps({"lists": shown}, ensure_ascii=False))
    else:
        for line in (line for each in shown for line in _lines(each)):
            print(printable(line))
    raise typer.Exit(exits.FINDINGS if any("problem" in each for each in shown) else exits.OK)


def _facts(watch_list: WatchList, site_id: str, now_seconds: float) -> dict[str, object]:
    from anpr.config.times import write_moment

    limits = watch_list.limits
    begin, end = limits.valid_from_seconds, limits.valid_until_seconds
    return {
        "name": watch_list.name,
        "purpose": watch_list.purpose,
        "severity": watch_list.severity,
        "authority": watch_list.authority,
        "owner": watch_list.owner,
        "entries": len(watch_list.entries),
        "patterns": len(watch_list.patterns),
        "expired": int((watch_list.rows.valid_until_seconds <= now_seconds).sum()),
        "left_out": watch_list.bad_rows,
        "raises_nothing": _why_nothing(watch_list.limits, site_id, now_seconds),
        "version": watch_list.version,
        "age_seconds": round(max(0.0, now_seconds - watch_list.loaded_seconds)),
        "valid_from": None if begin is None else write_moment(begin),
        "valid_until": None if end is None else write_moment(end),
        "limits": limits.describe(),
        "false_hits_per_day": watch_list.false_hits_per_day,
        "note": watch_list.note,
    }


def _budget(watch_list: WatchList, vehicles_per_day: float) -> dict[str, object]:
    """What is to be told of a list that no threshold keeps within its budget of false hits."""
    from anpr.cli.lines import figure
    from anpr.watch.budget import thresholds_of
    from anpr.watch.index import Costs

    budget = watch_list.false_hits_per_day
    expected = thresholds_of(
        watch_list.plates, false_hits_per_day=budget, vehicles_per_day=vehicles_per_day, costs=Costs()
    ).expected_per_day
    if expected is None or expected <= budget:
        return {"over_budget": ""}
    told = f"up to {figure(expected)} false hits a day are to be expected, its budget is {figure(budget)}"
    return {"over_budget": told}


def _why_nothing(limits: Limits, site_id: str, now_seconds: float) -> str:
    """Why a list raises no hit at this site; empty if it may, on its days and hours."""
    if limits.sites and site_id not in limits.sites:
        return f"it is not for the site {site_id}"
    if limits.valid_from_seconds is not None and now_seconds < limits.valid_from_seconds:
        return "it is not valid yet"
    if limits.valid_until_seconds is not None and now_seconds >= limits.valid_until_seconds:
        return "it is no longer valid"
    return ""


def _lines(facts: dict[str, object]) -> Iterator[str]:
    """What a person wants to know of one list."""
    if "problem" in facts:
        yield f"{facts['name']}: {facts['problem']}"
        return
    counts = [
        f"{facts[key]} {key.replace('_', ' ')}" for key in ("entries", "patterns", "expired", "left_out") if facts[key]
    ]
    hours = int(str(facts["age_seconds"])) // 3600
    age = f"{hours} h old" if hours < 48 else f"{hours // 24} days old"
    yield f"{facts['name']}: {', '.join((*counts, str(facts['severity']), age))}, version {facts['version']}"
    for key in (
        "raises_nothing",
        "over_budget",
        "purpose",
        "authority",
        "owner",
        "valid_from",
        "valid_until",
        "limits",
        "note",
    ):
        if facts[key]:
            yield f"    {key.replace('_', ' ')}: {facts[key]}"


def _print_rows(error: WatchListError) -> None:
    """What is wrong with each row of a file, as `check` shows it: who imports a list has it before him."""
    if error.details:
        for line in error.problems:
            print(line)


def _told(difference: Difference) -> dict[str, object]:
    return {"added": difference.added, "removed": difference.removed, "changed": difference.changed}


def _print_plates(difference: Difference) -> None:
    for mark, plates in (("+", difference.added), ("-", difference.removed), ("~", difference.changed)):
        for plate in plates:
            print(f"{mark} {plate}")


app.command("preview")(preview_list)
