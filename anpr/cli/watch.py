"""`anpr watch import|check FILE`: watch-lists from CSV files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from anpr.cli import exits

app = typer.Typer(help="Check and import watch-lists.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(help="CSV file with a header; the column `plate` is required.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("import")
def import_list(
    file: FileArgument,
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="Folder of the active lists.")],
    name: Annotated[str | None, typer.Option(help="Name of the list; the file's own unless given.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Take it even if many active plates would vanish.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Validate FILE and make it the active list of its name, in one step; the old one stays if anything is wrong."""
    from anpr.clock import SystemClock
    from anpr.watch.install import install

    watch_list, difference = install(file, into, now_seconds=SystemClock().wall_seconds(), name=name, force=force)
    if as_json:
        told = {"list": watch_list.name, "version": watch_list.version, "entries": len(watch_list.entries)}
        print(json.dumps(told | asdict(difference), ensure_ascii=False))
    else:
        print(f"{watch_list.name}: {len(watch_list.entries)} entries, {difference}, version {watch_list.version}")


@app.command("check")
def check_list(file: FileArgument, as_json: JsonOption = False) -> None:
    """Tell everything that is wrong with FILE. Exit code 1 if anything is."""
    from anpr.watch.lists import read_csv, read_file

    data, _ = read_file(file)
    entries, problems = read_csv(data)
    if as_json:
        told = {"file": str(file), "entries": len(entries), "problems": [asdict(problem) for problem in problems]}
        print(json.dumps(told, ensure_ascii=False))
    else:
        for problem in problems:
            print(f"{file}: {problem}")
        if not problems:
            print(f"{file}: {len(entries)} entries, no problems")
    raise typer.Exit(exits.FINDINGS if problems else exits.OK)
