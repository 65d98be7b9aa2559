"""Files of encoded pictures: what `world` writes and a camera process shows, read without any video library."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PICTURES_PER_SECOND = 12.5
"""Of the world."""


def path_of(folder: Path, name: str) -> Path:
    """Where the variant `name` is."""
    return folder / f"{name}.pictures"


def write_pictures(path: Path, head: dict[str, Any], pictures: Iterable[bytes]) -> None:
    """Write `head` and the pictures in Annex B form, in one step."""
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        file.write(json.dumps(head).encode() + b"\n")
        for picture in pictures:
            file.write(struct.pack(">I", len(picture)) + picture)
    unfinished.replace(path)


def read_head(path: Path) -> dict[str, Any]:
    """What a file of pictures says of itself."""
    with path.open("rb") as file:
        head: dict[str, Any] = json.loads(file.readline())
    return head


def read_pictures(path: Path) -> tuple[dict[str, Any], list[bytes]]:
    """The head of a file and its pictures."""
    head, _, data = path.read_bytes().partition(b"\n")
    pictures, place = [], 0
    while place < len(data):
        (size,) = struct.unpack_from(">I", data, place)
        pictures.append(data[place + 4 : place + 4 + size])
        place += 4 + size
    return json.loads(head), pictures
