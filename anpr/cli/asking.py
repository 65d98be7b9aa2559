"""What every question to the store is asked: where it is, for what purpose, for which case; and what is looked for."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from anpr.plates.provinces import VIETNAM_TIME
from anpr.plates.pseudonym import Pseudonyms
from anpr.privacy import checked_words

DEFAULT_STORE = Path("/var/lib/anpr")

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


def _words(written: str) -> str:
    try:
        return checked_words(written)
    except ValueError as error:
        raise typer.BadParameter(f"the text {error}") from error


StoreOption = Annotated[Path, typer.Option(metavar="DIR", envvar="ANPR_STORE", help="The store's folder.")]
PurposeOption = Annotated[
    str, typer.Option(parser=_words, metavar="TEXT", help="What the answer is for; written to the audit log.")
]
CaseOption = Annotated[
    str, typer.Option("--case", parser=_words, metavar="TEXT", help="The case's reference; written to the audit log.")
]
ReasonOption = Annotated[str, typer.Option(parser=_words, metavar="TEXT", help="Why; written to the audit log.")]
PlateOption = Annotated[
    str, typer.Option(help="Plate or pattern: * any characters, ? one. Case and separators do not matter.")
]
OneOffOption = Annotated[
    bool, typer.Option("--one-off", help="Plates too with one character another, missing, or too many: --edits 1.")
]
EditsOption = Annotated[
    int | None,
    typer.Option(min=1, max=3, help="Plates too with so many characters another, missing, or too many."),
]
AlikeOption = Annotated[
    bool, typer.Option("--alike", help="Plates too with one character that is easily taken for the one given.")
]
PseudonymsOption = Annotated[
    bool,
    typer.Option("--pseudonyms", help="Passages too whose plate gave way to its pseudonym; asks for the box's key."),
]
FromOption = Annotated[
    datetime | None,
    typer.Option("--from", parser=parse_time, metavar="TIME", help="Not before: 2026-01-31, 2026-01-31T18:00, 2h."),
]
ToOption = Annotated[datetime | None, typer.Option("--to", parser=parse_time, metavar="TIME", help="Before this time.")]
CameraOption = Annotated[str, typer.Option(help="Id of the camera.")]
ProvinceOption = Annotated[
    str, typer.Option(metavar="TEXT", help="Of the plate: a name, of before or since 2025-07-01, or a code such as 30.")
]
KindOption = Annotated[str, typer.Option(help="Of the plate: car, motorbike, military, …")]
ColourOption = Annotated[str, typer.Option(help="Of the plate: white, yellow, blue, red or unknown.")]
DirectionOption = Annotated[str, typer.Option(help="approaching, receding or unknown.")]
ListOption = Annotated[str, typer.Option("--list", metavar="NAME", help="With a hit of this watch-list.")]
RuleOption = Annotated[str, typer.Option("--rule", metavar="NAME", help="With a hit of this rule.")]
SeverityOption = Annotated[str, typer.Option(help="With a hit of this severity: INFO, CHECK or ALERT.")]


def check_period(from_time: datetime | None, to_time: datetime | None) -> None:
    """Raises typer.BadParameter if no time lies between the two: nothing would be found, whatever is there."""
    if from_time is not None and to_time is not None and to_time <= from_time:
        raise typer.BadParameter(f"no time lies between {from_time:%Y-%m-%d %H:%M:%S} and {to_time:%Y-%m-%d %H:%M:%S}")


def refuse_empty(context: typer.Context) -> None:
    """Raises typer.BadParameter for a condition that was given and says nothing, as of a script whose variable is not
    set: everything would be found."""
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if context.params.get(name) == "" and name != "cursor" and source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"{parameter.opts[0]} is empty: give a value, or leave it out")


def keys_of(store: Path, *, pseudonyms: bool) -> tuple[Pseudonyms, ...]:
    """The keys that a search with pseudonyms needs. Raises StoreError."""
    from anpr.store.pseudonym_key import all_keys

    return all_keys(store) if pseudonyms else ()


def edits_of(edits: int | None, *, one_off: bool, alike: bool) -> int:
    """How many edits a query allows. Raises typer.BadParameter if more than one of the three is given."""
    if one_off + alike + (edits is not None) > 1:
        raise typer.BadParameter("--one-off is --edits 1, and --alike is part of it: give one of the three")
    return 1 if one_off else edits or 0
