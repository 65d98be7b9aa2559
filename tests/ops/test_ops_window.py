"""Parts of pictures: nothing that has to be looked at is left out, and nothing is looked at twice for more."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from anpr.ops.window import Window, merged

HEIGHT, WIDTH = 1080, 1920


@st.composite
def windows(draw: st.DrawFn) -> Window:
    left, top = draw(st.integers(-200, WIDTH + 200)), draw(st.integers(-200, HEIGHT + 200))
    return Window(left, top, left + draw(st.integers(1, 900)), top + draw(st.integers(1, 900)))


def painted(some: list[Window]) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for each in some:
        mask[max(each.top, 0) : max(each.bottom, 0), max(each.left, 0) : max(each.right, 0)] = True
    return mask


@given(window=windows(), tile_px=st.sampled_from([32, 64, 96, 128]))
def test_tiles_hold_what_of_a_window_lies_in_the_picture(window: Window, tile_px: int) -> None:
    tiles = window.on_tiles(tile_px, height_px=HEIGHT, width_px=WIDTH)
    assert not any(edge % tile_px for edge in (tiles.left, tiles.top, tiles.right, tiles.bottom))
    assert 0 <= tiles.left < tiles.right < WIDTH + tile_px
    assert 0 <= tiles.top < tiles.bottom < HEIGHT + tile_px
    assert not (painted([window]) & ~painted([tiles])).any()
    if tiles.right - tiles.left > tile_px:
        assert tiles.left <= window.left < tiles.left + tile_px or tiles.left == 0


@given(some=st.lists(windows(), max_size=8))
def test_merged_windows_hold_the_given_ones_for_no_more_work(some: list[Window]) -> None:
    together = merged(some)
    assert not (painted(some) & ~painted(together)).any()
    assert sum(each.area for each in together) <= sum(each.area for each in some)
    for index, one in enumerate(together):
        for other in together[:index]:
            assert one.around(other).area > one.area + other.area


def test_windows_far_apart_stay_apart_and_one_in_another_is_swallowed() -> None:
    left, right = Window(0, 0, 100, 100), Window(1000, 0, 1100, 100)
    assert merged([left, right]) == [left, right]
    assert merged([left, Window(10, 10, 20, 20), right]) == [left, right]
