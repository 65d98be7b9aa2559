"""`anpr listen ENDPOINT`: prints sightings and hits as a box publishes them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from anpr.cli import exits

if TYPE_CHECKING:
    from rich.console import Console

    from anpr.bus.subscriber import Item


def listen(
    endpoint: Annotated[str, typer.Argument(help="Where the box publishes, like tcp://127.0.0.1:7781.")],
    topics: Annotated[
        list[str] | None,
        typer.Option(
            "--topic",
            metavar="PREFIX",
            help="Print only what begins so: sighting.SITE.CAMERA, hit.SEVERITY.SITE, coverage.SITE.CAMERA, health.BOX."
            " May be repeated.",
            show_default="sighting. and hit.",
        ),
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many events.", show_default=False)] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="Stop after so long.", show_default=False)] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each event as it came, one JSON object a line.")
    ] = False,
) -> None:
    """Print each sighting and hit as it comes, and each gap: events that were missed. Ctrl-C ends it."""
    from anpr.bus import Gap, Heartbeat, Subscriber
    from anpr.cli.lines import console
    from anpr.clock import SystemClock

    clock = SystemClock()
    until_seconds = None if seconds is None else clock.monotonic_seconds() + seconds
    out = console()
    left = count
    try:
        with Subscriber(endpoint, clock=clock, topics=tuple(topics or ("sighting.", "hit."))) as subscriber:
            if out.is_terminal and not as_json:
                console(stderr=True).print(f"listening to {endpoint}, Ctrl-C ends it", style="dim")
            while left != 0:
                wait_seconds = 0.5 if until_seconds is None else min(0.5, until_seconds - clock.monotonic_seconds())
                if wait_seconds <= 0:
                    break
                item = subscriber.receive(wait_seconds)
                if item is None:
                    continue
                _print(item, out, as_json=as_json)
                if left is not None and not isinstance(item, Gap | Heartbeat):
                    left -= 1
    except KeyboardInterrupt:
        pass
    raise typer.Exit(exits.OK)


def _print(item: Item, out: Console, *, as_json: bool) -> None:
    from anpr.bus import Gap, Heartbeat
    from anpr.bus.events import encode
    from anpr.cli.lines import printable, record_line

    if as_json:
        text = json.dumps({"gap": asdict(item)}) if isinstance(item, Gap) else encode(item)[1].decode()
        print(text, flush=True)
        return
    match item:
        case Gap():
            numbers = f"{item.first_seq} to {item.last_seq}"
            out.print(f"gap: box {printable(item.box)}, events {numbers} {item.reason}", style="bold magenta")
        case Heartbeat():
            out.print(f"box {printable(item.box)} lives, epoch {item.epoch}, last event {item.last_seq}", style="dim")
        case _:
            out.print(record_line(item.record))
