"""What every question to the store is asked: where it is, for what purpose, for which case."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_STORE = Path("/var/lib/anpr")


def _words(written: str) -> str:
    from anpr.errors import StoreError
    from anpr.store.audit import checked_words

    try:
        return checked_words("text", written)
    except StoreError as error:
        raise typer.BadParameter(str(error)) from error


StoreOption = Annotated[Path, typer.Option(metavar="DIR", envvar="ANPR_STORE", help="The store's folder.")]
PurposeOption = Annotated[
    str, typer.Option(parser=_words, metavar="TEXT", help="What the answer is for; written to the audit log.")
]
CaseOption = Annotated[
    str, typer.Option("--case", parser=_words, metavar="TEXT", help="The case's reference; written to the audit log.")
]


def tell(text: str) -> None:
    """Say something beside the answer."""
    print(text, file=sys.stderr)
