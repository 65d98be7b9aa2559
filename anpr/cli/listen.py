"""`anpr listen ENDPOINT`: prints sightings and hits as a box publishes them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
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
            help="Print only what begins so: sighting.SITE.CAMERA, hit.SEVERITY.SITE, volatile.SEVERITY.SITE,"
            " coverage.SITE.CAMERA, health.BOX. May be repeated.",
            show_default="sighting., hit. and volatile.",
        ),
    ] = None,
    durable: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Be the consumer NAME, at the reliable endpoint: every event, also those of the time away.",
            show_default=False,
        ),
    ] = None,
    cursor: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --durable: remember here how far we are.", show_default="the box does"),
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(min=0, metavar="NUMBER", help="With --durable: all after this number again.", show_default=False),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Our NAME.key_secret, if the box encrypts.", show_default=False)
    ] = None,
    box_key: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="The box's NAME.key. Twice while it changes its key.", show_default=False),
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many events.", show_default=False)] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="Stop after so long.", show_default=False)] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each event as it came, one JSON object a line.")
    ] = False,
) -> None:
    """Print each sighting and hit as it comes, and each gap: events that were missed. Ctrl-C ends it."""
    from anpr.bus import ClientKeys, DurableSubscriber, Gap, Subscriber
    from anpr.bus.events import topic_of
    from anpr.cli.lines import console
    from anpr.clock import SystemClock
    from anpr.records import Event

    if durable is None and (cursor is not None or after is not None):
        raise typer.BadParameter("only --durable NAME has a memory", param_hint="--cursor, --after")
    if box_key and key is None:
        raise typer.BadParameter("the box's key is of no use without our own", param_hint="--key")
    clock = SystemClock()
    until_seconds = None if seconds is None else clock.monotonic_seconds() + seconds
    keys = ClientKeys.load(key, *(box_key or ())) if key is not None else None
    wanted = tuple(topics or ("sighting.", "hit.", "volatile."))
    out, told = console(), ""
    left = count
    subscriber: Subscriber | DurableSubscriber
    if durable is None:
        subscriber = Subscriber(endpoint, clock=clock, topics=wanted, keys=keys)
    else:
        subscriber = DurableSubscriber(endpoint, durable, clock=clock, cursor=cursor, after_seq=after, keys=keys)
    try:
        with subscriber:
            if out.is_terminal and not as_json:
                console(stderr=True).print(f"listening to {endpoint}, Ctrl-C ends it", style="dim")
            while left != 0:
                wait_seconds = 0.5 if until_seconds is None else min(0.5, until_seconds - clock.monotonic_seconds())
                if wait_seconds <= 0:
                    break
                item = subscriber.receive(wait_seconds)
                if subscriber.problem != told:
                    told = subscriber.problem
                    if told:
                        console(stderr=True).print(f"anpr: {told}", style="magenta", markup=False)
                if item is None:
                    continue
                chosen = isinstance(item, Gap) or topic_of(item).startswith(wanted)
                if chosen:
                    _print(item, out, as_json=as_json)
                if isinstance(subscriber, DurableSubscriber):
                    subscriber.ack()
                if left is not None and chosen and isinstance(item, Event):
                    left -= 1
    except KeyboardInterrupt:
        pass
    raise typer.Exit(exits.OK)


def _print(item: Item, out: Console, *, as_json: bool) -> None:
    from anpr.bus import Gap, Heartbeat, VolatileHit
    from anpr.bus.events import encode
    from anpr.cli.lines import hit_line, printable, record_line

    if as_json:
        text = json.dumps({"gap": asdict(item)}) if isinstance(item, Gap) else encode(item)[1].decode()
        print(text, flush=True)
        return
    match item:
        case Gap():
            numbers = f"{item.first_seq} to {item.last_seq}"
            text = f"box {printable(item.box)}, events {numbers} {item.reason}"
            if item.reason == "earlier":
                out.print(f"joined: {text}", style="dim")
            else:
                out.print(f"gap: {text}", style="bold magenta")
        case Heartbeat():
            out.print(f"box {printable(item.box)} lives, epoch {item.epoch}, last event {item.last_seq}", style="dim")
        case VolatileHit():
            out.print(hit_line(item.hit).append("  not on disk: the box's store fails", style="bold magenta"))
        case _:
            out.print(record_line(item.record))
