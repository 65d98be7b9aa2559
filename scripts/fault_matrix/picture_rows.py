"""Cameras that send pictures which show nothing (C11)."""

from __future__ import annotations

import time

from scripts.fault_matrix.camera_rows import CALM_SECONDS
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.stage import FIRST, Stage

TOLD_SECONDS = 30.0
CLEARED_SECONDS = 30.0


def shows(stage: Stage, variant: str, conditions: set[str]) -> None:
    """The picture is replaced; the stream goes on at its rate."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for _ in range(stage.times):
        began = stage.fault_begins()
        stage.first.order(variant=variant)
        told = stage.until(lambda: stage.open_gap_reason(FIRST) in conditions, TOLD_SECONDS)
        stage.require(
            told is not None,
            f"a gap for {' or '.join(sorted(conditions))} within {TOLD_SECONDS:g} s",
            stage.health.camera(FIRST).get("condition", "no health report"),
        )
        stage.outcome.notes["told_s"] = told and round(told, 1)
        stage.first.order(variant="usual")
        back = time.monotonic()
        stage.wait(2.0)
        cleared = stage.until(lambda: not stage.open_gap_reason(FIRST), CLEARED_SECONDS)
        stage.require(cleared is not None, f"the gap closed within {CLEARED_SECONDS:g} s", "still open")
        stage.outcome.notes["cleared_s"] = round(time.monotonic() - back, 1)
        stage.healed(within=5.0, reconnects=False)
        stage.require_gap(began, reasons=conditions, late=TOLD_SECONDS)
        stage.wait(CALM_SECONDS)
    stage.close_books()


ROWS = (
    Fault(
        name="picture-frozen", code="C11", run=lambda stage: shows(stage, "frozen", {"frozen"}),
        variants=frozenset({"frozen"}),
        does="the same picture again and again at full rate", must="told within 30 s as a gap, withdrawn afterwards",
    ),
    Fault(
        name="picture-black", code="C11", run=lambda stage: shows(stage, "black", {"black", "frozen", "covered"}),
        variants=frozenset({"black"}),
        does="black pictures at full rate", must="told within 30 s as a gap, withdrawn afterwards",
    ),
    Fault(
        name="picture-smeared", code="C11", run=lambda stage: shows(stage, "smeared", {"blurred", "covered"}),
        variants=frozenset({"smeared"}),
        does="something smeared over the lens: light and dark, and the encoder's blocks",
        must="told within 30 s as a gap, withdrawn afterwards",
    ),
    Fault(
        name="picture-blurred", code="C11", run=lambda stage: shows(stage, "blurred", {"blurred", "covered"}),
        variants=frozenset({"blurred"}),
        does="the lens out of focus: moving, but nothing is sharp",
        must="told within 30 s as a gap, withdrawn afterwards",
    ),
)  # fmt: skip
