"""`anpr store check|backup|compact|export`: the care of a box's store."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from anpr.cli import exits
from anpr.cli.asking import DEFAULT_STORE, CaseOption, PurposeOption, StoreOption, tell
from anpr.cli.search import conditions, parse_time

app = typer.Typer(help="Check, back up, compact and export the store.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def check(
    store: StoreOption = DEFAULT_STORE,
    pictures: Annotated[bool, typer.Option("--pictures", help="Read every picture too, and compare its hash.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look whether all is whole, also while the box runs; nothing is changed. Exit code 1 if something is wrong."""
    from anpr.clock import SystemClock
    from anpr.store.checking import check as look

    finding = look(store, clock=SystemClock(), pictures=pictures)
    counted = {name: finding.counters.total(name) for name in ("events_checked", "links_checked", "pictures_checked")}
    counted |= {name: finding.counters.total(name) for name in ("pictures_missing", "problems")}
    if as_json:
        told = {
            **counted,
            "file_checked": finding.file_checked,
            "keys": finding.fingerprints,
            "first_problems": finding.problems,
        }
        print(json.dumps(told, ensure_ascii=False))
    else:
        for problem in finding.problems:
            print(f"✖ {problem}")
        for name, commits in finding.fingerprints.items():
            print(f"{commits} commits signed by the key {name}")
        print(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counted.items()))
        if not finding.file_checked:
            tell("the file's pages were not looked at, because a box is writing: check a backup")
    raise typer.Exit(exits.FINDINGS if finding.problems else exits.OK)


@app.command()
def backup(
    into: Annotated[Path, typer.Argument(metavar="INTO", help="A folder that does not exist yet, on another disk.")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Copy events, pictures and the audit log, also while the box runs, with a list of all files and their SHA-256.

    The key that signs evidence is not copied. Exit code 1 if pictures in the store were altered.
    """
    from anpr.clock import SystemClock
    from anpr.store.backup import back_up

    manifest = back_up(store, into, clock=SystemClock())
    size = sum(entry.bytes for entry in manifest.files)
    altered = list(manifest.pictures_altered)
    if as_json:
        told = {"files": len(manifest.files), "bytes": size, "last_seq": manifest.last_seq, "pictures_altered": altered}
        print(json.dumps(told, ensure_ascii=False))
    else:
        for name in altered:
            print(f"✖ {store / name}: was altered before it was copied")
        print(f"{len(manifest.files):,} files, {size:,} bytes, events up to {manifest.last_seq:,}")
    raise typer.Exit(exits.FINDINGS if altered else exits.OK)


@app.command()
def compact(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Make the file of events as small as it can be; only while no process has the store open."""
    from anpr.clock import SystemClock
    from anpr.store.backup import compact as make_small

    done = make_small(store, clock=SystemClock())
    if as_json:
        print(json.dumps(done._asdict()))
    else:
        print(f"{done.before_bytes:,} bytes before, {done.after_bytes:,} after")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="A new file: its ending, .csv, .jsonl or .parquet, says the format.")],
    purpose: PurposeOption,
    case: CaseOption,
    records: Annotated[Literal["sightings", "hits"], typer.Option(help="What to write.")] = "sightings",
    plate: Annotated[str, typer.Option(help="Plate or pattern, as for search; sightings only.")] = "",
    from_time: Annotated[
        datetime | None,
        typer.Option("--from", parser=parse_time, metavar="TIME", help="Not before: 2026-01-31, 2026-01-31T18:00, 2h."),
    ] = None,
    to_time: Annotated[
        datetime | None, typer.Option("--to", parser=parse_time, metavar="TIME", help="Before this time.")
    ] = None,
    camera: Annotated[str, typer.Option(help="Id of the camera.")] = "",
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write sightings (newest first) or hits (oldest first) to a new file, also while the box runs.

    Who asked and why is written to the audit log first, and how many rows there are before the file gets its name.
    Exit code 1 if there are none.
    """
    from anpr.clock import SystemClock
    from anpr.records import Hit, Sighting
    from anpr.store import Query, Store
    from anpr.store.audit import Request
    from anpr.store.export import export as write
    from anpr.store.export import find_all, format_of
    from anpr.store.search import MAX_LIMIT

    format_of(file)
    if plate and records == "hits":
        raise typer.BadParameter("hits are exported by time and camera: leave --plate out")
    query = Query(
        plate=plate,
        from_seconds=from_time.timestamp() if from_time else None,
        until_seconds=to_time.timestamp() if to_time else None,
        camera_id=camera,
        limit=MAX_LIMIT,
    )
    with Store.open(store, clock=SystemClock(), read_only=True) as opened:
        request = Request("export", purpose, case, {**conditions(query), "records": records, "file": str(file)})
        opened.audit.append(request, rows=None)

        def note(rows: int) -> None:
            opened.audit.append(request, rows=rows)

        if records == "sightings":
            rows = write(find_all(opened, query), file, of=Sighting, before_given=note)
        else:
            first, last = query.from_seconds or 0.0, query.until_seconds
            found = (
                hit
                for hit in opened.hits_since(first)
                if (last is None or hit.seen_seconds < last) and camera in ("", hit.camera_id)
            )
            rows = write(found, file, of=Hit, before_given=note)
    print(json.dumps({"file": str(file), "rows": rows}) if as_json else f"{rows:,} {records} in {file}")
    raise typer.Exit(exits.OK if rows else exits.FINDINGS)
