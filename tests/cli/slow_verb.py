"""A verb that reads apart, in a process of its own: argument folder, then how it ends.

It says which process reads. What it leaves are halves of `made` in the folder, and of columns of each day.
"""

import os
import signal
import sys
import time
from pathlib import Path

import typer

from anpr.cli.apart import OWN_PROCESS, read_apart
from anpr.errors import StoreError
from anpr.store.durable import half_of

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # who started the tests may have had them ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def verb(context: typer.Context, folder: Path, end: str) -> None:
    """End with a code, a signal, or not."""
    read_apart(context, folder, makes=folder / "made")
    (half := half_of(folder / "made", os.getpid())).mkdir()
    (half / "data.mdb").write_bytes(b"")
    for day in folder.glob("days/*"):
        half_of(day / "columns", os.getpid()).write_bytes(b"")
    os.write(2, b"a library says\n")
    print(os.getpid(), flush=True)
    print("we say", file=sys.stderr)
    if end.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[end])
    if end == "sleep":
        time.sleep(60.0)
    if end == "tidy":
        _sleep_and_tidy()
    raise typer.Exit(int(end))


def _sleep_and_tidy() -> None:
    """Say so when all is tidied up, unless interrupted twice."""
    try:
        print("ready", flush=True)
        time.sleep(60.0)
    finally:
        time.sleep(0.2)
        print("tidied", flush=True)


try:
    app(obj=OWN_PROCESS)
except StoreError as error:
    sys.exit(str(error))
