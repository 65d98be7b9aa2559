"""All rows."""

from __future__ import annotations

from scripts.fault_matrix import (
    calm_rows,
    camera_rows,
    compute_rows,
    delivery_rows,
    hostile_rows,
    picture_rows,
    stream_rows,
)
from scripts.fault_matrix.fault import Fault

FAULTS: tuple[Fault, ...] = (
    *calm_rows.ROWS,
    *camera_rows.ROWS,
    *stream_rows.ROWS,
    *picture_rows.ROWS,
    *hostile_rows.ROWS,
    *compute_rows.ROWS,
    *delivery_rows.ROWS,
)


def find(name: str) -> Fault | None:
    """The row of that name."""
    return next((fault for fault in FAULTS if fault.name == name), None)
