"""Making a watch-list file the active one of a folder: validated first, compared, then swapped in one step."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from anpr.errors import WatchListError
from anpr.watch.lists import Difference, WatchList, compare, load_csv, parse_csv, read_file

MAX_VANISHING = 0.2
"""An update that removes a larger share of the active entries is refused: most likely half a file."""


def install(
    file: Path, folder: Path, *, now_seconds: float, name: str | None = None, force: bool = False
) -> tuple[WatchList, Difference]:
    """Make `file` the active list `<name>.csv` of `folder`; its own name unless given.

    A reader sees the old list or the new one, never a mixture, also after a power cut. Raises WatchListError, and
    leaves the active list as it is, if the file has problems, or if more than `MAX_VANISHING` of the plates would
    vanish and not `force`. An active list that is itself damaged counts as empty.
    """
    name = file.stem if name is None else name
    if not name or Path(name).name != name or name.startswith("."):
        raise WatchListError(f"no name for a list: {name!r}", place=str(file), cure="use letters, digits, - and _")
    data, _ = read_file(file)
    new = parse_csv(data, place=str(file), name=name, loaded_seconds=now_seconds)
    active = folder / f"{name}.csv"
    difference = compare(_active(active), new)
    kept = len({entry.plate for entry in new.entries}) - len(difference.added)
    if len(difference.removed) > MAX_VANISHING * (kept + len(difference.removed)) and not force:
        raise WatchListError(
            f"{len(difference.removed)} of {kept + len(difference.removed)} active plates would vanish",
            place=str(file),
            cure="check that the file is whole, or import it with --force",
        )
    try:
        _swap(data, active, now_seconds)
    except OSError as error:
        raise WatchListError(
            f"cannot be written: {error.strerror}", place=str(active), cure="check the folder's rights and space"
        ) from error
    return new, difference


def _active(path: Path) -> WatchList:
    try:
        return load_csv(path)
    except WatchListError:
        return WatchList(path.stem, "", ())


def _swap(data: bytes, target: Path, now_seconds: float) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o640)
            os.fsync(file.fileno())
        os.utime(temporary, (now_seconds, now_seconds))
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
