"""`anpr bridge BRIDGE.toml`: hands a box's events on to a broker."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anpr.cli import exits

if TYPE_CHECKING:
    from anpr.config.bridge import BridgeFile


def bridge(
    file: Annotated[Path, typer.Argument(metavar="BRIDGE.toml", help="Bridge file.", show_default=False)],
    again: Annotated[
        bool, typer.Option("--again", help="Send what lies in the dead-letter file once more, and end.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log more.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Log JSON lines, also to a terminal.")] = False,
) -> None:
    """Hand the events of a box on to a webhook, an MQTT or NATS server, or a Kafka cluster, until SIGTERM or Ctrl-C.

    Nothing is lost: an event is acknowledged to the box when the other side has acknowledged it. With --again, exit
    code 1 if something still lies in the dead-letter file.
    """
    from anpr import log
    from anpr.config import load_bridge

    level: log.Level = "debug" if debug else "info"
    json_lines = as_json or not sys.stderr.isatty()
    log.configure(level=level, as_json=json_lines)
    log.take_over()
    config = load_bridge(file, environment=os.environ)
    log.configure(level=level, as_json=json_lines, plates=config.log.plates)
    if again:
        raise typer.Exit(asyncio.run(_send_again(config)))
    asyncio.run(_run(config))
    raise typer.Exit(exits.OK)


async def _send_again(config: BridgeFile) -> int:
    """The exit code."""
    from anpr.bridges import DeadLetters, open_sink, send_again
    from anpr.cli.telling import tell
    from anpr.clock import SystemClock
    from anpr.errors import StoreError

    clock = SystemClock()
    try:
        async with open_sink(config, clock=clock) as sink:
            done = await send_again(DeadLetters(config.dead_letters, clock=clock), sink)
    except OSError as error:
        raise StoreError(
            f"the dead letters cannot be read or written: {error.strerror or error}",
            place=str(config.dead_letters),
            cure="see disk and permissions; none is lost",
        ) from error
    print(f"delivered {done.delivered}, refused again {done.refused}, left {done.left}")
    if done.problem:
        tell(done.problem, head="anpr: ")
    return exits.FINDINGS if done.refused or done.left else exits.OK


async def _run(config: BridgeFile) -> None:
    import structlog

    from anpr.bridges import open_bridge
    from anpr.clock import SystemClock

    logger = structlog.get_logger()
    async with open_bridge(config, clock=SystemClock()) as opened:
        task = asyncio.ensure_future(opened.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        logger.info("bridge_started", box=config.feed.endpoint, consumer=config.feed.consumer, broker=config.address)
        with suppress(asyncio.CancelledError):
            await task
    logger.info("bridge_stopped", **opened.facts())
