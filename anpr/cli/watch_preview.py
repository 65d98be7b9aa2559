"""`anpr watch preview LIST`: which other plates a list would be taken for, and how often."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from anpr.watch.preview import Preview, PreviewedEntry

_SHOWN_PLATES = 6


def preview_list(
    file: Annotated[Path, typer.Argument(help="The list: a CSV, JSON or XLSX file.", show_default=False)],
    traffic: Annotated[
        float, typer.Option(metavar="N", min=0.0, help="Vehicles that pass the site in a day.")
    ] = 15_000,
    budget: Annotated[
        float | None, typer.Option(metavar="N", min=0.0, help="False hits a day; the list's own unless given.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Entries to show, those with the most false hits first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show which other plates each entry of LIST would be taken for, and how many false hits a day to expect."""
    from anpr.watch.lists import load_list
    from anpr.watch.preview import preview

    shown = preview(load_list(file), vehicles_per_day=traffic, budget_per_day=budget)
    entries = list(islice(shown.entries(), limit))
    if as_json:
        print(json.dumps(_facts(shown) | {"entries": [_entry_facts(each) for each in entries]}, ensure_ascii=False))
    else:
        _print(shown, entries)


def _facts(shown: Preview) -> dict[str, Any]:
    return {
        "list": shown.watch_list.name,
        "version": shown.watch_list.version,
        "count": len(shown.watch_list.entries),
        "vehicles_per_day": shown.vehicles_per_day,
        "budget_per_day": shown.budget_per_day,
        "false_hits_per_day": round(shown.false_hits_per_day, 6),
        "over_budget": shown.over_budget,
        "plates_from": _probability(shown.thresholds.plates),
        "patterns_from": _probability(shown.thresholds.patterns),
        "patterns": len(shown.watch_list.patterns),
    }


def _probability(threshold: float) -> float | None:
    """None: only what was read exactly."""
    return round(threshold, 5) if threshold <= 1.0 else None


def _entry_facts(each: PreviewedEntry) -> dict[str, Any]:
    return {
        "plate": each.entry.plate,
        "accepts": [{"plate": near.plate, "probability": round(near.probability, 5)} for near in each.accepts],
        "false_hits_per_day": round(each.false_hits_per_day, 6),
        "fitting_per_day": None if each.fitting_per_day is None else round(each.fitting_per_day, 4),
    }


def _print(shown: Preview, entries: list[PreviewedEntry]) -> None:
    from rich.table import Table

    from anpr.cli.lines import console, figure
    from anpr.watch.budget import MOST_THRESHOLD

    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("entry", "also matched by", "false hits a day"):
        drawn.add_column(column, justify="right" if column.startswith("false") else "left")
    for each in entries:
        near = [f"{other.plate} {other.probability:.2%}" for other in each.accepts[:_SHOWN_PLATES]]
        if len(each.accepts) > _SHOWN_PLATES:
            near.append(f"{len(each.accepts) - _SHOWN_PLATES} more")
        if each.fitting_per_day is not None:
            near = [f"all that fit, up to {figure(each.fitting_per_day)} vehicles a day"]
        elif each.entry.is_pattern:
            near = [f"all that fit, a large part of the traffic: anpr search --plate '{each.entry.plate}' counts them"]
        drawn.add_row(each.entry.plate, ", ".join(near) or "no other", figure(each.false_hits_per_day))
    console().print(drawn)
    facts = _facts(shown)
    if len(entries) < facts["count"]:
        print(f"… and {facts['count'] - len(entries)} more entries: --limit shows them")
    for what in ("plates", "patterns") if facts["patterns"] else ("plates",):
        least = facts[f"{what}_from"]
        print(f"{what} match " + ("only as they were read" if least is None else f"from a probability of {least:g}"))
    print(
        f"{figure(shown.false_hits_per_day)} false hits a day at most of {figure(shown.vehicles_per_day)} vehicles; "
        f"the list's budget is {figure(shown.budget_per_day)}"
    )
    if shown.over_budget:
        print(
            f"the budget cannot be met: {MOST_THRESHOLD:g} is the highest threshold, above which hits would be lost. "
            "Allow more, divide the list (wide patterns apart), or set it to 0: then only what was read exactly matches"
        )
