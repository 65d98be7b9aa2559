"""How much colour a picture has, against the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anpr.ops.cpu_chroma import SPREAD_STEP, chroma_spread


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 60), columns=st.integers(1, 60), width=st.floats(0, 60))
@settings(max_examples=60, deadline=None)
def test_it_is_the_mean_distance_from_the_median(seed: int, rows: int, columns: int, width: float) -> None:
    rng = np.random.default_rng(seed)
    u, v = (np.clip(rng.normal(middle, width, (rows, columns)), 0, 255).astype(np.uint8) for middle in (90, 170))
    few = [plane[::SPREAD_STEP, ::SPREAD_STEP].astype(np.float64) for plane in (u, v)]
    expected = np.hypot(*(plane - np.median(plane) for plane in few)).mean()
    assert chroma_spread(u, v) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_one_colour_everywhere_is_no_spread(level: int) -> None:
    plane = np.full((17, 33), level, np.uint8)
    assert chroma_spread(plane, plane) == 0.0
