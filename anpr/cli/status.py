"""`anpr status SITE.toml`: how a running box fares, as a table that keeps itself up to date."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anpr.cli import exits

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from anpr.errors import BusError
    from anpr.health.report import BoxHealth, CameraHealth, ConsumerHealth, ListHealth

TIMEOUT_SECONDS = 5.0
_MOST_BYTES = 16 << 20


def status(
    site: Annotated[
        Path | None, typer.Argument(help="Site file: it says where the box answers.", show_default=False)
    ] = None,
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Ask there, without a site file.", show_default="127.0.0.1:7780")
    ] = "",
    once: Annotated[bool, typer.Option("--once", help="Print once and end.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and end.")] = False,
) -> None:
    """Show cameras, frame rates, drops, latency and backlog of a running box. Exit code 1 if something is wrong.

    On a terminal the table stays until Ctrl-C, also while the box does not answer.
    """
    from anpr.cli.lines import console
    from anpr.health.report import encode

    where = address or _address_of(site)
    health = ask(where)
    if as_json:
        print(encode(health).decode())
    else:
        out = console()
        if once or not out.is_terminal:
            out.print(table(health))
        else:
            raise typer.Exit(follow(where, health, console(live=True), wait=lambda: time.sleep(interval)))
    raise typer.Exit(exits.OK if health.verdict == "ok" else exits.FINDINGS)


def follow(address: str, health: BoxHealth, out: Console, *, wait: Callable[[], None]) -> int:
    """Keep the table of `health` up to date until `wait`, called between two looks, is interrupted; the exit code.

    While the box does not answer, the last table stays, with since when and why.
    """
    from rich.live import Live

    from anpr.errors import BusError

    silent_since: tuple[float, float] | None = None
    """Wall and monotonic time of the first look without an answer."""
    with Live(table(health), console=out, auto_refresh=False) as live:
        try:
            while True:
                wait()
                try:
                    health, silent_since = ask(address), None
                    live.update(table(health), refresh=True)
                except BusError as error:
                    silent_since = silent_since or (time.time(), time.monotonic())
                    live.update(_silent(health, error, *silent_since), refresh=True)
        except KeyboardInterrupt:
            pass
    if silent_since is not None:
        return exits.UNAVAILABLE
    return exits.OK if health.verdict == "ok" else exits.FINDINGS


def ask(address: str) -> BoxHealth:
    """What the box at `host:port` says of its health. Raises BusError if none answers."""
    import msgspec

    from anpr.endpoints import host_and_port
    from anpr.errors import BusError
    from anpr.health.report import decode

    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a box is near: never through http_proxy
    try:
        host_and_port(address)
        with direct.open(f"http://{address}/healthz", timeout=TIMEOUT_SECONDS) as answer:
            return decode(answer.read(_MOST_BYTES))
    except (http.client.HTTPException, msgspec.MsgspecError) as error:
        cure = "check the address in [health] of the site file, and that both are of one version"
        raise BusError("what answers there is no anpr of this version", place=address, cure=cure) from error
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        reason = (isinstance(reason, OSError) and reason.strerror) or reason
        cure = "does anpr run, and has its site file a table [health]?"
        raise BusError(f"no box answers: {reason}", place=address, cure=cure) from error


def table(health: BoxHealth) -> RenderableType:
    """The report for a person."""
    from rich.console import Group
    from rich.text import Text

    from anpr.cli.lines import printable

    head = Text()
    style = {"ok": "bold green", "degraded": "bold yellow", "failing": "bold white on red"}[health.verdict]
    head.append(f"{printable(health.box)} ", style="bold")
    head.append(health.verdict, style=style)
    head.append(f"  anpr {printable(health.version)}, up {_length(health.uptime_seconds)}")
    foot = Text(f"backlog {health.backlog}")
    latency = health.latency
    if latency.p50_seconds is not None and latency.p95_seconds is not None:
        foot.append(f"   latency {latency.p50_seconds * 1000:.0f} ms, p95 {latency.p95_seconds * 1000:.0f} ms")
    capacity = health.capacity
    if capacity.cameras is not None and capacity.busy_share is not None:
        foot.append(
            f"   {capacity.busy_share:.0%} of {capacity.cores} cores, {capacity.cpu_ms_per_frame:.1f} ms a picture:"
            f" room for {capacity.cameras} cameras like these"
        )
    keeping = health.keeping
    if keeping is not None:
        foot.append(f"   disk {keeping.disk_percent:.0f} % full")
        foot.append(f", {keeping.holds} holds" if keeping.holds else "")
        foot.append(f"   purging {printable(keeping.purging)}" if keeping.purging else "")
    problems = [Text(f"! {printable(problem)}", style="yellow") for problem in health.problems]
    lists = [Text(_list_line(each), style="dim") for each in health.lists]
    consumers = [Text(_consumer_line(each), style="dim" if each.connected else "red") for each in health.consumers]
    return Group(head, _cameras(health.cameras), foot, *consumers, *lists, *problems)


def _consumer_line(health: ConsumerHealth) -> str:
    from anpr.cli.lines import printable

    waits = f"{health.behind} events wait for it" if health.behind else "it has everything"
    if health.behind and health.oldest_age_seconds is not None:
        waits += f", the oldest for {_length(health.oldest_age_seconds)}"
    return printable(f"consumer {health.name}: {'connected' if health.connected else 'away'}, {waits}")


def _silent(last: BoxHealth, error: BusError, since_seconds: float, since_monotonic_seconds: float) -> RenderableType:
    """The last table of a box that does not answer, which says so and since when."""
    from rich.console import Group
    from rich.text import Text

    from anpr.cli.lines import printable
    from anpr.config.times import write_moment

    length = _length(time.monotonic() - since_monotonic_seconds)
    head = Text(f"no answer since {write_moment(since_seconds)}, {length}", style="bold white on red")
    cure = f" ({error.cure})" if error.cure else ""
    why = Text(f"! {printable(error.problem + cure)}; below is what it said last", style="yellow")
    return Group(head, why, table(last))


def _list_line(health: ListHealth) -> str:
    from anpr.cli.lines import printable

    purpose = f" ({health.purpose})" if health.purpose else ""
    left_out = f", {health.left_out} bad rows left out" if health.left_out else ""
    return printable(
        f"list {health.name}{purpose}: {health.entries} entries, {_length(health.age_seconds)} old{left_out}"
    )


def _cameras(cameras: tuple[CameraHealth, ...]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from anpr.cli.lines import printable

    drawn = Table(box=None, pad_edge=False, header_style="dim")
    drawn.add_column("camera")
    drawn.add_column("state")
    for title in ("size", "frames/s", "sightings/min", "dropped", "tainted", "last"):
        drawn.add_column(title, justify="right")
    for camera in cameras:
        state = printable(camera.condition or camera.state)
        age = camera.last_frame_age_seconds
        drawn.add_row(
            printable(camera.id),
            Text(state, style="green" if camera.up and not camera.condition else "red"),
            f"{camera.width}x{camera.height}" if camera.width else "",
            f"{camera.frames_per_second:.1f}",
            f"{camera.sightings_per_minute:.1f}",
            f"{camera.dropped_share:.1%}",
            f"{camera.tainted_share:.1%}",
            _length(age) if age is not None else "never",
        )
    return drawn


def _length(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _address_of(site: Path | None) -> str:
    from anpr.config import health_address_of
    from anpr.config.site import Health

    return health_address_of(site) if site is not None else Health().address
