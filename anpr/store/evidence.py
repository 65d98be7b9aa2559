"""Pictures kept as proof, each named by the SHA-256 of its bytes: `evidence/ab/cdef….jpg`.

A picture is on disk, name and all, before `put` returns: temporary file, fsync, rename, fsync of the folder. Without
both fsyncs a power cut leaves committed records that point at missing or empty pictures.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

from anpr.errors import StoreError
from anpr.records import Evidence
from anpr.store.durable import sync_folder
from anpr.store.faults import told_as_store_errors

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG start-of-frame markers (ITU-T T.81, table B.1): the segments that say the picture's size."""


class EvidenceFolder:
    """The pictures of one box. Putting is for the hub; any process may get."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.awaited: Callable[[], Collection[str]] = frozenset
        """Gives the pictures that records name which wait to be committed: none of them is deleted."""

    def __repr__(self) -> str:
        return f"EvidenceFolder({str(self.path)!r})"

    def prepare(self) -> None:
        """Make the folder durable and drop what a crash left half-written. Raises StoreError."""
        with told_as_store_errors(self.path):
            _make_folder(self.path)
            _make_folder(self._unfinished)
            missing = {f"{first:02x}" for first in range(256)}.difference(each.name for each in self.path.iterdir())
            for name in missing:
                (self.path / name).mkdir(mode=0o770)
            if missing:  # at once: each by itself would delay the first pictures of a new box
                sync_folder(self.path)
            for leftover in self._unfinished.iterdir():
                leftover.unlink()

    def put(self, kind: Literal["plate", "overview"], jpeg: bytes) -> Evidence:
        """Keep `jpeg`; when this returns, it survives a power cut. The same picture twice is kept once.

        Raises StoreError if the bytes are no JPEG, or cannot be written.
        """
        described = describe(kind, jpeg)
        sha256 = described.sha256
        target = self._path_of(sha256)
        with told_as_store_errors(self.path):
            _make_folder(target.parent)  # somebody may have tidied up
            if not _is_kept(target, jpeg):
                temporary = self._unfinished / f"{sha256}.{os.getpid()}"
                with temporary.open("wb") as file:
                    file.write(jpeg)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.rename(target)
            sync_folder(target.parent)
        return described

    def get(self, sha256: str) -> bytes:
        """The picture of that hash, verified. Raises StoreError if it is missing or is not what its name says."""
        path = self._path_of(sha256)
        with told_as_store_errors(self.path):
            try:
                jpeg = path.read_bytes()
            except FileNotFoundError as error:
                raise StoreError("the picture is not there", place=str(path), cure="it may have been purged") from error
        if hashlib.sha256(jpeg).hexdigest() != sha256:
            raise StoreError(
                "the picture was altered or damaged: its hash does not match", place=str(path), cure="do not use it"
            )
        return jpeg

    def has(self, sha256: str) -> bool:
        """Whether the picture of that hash is there; it is not read. Raises StoreError if `sha256` is none."""
        return self._path_of(sha256).is_file()

    def remove(self, pictures: Iterable[str], *, put_before_ns: int) -> None:
        """Delete those pictures that were put before a time of `now_ns`, and that no record waits for; durable after
        `sync`. Raises StoreError."""
        awaited = self.awaited()
        with told_as_store_errors(self.path):
            for path in (self._path_of(picture) for picture in pictures if picture not in awaited):
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_ctime_ns <= put_before_ns:
                        path.unlink()

    def in_slices(self, *, most: int) -> Iterator[list[str]]:
        """The SHA-256 of all pictures that are there, up to `most` at once. Raises StoreError."""
        for folder in self.path.glob("??"):
            with told_as_store_errors(folder), os.scandir(folder) as entries:
                while listed := [entry.name for entry in islice(entries, most)]:
                    found = [folder.name + name.removesuffix(".jpg") for name in listed]
                    yield [sha256 for sha256 in found if _SHA256.fullmatch(sha256)]

    def sync(self) -> Iterator[None]:
        """Make what was deleted durable, a folder at a time. Raises StoreError."""
        for folder in self.path.glob("??"):
            with told_as_store_errors(folder):
                sync_folder(folder)
            yield

    def now_ns(self) -> int:
        """The time by the clock that dates files; needs no room. Raises StoreError."""
        with told_as_store_errors(self.path):
            os.utime(self._unfinished)
            return self._unfinished.stat().st_ctime_ns

    def bytes_of(self, sha256: str) -> int | None:
        """Length of the picture of that hash; None if it is not there. Raises StoreError."""
        with told_as_store_errors(self.path):
            try:
                return self._path_of(sha256).stat().st_size
            except FileNotFoundError:
                return None

    @property
    def _unfinished(self) -> Path:
        return self.path / "unfinished"

    def _path_of(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise StoreError(f"{sha256[:80]!r} names no picture", cure="give the 64 hexadecimal digits of its SHA-256")
        return self.path / sha256[:2] / f"{sha256[2:]}.jpg"


def describe(kind: Literal["plate", "overview"], jpeg: bytes) -> Evidence:
    """What a record says of a picture, before it is kept. Raises StoreError if the bytes are no JPEG."""
    width_px, height_px = jpeg_size(jpeg)
    return Evidence(kind=kind, sha256=hashlib.sha256(jpeg).hexdigest(), width_px=width_px, height_px=height_px)


def jpeg_size(jpeg: bytes) -> tuple[int, int]:
    """(width, height) in pixels, from the frame header. Raises StoreError if the bytes are no JPEG or cut off."""
    at = 2
    whole = jpeg[:2] == b"\xff\xd8" and jpeg[-2:] == b"\xff\xd9"
    while whole and at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _FRAME_MARKERS:
            height = int.from_bytes(jpeg[at + 5 : at + 7], "big")
            width = int.from_bytes(jpeg[at + 7 : at + 9], "big")
            return width, height
        else:
            at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    raise StoreError(f"{len(jpeg)} bytes are no whole JPEG picture", cure="encode the picture as JPEG first")


def _is_kept(path: Path, jpeg: bytes) -> bool:
    """Whether that very picture lies at `path`; if so it is durable but for its name, and dated now, as if it were put.

    To replace a file by the same costs a file system ten times as much as a new one."""
    try:
        with path.open("rb") as file:
            if file.read(len(jpeg) + 1) != jpeg:
                return False
            os.fsync(file.fileno())
            os.utime(path)
    except OSError:
        return False  # missing, or damaged: it is written anew
    return True


def _make_folder(path: Path) -> None:
    if not path.is_dir():
        path.mkdir(mode=0o770, parents=True, exist_ok=True)
        sync_folder(path.parent)
