"""Pictures kept as proof, each named by the SHA-256 of its bytes: `evidence/ab/cdef….jpg`.

A picture is on disk, name and all, before `put` returns: temporary file, fsync, rename, fsync of the folder. Without
both fsyncs a power cut leaves committed records that point at missing or empty pictures.
"""

from __future__ import annotations

import hashlib
import os
import re
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

    def __repr__(self) -> str:
        return f"EvidenceFolder({str(self.path)!r})"

    def prepare(self) -> None:
        """Make the folder durable and drop what a crash left half-written. Raises StoreError."""
        with told_as_store_errors(self.path):
            _make_folder(self.path)
            _make_folder(self._unfinished)
            for leftover in self._unfinished.iterdir():
                leftover.unlink()

    def put(self, kind: Literal["plate", "overview"], jpeg: bytes) -> Evidence:
        """Keep `jpeg`; when this returns, it survives a power cut. The same picture twice is kept once.

        Raises StoreError if the bytes are no JPEG, or cannot be written.
        """
        width_px, height_px = jpeg_size(jpeg)
        sha256 = hashlib.sha256(jpeg).hexdigest()
        target = self._path_of(sha256)
        with told_as_store_errors(self.path):
            _make_folder(target.parent)
            temporary = self._unfinished / f"{sha256}.{os.getpid()}"
            with temporary.open("wb") as file:
                file.write(jpeg)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(target)
            sync_folder(target.parent)
        return Evidence(kind=kind, sha256=sha256, width_px=width_px, height_px=height_px)

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

    @property
    def _unfinished(self) -> Path:
        return self.path / "unfinished"

    def _path_of(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise StoreError(f"{sha256[:80]!r} names no picture", cure="give the 64 hexadecimal digits of its SHA-256")
        return self.path / sha256[:2] / f"{sha256[2:]}.jpg"


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


def _make_folder(path: Path) -> None:
    if not path.is_dir():
        path.mkdir(mode=0o770, parents=True, exist_ok=True)
        sync_folder(path.parent)
