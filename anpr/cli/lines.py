"""Sightings and hits as one line each, for a terminal or a log; colours only on a terminal."""

from __future__ import annotations

from datetime import datetime
from math import floor, log10

from rich.console import Console
from rich.text import Text

from anpr.plates.provinces import VIETNAM_TIME
from anpr.records import CoverageGap, Hit, Record, Sighting

_SEVERITY_STYLES = {"INFO": "cyan", "CHECK": "bold yellow", "ALERT": "bold white on red"}


def console(*, stderr: bool = False, live: bool = False) -> Console:
    """Where lines are printed: whole, however narrow the terminal, and at once. `live`: where a table is drawn again
    and again, which must know where its lines end."""
    return Console(soft_wrap=not live, highlight=False, markup=False, emoji=False, stderr=stderr)


def sighting_line(sighting: Sighting) -> Text:
    """Time, camera, plate, probability, province, and what is special."""
    line = _beginning(sighting.seen_seconds, sighting.camera_id)
    if sighting.text:
        line.append(f"{printable(sighting.display):14} ", style="bold")
        line.append(f"{sighting.probability:6.1%}  ")
        line.append(f"{sighting.colour:7}  {printable(sighting.province)}")
    else:
        line.append(f"unreadable     {printable(sighting.unreadable)}", style="dim")
    if sighting.state != "final":
        line.append(f"  {sighting.state}", style="dim")
    if sighting.tainted:
        line.append("  from a damaged stream", style="dim")
    return line


def hit_line(hit: Hit) -> Text:
    """Time, camera, plate, probability, severity, list or rule, and why."""
    line = _beginning(hit.seen_seconds, hit.camera_id)
    line.append(f"{printable(hit.display):14} ", style="bold")
    line.append(f"{hit.probability:6.1%}  ")
    line.append(hit.severity, style=_SEVERITY_STYLES[hit.severity])
    if hit.rule:
        line.append(f"  {printable(hit.rule)}: {printable(hit.message_en)}")
    else:
        line.append(f"  {printable(hit.list_name)}: {printable(hit.reason)}")
        if hit.listed != hit.text:
            line.append(f" (listed {printable(hit.listed)})")
        if why := hit.entry_reason or hit.list_purpose:
            line.append(f", {printable(why)}")
    if hit.state != "final":
        line.append(f"  {hit.state}", style="dim")
    return line


def gap_line(gap: CoverageGap) -> Text:
    """When it began, camera, how long, and why."""
    line = _beginning(gap.from_seconds, gap.camera_id)
    if gap.state == "final":
        line.append(f"{_length(gap.until_seconds - gap.from_seconds):>12}  ", style="bold")
        line.append("not watched: ")
    else:
        line.append(f"{'until now':>12}  ", style="bold red")
        line.append("not watched: ", style="red")
    line.append(gap.reason.replace("_", " "), style="yellow")
    if gap.detail:
        line.append(f", {printable(gap.detail)}")
    return line


def record_line(record: Record) -> Text:
    """The line of any record."""
    match record:
        case Sighting():
            return sighting_line(record)
        case Hit():
            return hit_line(record)
        case CoverageGap():
            return gap_line(record)


def _length(seconds: float) -> str:
    """`3.2 s`, `12 min 5 s`, `7 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def figure(value: float) -> str:
    """A number as people write it, however small or large: `13,537`, `4.7`, `0.0064`, `0`."""
    if value == 0.0 or abs(value) >= 100.0:
        return f"{value:,.0f}"
    return f"{value:.{max(1, 1 - floor(log10(abs(value))))}f}".rstrip("0").removesuffix(".")


def printable(text: str) -> str:
    """`text` without what could steer a terminal: it may come from another machine."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _beginning(seen_seconds: float, camera_id: str) -> Text:
    moment = datetime.fromtimestamp(seen_seconds, VIETNAM_TIME).strftime("%Y-%m-%d %H:%M:%S")
    line = Text(f"{moment}  ", end="")
    line.append(f"{printable(camera_id):12}  ", style="cyan")
    return line
