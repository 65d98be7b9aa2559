"""`anpr keys`: the key pairs of the bus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anpr.cli import exits
from anpr.cli.telling import tell

app = typer.Typer(help="Keys for an encrypted bus.", no_args_is_help=True)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Of the box, or of a consumer: ioc. One more key of it: ioc.next.")],
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="Where to put the two files.")] = Path(),
) -> None:
    """Make a pair: NAME.key to give away, and NAME.key_secret to keep. Nothing is overwritten."""
    from anpr.bus.keys import fingerprint, new_pair, read_public

    public, secret = new_pair(into, name)
    print(f"public  {public}  {fingerprint(read_public(public))}")
    print(f"secret  {secret}  keep it here, readable for its owner alone")
    raise typer.Exit(exits.OK)


@app.command()
def show(files: Annotated[list[Path], typer.Argument(help="Key files, public or secret, or folders of them.")]) -> None:
    """Print name, public key and fingerprint, which one reads out to compare. Exit code 1 if a file is bad."""
    from anpr.bus.keys import fingerprint, read_public
    from anpr.errors import BusError

    worst = exits.OK
    for path in [path for file in files for path in (sorted(file.glob("*.key")) if file.is_dir() else [file])]:
        try:
            public = read_public(path)
        except BusError as error:
            tell(str(error), head="anpr: ")
            worst = exits.FINDINGS
        else:
            print(f"{path.name.partition('.key')[0]}  {public.decode()}  {fingerprint(public)}")
    raise typer.Exit(worst)
