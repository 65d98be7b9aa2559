"""`anpr search --plate 30A*`: finds passages in a box's store, also while the box is running."""

from __future__ import annotations

from typing import Annotated

import typer

from anpr.cli import exits
from anpr.cli.apart import open_to_read, read_apart
from anpr.cli.asking import (
    DEFAULT_STORE,
    AlikeOption,
    CameraOption,
    CaseOption,
    ColourOption,
    DirectionOption,
    EditsOption,
    FromOption,
    KindOption,
    ListOption,
    OneOffOption,
    PlateOption,
    ProvinceOption,
    PseudonymsOption,
    PurposeOption,
    RuleOption,
    SeverityOption,
    StoreOption,
    ToOption,
    check_period,
    edits_of,
    keys_of,
    refuse_empty,
)
from anpr.cli.telling import tell


def search(
    context: typer.Context,
    purpose: PurposeOption,
    case: CaseOption,
    plate: PlateOption = "",
    one_off: OneOffOption = False,
    edits: EditsOption = None,
    alike: AlikeOption = False,
    pseudonyms: PseudonymsOption = False,
    from_time: FromOption = None,
    to_time: ToOption = None,
    camera: CameraOption = "",
    province: ProvinceOption = "",
    kind: KindOption = "",
    colour: ColourOption = "",
    direction: DirectionOption = "",
    list_name: ListOption = "",
    rule: RuleOption = "",
    severity: SeverityOption = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most, newest first.")] = 50,
    cursor: Annotated[str, typer.Option(help="Go on where the last answer ended.", show_default=False)] = "",
    store: StoreOption = DEFAULT_STORE,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object a sighting; last one with the cursor, if there is more."),
    ] = False,
) -> None:
    """Find passages that meet all the conditions given, newest first. Exit code 1 if there are none.

    Who asked, why, and how many were found is written to the audit log first.
    """
    refuse_empty(context)
    check_period(from_time, to_time)
    read_apart(context, store)
    import msgspec

    from anpr.cli.lines import console, sighting_line
    from anpr.store import Query
    from anpr.store.audit import Request

    query = Query(
        plate=plate,
        near="alike" if alike else "exact",
        edits=edits_of(edits, one_off=one_off, alike=alike),
        from_seconds=from_time.timestamp() if from_time else None,
        until_seconds=to_time.timestamp() if to_time else None,
        camera_id=camera,
        province=province,
        kind=kind,
        colour=colour,
        direction=direction,
        list_name=list_name,
        rule=rule,
        severity=severity,
        pseudonyms=keys_of(store, pseudonyms=pseudonyms),
        limit=limit,
        cursor=cursor,
    )
    with open_to_read(store) as opened:
        page = opened.search(query)
        opened.audit.append(Request("search", purpose, case, query.given), rows=len(page.sightings))
    out = console()
    for sighting in page.sightings:
        away = query.edits_to(sighting.text)
        if as_json:
            told = sighting if away is None else {**msgspec.to_builtins(sighting), "edits": away}
            print(msgspec.json.encode(told).decode())
        else:
            line = sighting_line(sighting)
            out.print(line if away is None else line.append(f"  {away} {'edit' if away == 1 else 'edits'}"))
    if as_json and page.cursor:
        print(msgspec.json.encode({"cursor": page.cursor}).decode())
    elif page.cursor:
        tell(f"there is more: --cursor {page.cursor}")
    elif not page.sightings:
        tell("nothing found")
    raise typer.Exit(exits.OK if page.sightings else exits.FINDINGS)
