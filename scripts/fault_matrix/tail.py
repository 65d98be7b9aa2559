"""A file of JSON lines that another process is writing, read as it grows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Tail:
    """Keeps what was read; a line counts once it is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.other_lines: list[str] = []
        """Lines that are no JSON objects."""
        self._entries: list[dict[str, Any]] = []
        self._read_bytes = 0
        path.touch()

    def entries(self) -> list[dict[str, Any]]:
        """All objects so far."""
        with self.path.open("rb") as file:
            file.seek(self._read_bytes)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read_bytes += len(whole) + len(newline)
        for line in whole.decode(errors="replace").splitlines():
            if line.startswith("{"):
                self._entries.append(json.loads(line))
            elif line:
                self.other_lines.append(line)
        return self._entries
