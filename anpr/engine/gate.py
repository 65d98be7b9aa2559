"""Which pictures are looked at: those in which something moves, and no more a second than plates need.

To look at a picture in vain costs time; not to look can cost a vehicle. So every doubt is settled in favour of looking.
What noise and light do is learnt cell by cell; a vehicle in view that needs reads is looked at whether it moves or not,
one that needs none is followed at leisure; and once in a while a picture is looked at whatever the gate thinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

import cv2
import numpy as np
from numpy.typing import NDArray

from anpr.ops import contract
from anpr.ops.window import Window
from anpr.records import Frame
from anpr.tracking.sparing import Attention

Lane = Sequence[tuple[float, float]]
"""Corners of a polygon, as shares of the picture's width and height."""

LEARNING_SECONDS = 2.0
"""After a start everything is looked at: what is usual is not known yet."""
FIRST_NOISE = 3.0
"""Units of level that a cell is first believed to vary by: it is learnt down sooner than up."""
SLOT_SLACK = 1e-6
"""Time stamps are rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOptions:
    """When a picture is looked at. The defaults look at every one."""

    motion: bool = False
    """Look only where something moves, or a plate needs it."""
    moved_cells_least: int = 24
    """Cells of 16 x 16 pixels that have moved since the last look."""
    noise_factor: float = 6.0
    """A cell has changed if it differs by so many times its usual difference …"""
    noise_least: float = 0.5
    """… which is at least so many units, about hundredths of its brightness."""
    ignore_top: float = 0.08
    """Share of the picture's height, from above, in which nothing counts as motion: text that the camera writes."""
    looks_per_second: float = 0.0
    """At most, while something moves and no vehicle is known to be in view; 0 is no limit."""
    reading_looks_per_second: float = 0.0
    """At most, while a vehicle in view needs reads."""
    following_looks_per_second: float = 0.0
    """At most, while vehicles pass that need none."""
    relook_seconds: float = 0.8
    """Look at least so often, whatever moves."""
    whole_seconds: float = 0.0
    """Look at the whole picture at least so often; between, only where something moved, and at the vehicles in view.
    0 looks at whole pictures only."""

    @property
    def active(self) -> bool:
        """Whether any picture may be passed over."""
        rates = (self.looks_per_second, self.reading_looks_per_second, self.following_looks_per_second)
        return self.motion or any(rates)


class Pace:
    """Decides for each picture of one camera, in order, whether it is looked at, without seeing it. Not thread-safe.

    Whoever measures motion asks `must_measure` before each `judge`.
    """

    def __init__(self, options: GateOptions) -> None:
        self.options = options
        self._started_seconds = 0.0
        self._looked_seconds: float | None = None

    def must_measure(self, pts_seconds: float, attention: Attention) -> bool:
        """Whether `judge` has to be told of the picture's motion: its levels are then to be taken in."""
        if not self.options.motion:
            return False
        last = self._looked_seconds
        return last is None or pts_seconds < last or attention == "none" or self._is_attended(pts_seconds, attention)

    def judge(self, pts_seconds: float, attention: Attention = "none", *, moved: bool = True) -> tuple[bool, str]:
        """Whether to look, and why (not). `attention` is what the vehicles in view need; `moved` whether enough has
        moved since the last look, or nobody measures it.

        To look: `start`, `reading`, `following`, `moved`, `relook`; nothing from a gate that stands open. Not to:
        `rate`, `still`.
        """
        if not self.options.active:
            return True, ""
        verdict = self._judge(pts_seconds, attention, moved)
        if verdict[0]:
            self._looked_seconds = pts_seconds
        return verdict

    def _judge(self, now: float, attention: Attention, moved: bool) -> tuple[bool, str]:
        last = self._looked_seconds
        if last is None or now < last:
            self._started_seconds = now
            return True, "start"
        if attention != "none":
            return (True, attention) if self._is_attended(now, attention) else (False, "rate")
        if moved or now - self._started_seconds < LEARNING_SECONDS:
            return (True, "moved") if _is_due(now, last, self.options.looks_per_second) else (False, "rate")
        if now - last >= self.options.relook_seconds - SLOT_SLACK:
            return True, "relook"
        return False, "still"

    def _is_attended(self, now: float, attention: Attention) -> bool:
        """Whether the vehicles in view have their turn."""
        options = self.options
        rate = options.reading_looks_per_second if attention == "reading" else options.following_looks_per_second
        return _is_due(now, self._looked_seconds or 0.0, rate)


class Gate:
    """Decides for each picture of one camera, in order, whether it is looked at. Not thread-safe."""

    def __init__(self, options: GateOptions, *, lanes: Sequence[Lane] = ()) -> None:
        """Motion counts inside `lanes`; without any, in the whole picture."""
        self.options = options
        self._pace = Pace(options)
        self._lanes = lanes
        self._operations = contract.load("cpu")
        self._levels = np.zeros((0, 0), np.float32)
        self._scene = np.zeros((3, 0, 0), np.float32)
        self._inside = np.zeros((0, 0), np.uint8)
        self._moved = np.zeros((0, 0), np.uint8)
        self._whole_seconds: float | None = None
        """Stream time when the whole picture was looked at last."""
        self._searched_seconds: float | None = None
        """The same of a look at all that moved."""
        self.moving: tuple[Window, ...] | None = None
        """Where the picture moved that `decide` wants to be looked at; None if all of it has to be. Vehicles that are
        known to be elsewhere have to be looked at, too."""

    def decide(self, frame: Frame, *, attention: Attention = "none") -> tuple[bool, str]:
        """Whether to look, and why (not), as `Pace.judge` says."""
        now = frame.pts_seconds
        searching = attention != "reading" or self._is_search_due(now)
        measure = searching and self._pace.must_measure(now, attention)
        moved = self._measure(frame) if measure else True
        verdict = self._pace.judge(now, attention, moved=moved)
        if verdict[0]:
            if measure:
                self._scene[contract.LOOKED_AT] = self._levels
            whole = (searching and not measure) or verdict[1] in ("start", "relook") or self._is_whole_due(now)
            self.moving = None if whole else _windows(self._moved) if measure else ()
            if whole:
                self._whole_seconds = now
            if whole or searching:
                self._searched_seconds = now
        return verdict

    def _is_search_due(self, now: float) -> bool:
        """Whether a look for the sake of a vehicle in view has to find new ones, too: as often as if none had to be
        read. Between, only the vehicles that are known are looked at."""
        last, options = self._searched_seconds, self.options
        searched = last is not None and last <= now and options.motion and options.whole_seconds > 0
        return not searched or _is_due(now, last or 0.0, options.following_looks_per_second)

    def _is_whole_due(self, now: float) -> bool:
        last = self._whole_seconds
        return last is None or not last <= now < last + self.options.whole_seconds - SLOT_SLACK

    def _measure(self, frame: Frame) -> bool:
        """Take in `frame`; True if enough has moved since the last look, or the size has changed."""
        height, width = frame.luma.shape
        shape = (height // contract.CELL_PX, width // contract.CELL_PX)
        fresh = self._levels.shape != shape
        if fresh:
            self._levels = np.zeros(shape, np.float32)
            self._moved = np.zeros(shape, np.uint8)
            self._whole_seconds = None
            self._inside = lane_cells(shape, frame.luma.shape, self._lanes, ignore_top=self.options.ignore_top)
        self._operations.cell_levels(frame.luma, self._levels)
        if fresh:
            self._scene = np.stack([self._levels, np.full(shape, FIRST_NOISE, np.float32), self._levels])
        moved = self._operations.find_motion(
            self._levels,
            self._scene,
            self._inside,
            self._moved,
            noise_factor=self.options.noise_factor,
            noise_least=self.options.noise_least,
        )
        return fresh or moved >= self.options.moved_cells_least


def _windows(moved: NDArray[np.uint8]) -> tuple[Window, ...]:
    """The parts of a picture in which cells have moved that lie together."""
    outlines, _ = cv2.findContours(moved, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = (cv2.boundingRect(outline) for outline in outlines)
    px = contract.CELL_PX
    return tuple(
        Window(px * left, px * top, px * (left + width), px * (top + height)) for left, top, width, height in boxes
    )


def _is_due(now: float, last: float, per_second: float) -> bool:
    """Stream time is cut into slots, and each may have one look: so the pace holds at any frame rate."""
    if per_second <= 0.0:
        return True
    return floor(now * per_second + SLOT_SLACK) > floor(last * per_second + SLOT_SLACK)


def lane_cells(
    cells: tuple[int, int], size: tuple[int, int], lanes: Sequence[Lane], *, ignore_top: float
) -> NDArray[np.uint8]:
    """(rows, columns), 1 where a cell's middle lies in a lane and below the ignored top; `size` is (height, width)."""
    inside = np.zeros(cells, np.uint8)
    if lanes:
        height, width = size
        scale = np.array([width, height]) / contract.CELL_PX
        polygons = [np.round(np.array(lane) * scale - 0.5).astype(np.int32) for lane in lanes]
        for polygon in polygons:
            cv2.fillPoly(inside, [polygon], 1)
    else:
        inside[:] = 1
    inside[: round(cells[0] * ignore_top)] = 0
    return inside
