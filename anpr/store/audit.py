"""Who asked the store for plates, why, and how much was given: a log that is only ever added to.

    audit/log.jsonl   one JSON object a line: what was asked, `previous` and the line's own `sha256`
    audit/head.json   number and hash of the newest line, so that lines taken away from the end are missed

Each line's hash covers the hash of the line before, so that a line that is changed, removed or moved shows. It does not
show that somebody wrote the whole log anew: for that, note a head elsewhere now and then and give it to `verify`.
A line is on disk before the answer is given. Anybody who may read the store may add to its log. Lines whose time is
over are taken away from its beginning; the signed journal of purges (purges.py) names the last of them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.privacy import checked_words
from anpr.store.durable import sync_folder
from anpr.store.faults import told_as_store_errors

FIRST_PREVIOUS = "0" * 64
"""What the first line follows."""

_LONGEST_LINE = 1 << 16
_OWN_HASH = b',"sha256":"'
_NO_LOGIN = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks the store for, and why."""

    verb: str
    purpose: str
    case: str
    """Reference of the case, file or order that it is for."""
    asked: Mapping[str, str | int | float] = field(default_factory=dict)
    """The conditions that were given."""

    def __post_init__(self) -> None:
        _checked("purpose", self.purpose)
        _checked("case", self.case)


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the log."""

    number: int
    """From 1, dense."""
    at: str
    """UTC, ISO 8601."""
    user_id: int
    user: str
    login_id: int | None
    """The account that logged in to the machine, also after `sudo`; None if the system does not tell."""
    verb: str
    purpose: str
    case: str
    asked: dict[str, str | int | float]
    rows: int | None
    """Rows that were given; None: an export begins, and its end is another line."""
    previous: str
    sha256: str = ""
    """Of the line without this field; filled in when it is written."""


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest line."""

    number: int = 0
    sha256: str = FIRST_PREVIOUS


class Verdict(NamedTuple):
    """What `verify` found."""

    head: Head
    """Of the lines that are there."""
    problems: tuple[str, ...]
    """Each with the number of the line in the file; empty: nothing was changed."""


class AuditLog:
    """The log in a store's folder."""

    def __init__(self, store: Path, *, clock: Clock) -> None:
        self.path = store / "audit"
        self._clock = clock

    def __repr__(self) -> str:
        return f"AuditLog({str(self.path)!r})"

    @property
    def file(self) -> Path:
        """Where the lines are."""
        return self.path / "log.jsonl"

    def prepare(self) -> None:
        """Make the folder, so that those of the store's group may add to the log. Raises StoreError."""
        with told_as_store_errors(self.path):
            if not self.path.is_dir():
                self.path.mkdir(parents=True)
                self.path.chmod(0o2770)
                sync_folder(self.path.parent)

    def append(self, request: Request, *, rows: int | None) -> Line:
        """Write a line; it is on disk when this returns. Only then may the answer be given.

        Raises StoreError if it cannot be written, or if lines are missing that were there.
        """
        self.prepare()
        with self._locked() as descriptor:
            head = self._head_for_writing(descriptor)
            user_id = os.getuid()
            line = Line(
                number=head.number + 1,
                at=datetime.fromtimestamp(self._clock.wall_seconds(), UTC).isoformat(timespec="milliseconds"),
                user_id=user_id,
                user=_user_name(user_id),
                login_id=_login_id(),
                verb=request.verb,
                purpose=_checked("purpose", request.purpose),
                case=_checked("case", request.case),
                asked=dict(request.asked),
                rows=rows,
                previous=head.sha256,
            )
            line, written = _sealed(line)
            if os.write(descriptor, written) != len(written):
                raise StoreError("the line was not written whole", place=str(self.file), cure="free some space")
            os.fsync(descriptor)
            self._write_head(Head(line.number, line.sha256))
        return line

    def lines(self) -> Iterator[Line]:
        """All whole lines in order, without verifying them. Raises StoreError."""
        with told_as_store_errors(self.path):
            if not self.file.exists():
                return
            with self.file.open("rb") as file:
                for number, written in enumerate(file, 1):
                    try:
                        yield msgspec.json.decode(written, type=Line)
                    except msgspec.MsgspecError as error:
                        raise StoreError(
                            f"is no line of the log: {error}",
                            place=f"{self.file}:{number}",
                            cure="run anpr audit verify",
                        ) from error

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """While the block runs, nobody adds a line; for copying. Raises StoreError."""
        with told_as_store_errors(self.path), ExitStack() as opened:
            while self.file.exists():
                file = opened.enter_context(self.file.open("rb"))
                fcntl.flock(file, fcntl.LOCK_SH)
                if os.fstat(file.fileno()).st_ino == self.file.stat().st_ino:  # no lines were taken away meanwhile
                    break
            yield

    @property
    def head(self) -> Head:
        """The newest line. Raises StoreError."""
        with told_as_store_errors(self.path):
            return self._read_head()

    def cut(self, last_number: int, note: Callable[[int, Head], None]) -> int:
        """Take away the lines up to `last_number`, but never the newest; how many.

        `note` is told the first number and the last line once it is known that they go, and before they do; if it
        raises, they stay. Raises StoreError.
        """
        if not self.file.exists():
            return 0
        with self._locked() as descriptor:
            last_number = min(last_number, self._head_for_writing(descriptor).number - 1)
            first, last, offset = 0, Head(), 0
            with self.file.open("rb") as file:
                for written in file:
                    line, problem = _judge(written, None)
                    if line is None or line.number > last_number:
                        break
                    if problem:
                        raise StoreError(f"{problem}: nothing is taken away", place=str(self.file), cure="keep it")
                    first, last, offset = first or line.number, Head(line.number, line.sha256), file.tell()
                if not first:
                    return 0
                note(first, last)
                file.seek(offset)
                self._put_in_place(file)
        return last.number - first + 1

    def _put_in_place(self, rest: BinaryIO) -> None:
        """Make what is left of a file the log; who waits for the old one's lock looks again."""
        half = self.path / "log.new"
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
        with os.fdopen(descriptor, "wb") as file:
            owned = self.file.stat()
            os.fchown(descriptor, owned.st_uid, owned.st_gid)
            os.fchmod(descriptor, owned.st_mode & 0o777)
            shutil.copyfileobj(rest, file, 1 << 20)
            file.flush()
            os.fsync(descriptor)
        half.replace(self.file)
        sync_folder(self.path)

    def verify(self, noted: Head | None = None, *, begins: Collection[Head] = ()) -> Verdict:
        """Look whether lines were changed, removed or moved; with `noted`, also whether that head is still among them.

        `begins` are the lines after which the log may begin, by the journal of purges; one of them that was `noted` is
        not missed. Raises StoreError if the log cannot be read.
        """
        found = Head()
        problems: list[str] = []
        noted_found = noted is None or noted == found or noted in begins
        with told_as_store_errors(self.path):
            written_lines = self.file.open("rb") if self.file.exists() else None
            if written_lines is not None:
                with written_lines as file:
                    for number, written in enumerate(file, 1):
                        if number == 1:
                            found = _before(written, begins)
                        line, problem = _judge(written, found)
                        if problem:
                            problems.append(f"{self.file}:{number}: {problem}")
                        if line is None:
                            found = Head(found.number + 1, "")
                            continue
                        found = Head(line.number, line.sha256)
                        noted_found = noted_found or noted == found
            head = self._read_head()
        if head != found and not self._is_one_behind(head, found):
            problems.append(
                f"{self.file}: ends with line {found.number}, but the newest written was {head.number}"
                if head.number != found.number
                else f"{self.file}:{found.number}: is not the line that was written last"
            )
        if not noted_found and noted is not None:
            problems.append(f"{self.file}: line {noted.number} is not the one whose hash was noted")
        return Verdict(found, tuple(problems))

    @contextmanager
    def _locked(self) -> Iterator[int]:
        with told_as_store_errors(self.path):
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self.file, flags, 0o660)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                while os.fstat(descriptor).st_ino != self.file.stat().st_ino:  # lines were taken away meanwhile
                    os.close(descriptor)
                    descriptor = os.open(self.file, flags, 0o660)
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.fstat(descriptor).st_uid == os.getuid():
                    os.fchmod(descriptor, 0o660)
                if os.fstat(descriptor).st_size == 0:
                    sync_folder(self.path)
                yield descriptor
            finally:
                os.close(descriptor)

    def _head_for_writing(self, descriptor: int) -> Head:
        """The newest line, found at the file's end; a line that a power cut left half-written is taken away.

        Nothing was answered on a half-written line. Raises StoreError if the file does not end as it was left.
        """
        head = self._read_head()
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, 2 * _LONGEST_LINE, max(0, size - 2 * _LONGEST_LINE))
        whole, end, half = tail.rpartition(b"\n")
        last = whole.rpartition(b"\n")[2]
        found = Head()
        if end:
            line, _ = _judge(last + end, None)
            found = Head(line.number, line.sha256) if line else Head(-1, "")
        if found != head and not self._is_one_behind(head, found):
            raise StoreError(
                f"the log does not end with line {head.number}, which was written last",
                place=str(self.file),
                cure="see anpr audit verify, keep the folder as evidence, and move it away to begin a new log",
            )
        if half:
            os.ftruncate(descriptor, size - len(half))
        return found

    def _is_one_behind(self, head: Head, found: Head) -> bool:
        """Whether a power cut came between the line and the head that names it."""
        if found.number != head.number + 1:
            return False
        with self.file.open("rb") as file:
            file.seek(max(0, self.file.stat().st_size - 2 * _LONGEST_LINE))
            lines = [line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]
        line, problem = _judge(lines[-1], head) if lines else (None, "none")
        return line is not None and not problem

    def _read_head(self) -> Head:
        path = self.path / "head.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Head)
        except FileNotFoundError:
            return Head()
        except msgspec.MsgspecError as error:
            raise StoreError(f"is damaged: {error}", place=str(path), cure="keep the folder as evidence") from error

    def _write_head(self, head: Head) -> None:
        path = self.path / "head.new"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
        with os.fdopen(descriptor, "wb") as file:
            if os.fstat(descriptor).st_uid == os.getuid():
                os.fchmod(descriptor, 0o660)
            file.write(msgspec.json.encode(head) + b"\n")
            file.flush()
            os.fsync(descriptor)
        path.replace(self.path / "head.json")
        sync_folder(self.path)


def _checked(name: str, words: str) -> str:
    try:
        return checked_words(words)
    except ValueError as error:
        raise StoreError(f"the {name} {error}") from error


def _sealed(line: Line) -> tuple[Line, bytes]:
    """The line with its own hash, and as it is written."""
    sha256 = _hash_of(msgspec.json.encode(line))
    line = msgspec.structs.replace(line, sha256=sha256)
    written = msgspec.json.encode(line) + b"\n"
    if len(written) > _LONGEST_LINE:
        raise StoreError(f"the request is too long: {len(written)} bytes", cure=f"ask with less than {_LONGEST_LINE}")
    return line, written


def _hash_of(written: bytes) -> str:
    """Of the line up to its own hash."""
    return hashlib.sha256(written.rpartition(_OWN_HASH)[0]).hexdigest()


def _judge(written: bytes, before: Head | None) -> tuple[Line | None, str]:
    """The line, and what is wrong with it; `before` None does not ask what it follows."""
    if not written.endswith(b"\n"):
        return None, "the last line is cut off"
    try:
        line = msgspec.json.decode(written, type=Line)
    except msgspec.MsgspecError:
        return None, "was changed: it is no line of the log"
    if line.sha256 != _hash_of(written) or msgspec.json.encode(line) + b"\n" != written:
        return line, f"entry {line.number} was changed"
    if before is None:
        return line, ""
    if line.number > before.number + 1:
        return line, f"entry {before.number + 1} is missing: entry {line.number} stands here"
    if line.number < before.number + 1:
        return line, f"entry {line.number} stands here, out of order, where {before.number + 1} should be"
    if before.sha256 and line.previous != before.sha256:
        return line, f"entry {line.number} was not written after the line before it: one of the two was exchanged"
    return line, ""


def _before(written: bytes, begins: Collection[Head]) -> Head:
    """What the log's first line follows: a line that was purged, or nothing."""
    line, _ = _judge(written, None)
    if line is None:
        return Head()
    return next((head for head in begins if head == Head(line.number - 1, line.previous)), Head())


def _user_name(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return ""


def _login_id() -> int | None:
    try:
        login_id = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return None if login_id == _NO_LOGIN else login_id
