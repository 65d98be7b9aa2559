"""Making a watch-list file the active one of a folder: validated first, compared, then swapped in one step."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from anpr.config.handed_in import MAX_VANISHING
from anpr.errors import WatchListError
from anpr.watch.lists import Difference, WatchList, compare, load_list, make_list, open_list, parse_file
from anpr.watch.writing import write_list

_PIECE_BYTES = 1 << 20


def install(
    file: Path,
    folder: Path,
    *,
    now_seconds: float,
    name: str | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> tuple[WatchList, Difference]:
    """Make `file` the active list `<name>.csv` of `folder`, or `<name>.json` for a JSON file.

    `name` is the file's own unless given. A workbook becomes a CSV file, and bad rows are left out. A reader sees the
    old list or the new one, never a mixture, also after a power cut. What root imports belongs to the owner of the
    active list, or else of the folder. `dry_run` changes nothing. Raises WatchListError,
    and leaves the active list as it is, if the file is wrong (`load_list`), or if more than `MAX_VANISHING` of the
    plates would vanish and not `force`. An active list that is itself damaged counts as empty.
    """
    name = file.stem if name is None else name
    if not name or Path(name).name != name or name.startswith("."):
        raise WatchListError(f"no name for a list: {name!r}", place=str(file), cure="use letters, digits, - and _")
    suffix, other = (".json", ".csv") if file.suffix.lower() == ".json" else (".csv", ".json")
    active = folder / f"{name}{suffix}"
    if active.with_suffix(other).exists():
        cure = "give it another --name, or take the other file away, also from the site file"
        raise WatchListError(f"the active list is {active.with_suffix(other)}", place=str(file), cure=cure)
    with open_list(file) as opened:
        parsed = parse_file(opened.file, file.suffix)
        new = make_list(parsed, place=str(file), name=name, loaded_seconds=now_seconds, force=force)
        difference = compare(_active(active), new)
        if not force:
            check_vanishing(difference, place=str(file))
        opened.check()
        if dry_run:
            return new, difference
        opened.file.seek(0)
        content: Iterator[bytes] = iter(lambda: opened.file.read(_PIECE_BYTES), b"")
        if file.suffix.lower() == ".xlsx" or new.bad_rows:
            content = write_list(new.rows, parsed.head, suffix=suffix)
        try:
            with _beside(active, content, now_seconds) as (fresh, digest):
                opened.check()
                if force:
                    with _beside(forced_mark(active), iter((digest.encode(),)), now_seconds) as (mark, _):
                        _swap(mark, forced_mark(active))
                _swap(fresh, active)
        except OSError as error:
            raise WatchListError(
                f"cannot be written: {error.strerror}", place=str(active), cure="check the folder's rights and space"
            ) from error
    return new, difference


def check_vanishing(difference: Difference, *, place: str) -> None:
    """Raises WatchListError if more than `MAX_VANISHING` of the plates would vanish."""
    gone = len(difference.removed_plates)
    if difference.vanishing > MAX_VANISHING:
        raise WatchListError(
            f"{gone} of {difference.kept + gone} active plates would vanish",
            place=place,
            cure="check that the file is whole, or import it with --force",
        )


def forced_mark(active: Path) -> Path:
    """The file beside an active list that says which content somebody has forced."""
    return active.with_name(f".{active.name}.forced")


def is_forced(active: Path) -> bool:
    """Whether somebody has forced the content that the active list has now."""
    try:
        forced = forced_mark(active).read_text(encoding="ascii")
        with active.open("rb") as file:
            return forced == hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, UnicodeDecodeError):
        return False


def _active(path: Path) -> WatchList:
    try:
        return load_list(path)
    except WatchListError:
        return WatchList(path.stem, "", ())


@contextmanager
def _beside(target: Path, content: Iterable[bytes], now_seconds: float) -> Iterator[tuple[Path, str]]:
    """A file on disk beside `target` with this content, and its SHA-256; gone afterwards, unless it was swapped in."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        digest = hashlib.sha256()
        with os.fdopen(descriptor, "wb") as file:
            for piece in content:
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fchmod(file.fileno(), 0o640)
            if os.geteuid() == 0:  # the hub, which is not root, has to read what root imports
                owner = (target if target.exists() else target.parent).stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            os.fsync(file.fileno())
        os.utime(name, (now_seconds, now_seconds))
        yield Path(name), digest.hexdigest()
    finally:
        Path(name).unlink(missing_ok=True)


def _swap(fresh: Path, target: Path) -> None:
    """Put a file in the place of another, in one step that outlives a power cut."""
    fresh.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
