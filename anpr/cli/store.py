"""`anpr store check|backup|compact|set-aside|upgrade|columns|export`: the care of a store; keeping.py has holds and
purges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

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
    ReasonOption,
    RuleOption,
    SeverityOption,
    StoreOption,
    ToOption,
    check_period,
    edits_of,
    keys_of,
    refuse_empty,
)
from anpr.cli.keeping import confirm_clock, hold, holds, purge, purges, release
from anpr.cli.telling import tell

app = typer.Typer(help="Check, back up, compact, export, hold and purge the store.", no_args_is_help=True)
for verb in (hold, release, holds, purge, purges):
    app.command()(verb)
app.command("confirm-clock")(confirm_clock)

_CHECKED = ("events_checked", "links_checked", "pseudonymised_checked", "kept_checked", "pictures_checked")
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def check(
    context: typer.Context,
    store: StoreOption = DEFAULT_STORE,
    pictures: Annotated[bool, typer.Option("--pictures", help="Read every picture too, and compare its hash.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look whether all is whole, also while the box runs; nothing is changed. Exit code 1 if something is wrong."""
    read_apart(context, store)
    from anpr.clock import SystemClock
    from anpr.store.checking import check as look

    finding = look(store, clock=SystemClock(), pictures=pictures)
    counted = {name: finding.counters.total(name) for name in _CHECKED}
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
            tell("the pages of the files that a box writes were not looked at: check a backup")
    raise typer.Exit(exits.FINDINGS if finding.problems else exits.OK)


@app.command()
def backup(
    context: typer.Context,
    into: Annotated[Path, typer.Argument(metavar="INTO", help="A folder that does not exist yet, on another disk.")],
    purpose: PurposeOption,
    case: CaseOption,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Copy events, pictures and the audit log, also while the box runs, with a list of all files and their SHA-256.

    The key that signs evidence is not copied. Who asked and why is written to the audit log first, and how many events
    there are before the copy gets its name. What an earlier backup into the same place has left there when it was
    killed is removed, and told. Exit code 1 if pictures in the store were altered; 74 if an event file is damaged.
    """
    read_apart(context, store, makes=into)
    from anpr.clock import SystemClock
    from anpr.store.audit import AuditLog, Request
    from anpr.store.backup import back_up
    from anpr.store.unfinished import remove_left
    from anpr.store.wholeness import naming_damage

    for left in remove_left(into.parent):
        tell(f"{left}: removed, an earlier backup was killed while it was made")
    clock = SystemClock()
    audit = AuditLog(store, clock=clock)
    request = Request("backup", purpose, case, {"folder": str(into)})
    with naming_damage(store, clock=clock):
        manifest = back_up(store, into, clock=clock, note=lambda events: audit.append(request, rows=events))
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
    """Make the files of events as small as they can be; only while no process has the store open."""
    from anpr.clock import SystemClock
    from anpr.store.backup import compact as make_small

    done = make_small(store, clock=SystemClock())
    if as_json:
        print(json.dumps(done._asdict()))
    else:
        print(f"{done.before_bytes:,} bytes before, {done.after_bytes:,} after")


@app.command("set-aside")
def set_aside(
    reason: ReasonOption, case: CaseOption, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False
) -> None:
    """Set days whose files are damaged aside, so that the box starts again; only while nothing has the store open.

    What they hold is not found any more. No number is given twice. Who asked, and why, is written to the audit log
    first, what is lost to the journal of purges. Exit code 1 if no day is damaged.
    """
    from anpr.clock import SystemClock
    from anpr.store.aside import set_aside as put_aside

    done = put_aside(store, reason=reason, case=case, clock=SystemClock())
    if as_json:
        print(json.dumps([{**day._asdict(), "folder": str(day.folder)} for day in done], ensure_ascii=False))
    for day in done if not as_json else ():
        print(f"{day.day}: {day.damage}")
        to = f" to {day.last_seq:,}" if day.last_seq >= day.first_seq else " on"
        print(f"  events from {day.first_seq:,}{to} are not found any more; it lies in {day.folder}")
        print(f"  {day.readable:,} of them can be read, at least {day.unreadable:,} cannot")
        for consumer, numbers in day.undelivered.items():
            print(f"  {numbers:,} of them were not acknowledged by {consumer}")
    if not done:
        tell("no day is damaged")
    raise typer.Exit(exits.OK if done else exits.FINDINGS)


@app.command()
def upgrade(context: typer.Context, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Make a store of an older anpr new, as the first start of anpr run does; only while nothing has it open."""
    read_apart(context, store)
    from anpr import log
    from anpr.clock import SystemClock
    from anpr.store import Store
    from anpr.store.faults import told_as_store_errors
    from anpr.store.owner import giving_to_owner

    log.configure(level="warning")
    Store.open(store, clock=SystemClock(), read_only=True).close()  # there must be one
    with told_as_store_errors(store), giving_to_owner(store), Store.open(store, clock=SystemClock()) as opened:
        before, days, last_seq = opened.migrated_from, len(opened.partitions.all), opened.last_seq
    if as_json:
        print(json.dumps({"schema_before": before, "days": days, "last_seq": last_seq}))
    elif before is None:
        print("nothing to be done")
    else:
        print(f"made new: {last_seq:,} events on {days:,} days")


@app.command()
def columns(context: typer.Context, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Make ready what a search needs that no index answers, for each day that is over; also while the box runs.

    The first such search does it otherwise, and takes seconds longer.
    """
    read_apart(context, store)
    made = 0
    with open_to_read(store) as opened:
        while opened.make_columns():
            made += 1
    print(json.dumps({"made": made}) if as_json else f"{made:,} made")


@app.command()
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A new file: its ending, .csv, .jsonl or .parquet, says the format.")],
    purpose: PurposeOption,
    case: CaseOption,
    records: Annotated[Literal["sightings", "hits"], typer.Option(help="What to write.")] = "sightings",
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
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write sightings (newest first) or hits (oldest first) that meet all the conditions to a new file, also while the
    box runs.

    Who asked and why is written to the audit log first, and how many rows there are before the file gets its name.
    Exit code 1 if there are none.
    """
    refuse_empty(context)
    check_period(from_time, to_time)
    read_apart(context, store, makes=file)
    from anpr.records import Hit, Sighting
    from anpr.store import Query
    from anpr.store.audit import Request
    from anpr.store.export import export as write
    from anpr.store.export import find_all, format_of
    from anpr.store.query import MAX_LIMIT

    format_of(file)
    if records == "hits" and any((plate, one_off, edits, alike, pseudonyms, province, kind, colour, direction)):
        raise typer.BadParameter("hits are exported by time, camera, list, rule and severity: leave the rest out")
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
        limit=MAX_LIMIT,
    )
    with open_to_read(store) as opened:
        request = Request("export", purpose, case, {**query.given, "records": records, "file": str(file)})
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
                if (last is None or hit.seen_seconds < last)
                and camera in ("", hit.camera_id)
                and list_name in ("", hit.list_name)
                and rule in ("", hit.rule)
                and severity in ("", hit.severity)
            )
            rows = write(found, file, of=Hit, before_given=note)
    print(json.dumps({"file": str(file), "rows": rows}) if as_json else f"{rows:,} {records} in {file}")
    raise typer.Exit(exits.OK if rows else exits.FINDINGS)
