"""The `anpr` command: one verb per file of this folder.

A verb's file imports only what its signature needs; the engine is imported when the verb runs, so `--help` is quick.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from anpr import __version__
from anpr.cli import exits
from anpr.cli.apart import OWN_PROCESS
from anpr.cli.telling import tell
from anpr.errors import AnprError, ConfigError, DeclarationError, WatchListError

MOST_FILES = 65_536

CONTEXT = {"help_option_names": ["-h", "--help"]}


def application() -> typer.Typer:
    """The command-line program with all its verbs."""
    from anpr.cli.audit import app as audit
    from anpr.cli.bridge import bridge
    from anpr.cli.cameras import app as cameras
    from anpr.cli.check_config import check_config
    from anpr.cli.doctor import doctor
    from anpr.cli.evidence import app as evidence
    from anpr.cli.keys import app as keys
    from anpr.cli.listen import listen
    from anpr.cli.models import models
    from anpr.cli.read import read
    from anpr.cli.replay import replay
    from anpr.cli.rules import app as rules
    from anpr.cli.run import run
    from anpr.cli.search import search
    from anpr.cli.status import status
    from anpr.cli.store import app as store
    from anpr.cli.watch import app as watch

    app = typer.Typer(
        name="anpr",
        help="Number plate recognition for Vietnamese expressways.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings=CONTEXT,
    )
    app.callback()(_options)
    for verb in (run, status, replay, read, listen, bridge, search, check_config, doctor, models):
        app.command()(verb)
    app.add_typer(cameras, name="cameras")
    app.add_typer(watch, name="watch")
    app.add_typer(keys, name="keys")
    app.add_typer(rules, name="rules")
    app.add_typer(store, name="store")
    app.add_typer(evidence, name="evidence")
    app.add_typer(audit, name="audit")
    return app


def main() -> None:
    """Run the verb that the command line names; what a person did wrong ends in one message and an exit code."""
    try:
        _find_cache()
        _allow_files()
        application()(obj=OWN_PROCESS)
    except AnprError as error:
        _tell(error)
        sys.exit(exits.code_of(error))
    except OSError as error:
        tell(f"anpr: {error.filename or 'the system'}: {error.strerror or error}")
        sys.exit(exits.INPUT_OUTPUT)


def _allow_files() -> None:
    """Let this process and its children open as many files as they may, up to MOST_FILES: a store has some for each day
    that it keeps, and the usual limit of 1024 is less than a year's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _find_cache() -> None:
    """Tell numba where compiled code may be kept: a service account may have no home and no write access to us.

    Children inherit it. An operator's own NUMBA_CACHE_DIR, and systemd's CACHE_DIRECTORY, come first.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    if "CACHE_DIRECTORY" in os.environ:
        os.environ["NUMBA_CACHE_DIR"] = os.environ["CACHE_DIRECTORY"]
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", "/nonexistent")) / ".cache")
    if any(place.is_dir() and os.access(place, os.W_OK) for place in (Path(__file__).parent.parent, home, home.parent)):
        return
    folder = Path(tempfile.gettempdir()) / f"anpr-cache-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise ConfigError("belongs to somebody else", place=str(folder), cure="set NUMBA_CACHE_DIR")
    os.environ["NUMBA_CACHE_DIR"] = str(folder)


def _tell(error: AnprError) -> None:
    """One line for one problem, one line each for several; of a watch-list also why they are too many."""
    lines = error.problems if isinstance(error, ConfigError | DeclarationError | WatchListError) else (str(error),)
    for line in lines:
        tell(line, head="anpr: ")
    if isinstance(error, WatchListError) and error.details:
        tell(error.summary, head="anpr: ")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"anpr {__version__}")
        raise typer.Exit


def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    pass
