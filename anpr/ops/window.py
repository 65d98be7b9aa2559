"""Parts of a picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """An upright rectangle of pixels, right and bottom edge excluded. May reach beyond the picture."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        """Square pixels."""
        return (self.right - self.left) * (self.bottom - self.top)

    def around(self, other: Window) -> Window:
        """The smallest window that holds both."""
        return Window(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    def grown(self, px: int) -> Window:
        """By so many pixels on every side."""
        return Window(self.left - px, self.top - px, self.right + px, self.bottom + px)

    def on_tiles(self, tile_px: int, *, height_px: int, width_px: int) -> Window:
        """What of it lies in a picture of that size, grown to whole tiles; the last ones may reach beyond its edge.

        At least one tile, also if it lies outside.
        """
        left, right = _tiles(self.left, self.right, tile_px, width_px)
        top, bottom = _tiles(self.top, self.bottom, tile_px, height_px)
        return Window(left, top, right, bottom)


def _tiles(low: int, high: int, tile_px: int, size_px: int) -> tuple[int, int]:
    most = -(-size_px // tile_px)
    first = min(max(low // tile_px, 0), most - 1)
    last = min(max(-(-high // tile_px), first + 1), most)
    return first * tile_px, last * tile_px


def merged(windows: Iterable[Window]) -> list[Window]:
    """Windows that hold the given ones: two become one wherever that is not more to look at."""
    kept: list[Window] = []
    for window in windows:
        at = 0
        while at < len(kept):
            both = window.around(kept[at])
            if both.area <= window.area + kept[at].area:
                del kept[at]
                window, at = both, 0
            else:
                at += 1
        kept.append(window)
    return kept
