"""How full the disk of a store is, in four levels, and a reserve that keeps its commits going when it is full.

On a full disk LMDB cannot even delete: a commit writes new pages before it frees old ones. So the store holds a file
of really allocated blocks, and gives it up when little else is left: acknowledgements, deletions and records without
pictures still commit. It is made again as soon as there is room.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import structlog

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.metrics import Counters
from anpr.store.durable import sync_folder
from anpr.store.faults import told_as_store_errors
from anpr.store.retention import MIB, Watermarks

Level = Literal["ok", "early", "sparing", "reserve"]
"""`early`: old things are purged before their time; `sparing`: pictures of passages without a hit are not stored;
`reserve`: the reserve is given up."""
LEVELS: tuple[Level, ...] = ("ok", "early", "sparing", "reserve")

HYSTERESIS_PERCENT = 2.0
"""A level ends so far below where it began."""
LOOK_SECONDS = 1.0
RESERVE_SHARE = 1 / 20
"""Of the disk, that the reserve takes at most: a small one is not spent on it."""
RESERVE = "reserve"
"""The file within the store."""


class DiskUse(NamedTuple):
    """How full a disk is."""

    percent: float
    """Of what may be used, as if the reserve were there; of blocks or of inodes, whatever is fuller."""
    free_bytes: int
    """That may be used now."""
    total_bytes: int
    scarce: Literal["bytes", "inodes"]


class DiskWatch:
    """Looks at the disk of a store's folder and keeps its reserve. Use from one thread."""

    def __init__(
        self,
        path: Path,
        marks: Watermarks,
        *,
        clock: Clock,
        counters: Counters,
        statvfs: Callable[[Path], os.statvfs_result] = os.statvfs,
    ) -> None:
        self.level: Level = "ok"
        self.use = DiskUse(0.0, 0, 0, "bytes")
        self._path = path
        self._marks = marks
        self._clock = clock
        self._counters = counters
        self._statvfs = statvfs
        self._due_seconds = clock.monotonic_seconds()
        self._wanted_bytes = marks.reserve_mib * MIB
        """Of the reserve."""
        self._log = structlog.get_logger()

    @property
    def reserve(self) -> Path:
        """The file that holds the room."""
        return self._path / RESERVE

    @property
    def reserve_held(self) -> bool:
        """Whether the whole reserve is there, or none is asked for."""
        return self._reserve_bytes() >= self._wanted_bytes

    @property
    def hits_keep_pictures(self) -> bool:
        """False when what is left is needed for records."""
        return self.level != "reserve" or self.use.free_bytes > self._wanted_bytes // 2

    def is_at_least(self, level: Level) -> bool:
        """Whether the disk is so full, or fuller."""
        return LEVELS.index(self.level) >= LEVELS.index(level)

    def problems(self) -> Iterator[str]:
        """What is wrong, for a person."""
        disk = f"the store's disk is {self.use.percent:.0f} % full"
        if self.use.scarce == "inodes":
            disk = f"the store's disk has used {self.use.percent:.0f} % of its inodes"
        match self.level:
            case "reserve":
                yield f"{disk}: the reserve is given up, pictures are hardly stored"
            case "sparing":
                yield f"{disk}: pictures of passages without a hit are not stored"
            case "early":
                yield f"{disk}: old things are purged before their time"
        if self.level != "reserve" and not self.reserve_held:
            yield "the disk has no room for the reserve"

    def turn(self) -> bool:
        """Look, if it is time to; True if the level is another one now. Raises StoreError."""
        now = self._clock.monotonic_seconds()
        if now < self._due_seconds:
            return False
        self._due_seconds = now + LOOK_SECONDS
        return self.look()

    def make_room(self) -> None:
        """Before the store is opened, which writes: give up the reserve if the disk is full. Raises StoreError."""
        if self._path.is_dir():
            self.measure()
            if self.level == "reserve":
                self._release()

    def measure(self) -> None:
        """Look now, and change nothing. Raises StoreError."""
        with told_as_store_errors(self._path):
            self.use = self._measure()
        self.level = self._level()

    def look(self) -> bool:
        """Look now; as `turn`."""
        before = self.level
        self.measure()
        if self.level != before:
            self._tell(before)
        if self.level == "reserve":
            self._release()
        elif not self.reserve_held:
            self._make()
        return self.level != before

    def _measure(self) -> DiskUse:
        space = self._statvfs(self._path)
        used = (space.f_blocks - space.f_bfree) * space.f_frsize
        free = space.f_bavail * space.f_frsize
        self._wanted_bytes = min(self._marks.reserve_mib * MIB, int((used + free) * RESERVE_SHARE))
        lacking = max(0, self._wanted_bytes - self._reserve_bytes())
        blocks = 100.0 * (used + lacking) / max(1, used + free)
        inodes = 0.0
        if space.f_files:  # some file systems have no fixed number
            used_inodes = space.f_files - space.f_ffree
            inodes = 100.0 * used_inodes / max(1, used_inodes + space.f_favail)
        return DiskUse(max(blocks, inodes), free, used + free, "inodes" if inodes > blocks else "bytes")

    def _level(self) -> Level:
        marks = (self._marks.early_percent, self._marks.sparing_percent, self._marks.reserve_percent)
        reached = LEVELS.index(self.level)
        for index in (3, 2, 1):
            ends = HYSTERESIS_PERCENT if index <= reached else 0.0
            if self.use.percent >= marks[index - 1] - ends:
                return LEVELS[index]
        return "ok"

    def _tell(self, before: Level) -> None:
        self._counters.add("disk_levels", reason=self.level)
        facts = {
            "now": self.level,
            "before": before,
            "percent": round(self.use.percent, 1),
            "free_mib": self.use.free_bytes // MIB,
            "scarce": self.use.scarce,
        }
        if self.level == "reserve":
            self._log.error("disk_level", **facts)
        elif self.level == "ok":
            self._log.info("disk_level", **facts)
        else:
            self._log.warning("disk_level", **facts)

    def _reserve_bytes(self) -> int:
        try:
            return self.reserve.stat().st_blocks * 512
        except FileNotFoundError:
            return 0

    def _release(self) -> None:
        with told_as_store_errors(self._path):
            if self.reserve.exists():
                self.reserve.unlink()
                sync_folder(self._path)
                self._counters.add("disk_reserves_released")
                self._log.error("disk_reserve_released", freed_mib=self._wanted_bytes // MIB)

    def _make(self) -> None:
        """Allocate the reserve; without room for it, it is tried again with the next look."""
        length = self._wanted_bytes
        if self.use.free_bytes < length - self._reserve_bytes():
            return
        try:
            with told_as_store_errors(self.reserve):
                descriptor = os.open(self.reserve, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                try:
                    os.posix_fallocate(descriptor, 0, length)
                    os.fsync(descriptor)
                except OSError:
                    self.reserve.unlink(missing_ok=True)
                    raise
                finally:
                    os.close(descriptor)
                sync_folder(self._path)
        except StoreError as error:
            self._counters.add("disk_reserves_failed")
            self._log.warning("disk_reserve_failed", problem=str(error))
