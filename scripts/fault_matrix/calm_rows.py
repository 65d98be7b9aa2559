"""Nothing is done: what the other rows are measured against."""

from __future__ import annotations

from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.stage import Stage
from scripts.fault_matrix.world import round_seconds


def calm(stage: Stage) -> None:
    """A whole round of the world and the seam between two."""
    stage.start_daemon()
    stage.wait(10.0 if stage.quick else round_seconds() + 6.0)
    stage.close_books()


ROWS = (Fault(name="calm", code="–", run=calm, does="nothing", must="every vehicle told once, with its plate"),)
