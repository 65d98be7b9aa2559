"""All rows."""

from __future__ import annotations

from scripts.fault_matrix import (
    aside_rows,
    calm_rows,
    camera_rows,
    centre_rows,
    compute_rows,
    config_rows,
    damage_rows,
    delivery_rows,
    host_rows,
    hostile_rows,
    key_rows,
    line_rows,
    picture_rows,
    pseudonym_rows,
    rolling_rows,
    storage_rows,
    stream_rows,
    time_rows,
    web_rows,
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
    *centre_rows.ROWS,
    *line_rows.ROWS,
    *key_rows.ROWS,
    *web_rows.ROWS,
    *storage_rows.ROWS,
    *rolling_rows.ROWS,
    *pseudonym_rows.ROWS,
    *damage_rows.ROWS,
    *aside_rows.ROWS,
    *time_rows.ROWS,
    *config_rows.ROWS,
    *host_rows.ROWS,
)


def find(name: str) -> Fault | None:
    """The row of that name."""
    return next((fault for fault in FAULTS if fault.name == name), None)
