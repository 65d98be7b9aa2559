"""A verb that reads apart, in a process of its own: argument folder, then how it ends.

It says which process reads. `unfinished` in the folder is what it leaves.
"""

import os
import signal
import sys
import time
from pathlib import Path

import typer

from anpr.cli.apart import OWN_PROCESS, read_apart
from anpr.errors import StoreError

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def verb(context: typer.Context, folder: Path, end: str) -> None:
    """End with a code, a signal, or not."""
    read_apart(context, folder, unfinished=lambda child: folder / f"unfinished.{child}")
    (folder / f"unfinished.{os.getpid()}").write_bytes(b"")
    os.write(2, b"a library says\n")
    print(os.getpid(), flush=True)
    print("we say", file=sys.stderr)
    if end.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[end])
    if end == "sleep":
        time.sleep(60.0)
    raise typer.Exit(int(end))


try:
    app(obj=OWN_PROCESS)
except StoreError as error:
    sys.exit(str(error))
