"""CURVE keys on disk: a pair of files for each peer, and the folder of public keys that may come in.

The files are ZeroMQ certificates (https://rfc.zeromq.org/spec/4/), as `zmq.auth` and CZMQ write and read them:
`NAME.key` holds the public key, `NAME.key_secret` both and is for its owner alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zmq
import zmq.auth

from anpr.errors import BusError

MOST_KEYS = 1024
"""Files that are looked at in a folder of clients."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_Z85_KEY = re.compile(rb"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Both halves, as 40 characters of Z85."""

    public: bytes
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """Where a box finds its own key, and those that may come in."""

    own: Path
    """`NAME.key_secret` of the box."""
    clients: Path
    """A folder: `NAME.key` lets in who has its secret half, as NAME; `NAME.anything.key` is one more key of NAME."""


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """What a client needs to be let in, and to know that it speaks with the right box."""

    own: KeyPair
    servers: tuple[bytes, ...]
    """Public keys that the box may have: two of them while its key is changed."""

    @classmethod
    def load(cls, own: Path, *servers: Path) -> ClientKeys:
        """From the client's `NAME.key_secret` and the box's `NAME.key`. Raises BusError."""
        if not servers:
            raise BusError("the box's public key is missing", place=str(own), cure="give the box's NAME.key too")
        return cls(read_pair(own), tuple(read_public(path) for path in servers))


def new_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a pair, and write it as `NAME.key` and `NAME.key_secret`. Raises BusError; nothing is overwritten."""
    if not _NAME.fullmatch(name.partition(".")[0]) or not all(map(_NAME.fullmatch, name.split("."))):
        raise BusError(
            f"{name!r} is no name for a key", cure="use letters, digits, - and _; NAME.next for one more key of NAME"
        )
    public, secret = zmq.curve_keypair()
    shown, hidden = folder / f"{name}.key", folder / f"{name}.key_secret"
    head = f"#   Key of {name}, fingerprint {fingerprint(public)}.\n"
    lines = f'curve\n    public-key = "{public.decode()}"\n'
    _write(
        hidden, f'{head}#   SECRET: leave it where it is.\n{lines}    secret-key = "{secret.decode()}"\n', mode=0o600
    )
    try:
        _write(shown, head + lines, mode=0o644)
    except BaseException:
        hidden.unlink()  # half a pair is none
        raise
    return shown, hidden


def read_public(path: Path) -> bytes:
    """The public key in a file. Raises BusError."""
    public, _ = _read(path)
    return public


def read_pair(path: Path) -> KeyPair:
    """The pair in a secret file. Raises BusError, also if every user of the machine may read it."""
    public, secret = _read(path)
    if not secret:
        raise BusError("there is no secret key in this file", place=str(path), cure="give NAME.key_secret")
    if path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        raise BusError("every user of this machine may read this secret", place=str(path), cure=f"chmod o= {path}")
    return KeyPair(public, secret)


def fingerprint(public: bytes) -> str:
    """Short enough to read out on the telephone: 64 bits of the key's SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


class AllowList:
    """The clients' folder, as it was at the last look."""

    def __init__(self, folder: Path) -> None:
        """Raises BusError if the folder cannot be read."""
        self.folder = folder
        self.names: Mapping[bytes, str] = {}
        """The name that each public key stands for."""
        self.unreadable: Mapping[str, str] = {}
        """What is wrong with files that hold no key, by their path."""
        self._seen: object = None
        self.look()

    def look(self) -> bool:
        """Read the folder again if anything in it has changed; True if the keys are others now. Raises BusError."""
        try:
            files = sorted(path for path in self.folder.iterdir() if path.suffix == ".key")[:MOST_KEYS]
            seen = [(path, _mark(path)) for path in files]
        except OSError as error:
            raise BusError(
                f"the clients' keys cannot be read: {error.strerror}", place=str(self.folder), cure="see the folder"
            ) from error
        if seen == self._seen:
            return False
        names, unreadable = {}, {}
        for path in files:
            try:
                names[read_public(path)] = path.name.partition(".")[0]
            except BusError as error:
                unreadable[str(path)] = error.problem
        changed = names != self.names
        self._seen, self.names, self.unreadable = seen, names, unreadable
        return changed


def _mark(path: Path) -> tuple[int, ...] | None:
    """Changes with a file's content, also where a copy keeps the time of its original; None if there is nothing to
    read, as behind a link that leads nowhere."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns, status.st_mtime_ns, status.st_size


def _read(path: Path) -> tuple[bytes, bytes]:
    try:
        public, secret = zmq.auth.load_certificate(path)
    except (OSError, ValueError, IndexError) as error:
        raise BusError("there is no key in this file", place=str(path), cure="make one with `anpr keys new`") from error
    if not all(_Z85_KEY.fullmatch(key) for key in (public, secret or public)):
        raise BusError("the key in this file is damaged", place=str(path), cure="copy it anew, or make a new one")
    return public, secret or b""


def _write(path: Path, text: str, *, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        raise BusError(
            f"the key cannot be written: {error.strerror}", place=str(path), cure="an old key is never overwritten"
        ) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
