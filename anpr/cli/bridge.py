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
    debug: Annotated[bool, typer.Option("--debug", help="Log more.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Log JSON lines, also to a terminal.")] = False,
) -> None:
    """Hand the events of a box on to a webhook, an MQTT or NATS server, or a Kafka cluster, until SIGTERM or Ctrl-C.

    Nothing is lost: an event is acknowledged to the box when the other side has acknowledged it.
    """
    from anpr import log
    from anpr.config import load_bridge

    level: log.Level = "debug" if debug else "info"
    json_lines = as_json or not sys.stderr.isatty()
    log.configure(level=level, as_json=json_lines)
    log.take_over()
    config = load_bridge(file, environment=os.environ)
    log.configure(level=level, as_json=json_lines, plates=config.log.plates)
    asyncio.run(_run(config))
    raise typer.Exit(exits.OK)


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
