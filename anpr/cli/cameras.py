"""`anpr cameras probe` and `anpr cameras gaps`: what cameras send, and when they were not watched."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anpr.cli import exits
from anpr.cli.apart import open_to_read, read_apart
from anpr.cli.asking import parse_time

if TYPE_CHECKING:
    from anpr.video.probe import Examination

app = typer.Typer(help="Look at cameras, and at the times when they were not watched.", no_args_is_help=True)


@app.command()
def probe(
    url: Annotated[
        str, typer.Argument(help="rtsp://user:password@host/path. It is seen by others of this machine: prefer --site.")
    ] = "",
    site: Annotated[Path | None, typer.Option(help="Site file: its cameras, with their passwords.")] = None,
    camera: Annotated[str, typer.Option(help="Only this camera of the site file.")] = "",
    seconds: Annotated[float, typer.Option(min=1.0, max=600.0, help="How long to look at each.")] = 6.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a camera.")] = False,
) -> None:
    """Connect, and say codec, size, rate, key frames, bit rate and what will cause trouble. Exit code 1 if something
    will."""
    from anpr.clock import SystemClock
    from anpr.config import load_site
    from anpr.errors import ConfigError, StreamError
    from anpr.video.decode import DecodeOptions
    from anpr.video.probe import examine

    if bool(url) == (site is not None):
        raise typer.BadParameter("give either an address or --site FILE")
    found = {"camera": url}
    if site is not None:
        live = [each for each in load_site(site).enabled_cameras() if each.url is not None]
        found = {each.id: each.address() for each in live if camera in ("", each.id)}
        if not found:
            raise ConfigError("no such live camera", place=str(site), cure="see its [[cameras]]")
    wrong = 0
    for name, address in found.items():
        try:
            seen = examine(address, camera_id=name, clock=SystemClock(), seconds=seconds, options=DecodeOptions())
        except StreamError as error:
            wrong += 1
            _print(name, {"problems": [str(error)]}, as_json=as_json)
            continue
        wrong += bool(seen.problems)
        _print(name, _facts(seen), as_json=as_json)
    raise typer.Exit(exits.FINDINGS if wrong else exits.OK)


@app.command()
def gaps(
    context: typer.Context,
    from_time: Annotated[
        datetime | None,
        typer.Option("--from", parser=parse_time, metavar="TIME", help="Not over before: 2026-01-31, 2h."),
    ] = None,
    to_time: Annotated[
        datetime | None, typer.Option("--to", parser=parse_time, metavar="TIME", help="Begun before this time.")
    ] = None,
    camera: Annotated[str, typer.Option(help="Id of the camera.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most, newest first.")] = 50,
    store: Annotated[Path, typer.Option(metavar="DIR", envvar="ANPR_STORE", help="The store's folder.")] = Path(
        "/var/lib/anpr"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a gap.")] = False,
) -> None:
    """Show when cameras were not watched, and why, newest first. Exit code 1 if that never happened."""
    read_apart(context, store)
    from math import inf

    import msgspec

    from anpr.cli.lines import console, gap_line

    with open_to_read(store) as opened:
        found = opened.gaps(
            from_seconds=from_time.timestamp() if from_time else -inf,
            until_seconds=to_time.timestamp() if to_time else inf,
            camera_id=camera,
            limit=limit,
        )
    out = console()
    for gap in found:
        if as_json:
            print(msgspec.json.encode(gap).decode())
        else:
            out.print(gap_line(gap))
    raise typer.Exit(exits.OK if found else exits.FINDINGS)


def _facts(seen: Examination) -> dict[str, Any]:
    facts = seen.facts
    return {
        "codec": facts.codec,
        "size": f"{facts.width}x{facts.height}",
        "frames_per_second": round(seen.frames_per_second, 2),
        "megabits_per_second": round(seen.megabits_per_second, 2),
        "key_frame_seconds": None if seen.group_seconds is None else round(seen.group_seconds, 2),
        "first_picture_seconds": None if seen.first_picture_seconds is None else round(seen.first_picture_seconds, 2),
        "problems": list(seen.problems),
    }


def _print(name: str, facts: dict[str, Any], *, as_json: bool) -> None:
    from anpr.privacy import redact

    if as_json:
        print(redact(json.dumps({"camera": name if "://" not in name else "camera", **facts}, ensure_ascii=False)))
        return
    if len(facts) > 1:
        keys = facts["key_frame_seconds"]
        print(
            f"{name}: {facts['codec']} {facts['size']}, {facts['frames_per_second']:g} frames/s,"
            f" {facts['megabits_per_second']:g} Mb/s, a key frame every {f'{keys:g} s' if keys else '?'},"
            f" first picture after {facts['first_picture_seconds']} s"
        )
    for problem in facts["problems"]:
        print(redact(f"✖ {problem}" if len(facts) > 1 else f"✖ {name}: {problem}"))
