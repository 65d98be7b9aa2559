"""`anpr search --plate 30A*`: finds passages in a box's store, also while the box is running."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from anpr.cli import exits
from anpr.cli.asking import DEFAULT_STORE, CaseOption, PurposeOption, StoreOption, tell
from anpr.plates.provinces import VIETNAM_TIME

if TYPE_CHECKING:
    from anpr.store import Query

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_time(written: str) -> datetime:
    """A moment as people write it: `2026-01-31`, `2026-01-31T18:00`, with a zone or in Viet Nam's time; or `2h` ago.

    Raises typer.BadParameter.
    """
    now = datetime.now(VIETNAM_TIME)
    try:
        if ago := _AGO.fullmatch(written.strip()):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(written.strip())
        moment = moment if moment.tzinfo else moment.replace(tzinfo=VIETNAM_TIME)
        moment.timestamp()
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{written!r} is no time: write 2026-01-31, 2026-01-31T18:00 or 2h (ago)") from error
    return moment


def conditions(query: Query) -> dict[str, str | int | float]:
    """What a query asks, for the audit log: the conditions that were given."""
    given = {name: getattr(query, name) for name in ("plate", "from_seconds", "until_seconds", "camera_id", "cursor")}
    return {name: value for name, value in given.items() if value not in ("", None)}


def search(
    purpose: PurposeOption,
    case: CaseOption,
    plate: Annotated[
        str, typer.Option(help="Plate or pattern: * any characters, ? one. Case and separators do not matter.")
    ] = "",
    from_time: Annotated[
        datetime | None,
        typer.Option("--from", parser=parse_time, metavar="TIME", help="Not before: 2026-01-31, 2026-01-31T18:00, 2h."),
    ] = None,
    to_time: Annotated[
        datetime | None, typer.Option("--to", parser=parse_time, metavar="TIME", help="Before this time.")
    ] = None,
    camera: Annotated[str, typer.Option(help="Id of the camera.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most, newest first.")] = 50,
    cursor: Annotated[str, typer.Option(help="Go on where the last answer ended.", show_default=False)] = "",
    store: StoreOption = DEFAULT_STORE,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object a sighting; last one with the cursor, if there is more."),
    ] = False,
) -> None:
    """Find passages by plate, time and camera, newest first. Exit code 1 if there are none.

    Who asked, why, and how many were found is written to the audit log first.
    """
    import msgspec

    from anpr.cli.lines import console, sighting_line
    from anpr.clock import SystemClock
    from anpr.store import Query, Store
    from anpr.store.audit import Request

    query = Query(
        plate=plate,
        from_seconds=from_time.timestamp() if from_time else None,
        until_seconds=to_time.timestamp() if to_time else None,
        camera_id=camera,
        limit=limit,
        cursor=cursor,
    )
    with Store.open(store, clock=SystemClock(), read_only=True) as opened:
        page = opened.search(query)
        request = Request("search", purpose, case, conditions(query))
        opened.audit.append(request, rows=len(page.sightings))
    out = console()
    for sighting in page.sightings:
        if as_json:
            print(msgspec.json.encode(sighting).decode())
        else:
            out.print(sighting_line(sighting))
    if as_json and page.cursor:
        print(msgspec.json.encode({"cursor": page.cursor}).decode())
    elif page.cursor:
        tell(f"there is more: --cursor {page.cursor}")
    elif not page.sightings:
        tell("nothing found")
    raise typer.Exit(exits.OK if page.sightings else exits.FINDINGS)
