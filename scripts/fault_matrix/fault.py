"""A row of the matrix: what is done, what must follow, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.fault_matrix.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to fail. Either `run` does it, or `impossible` says why it cannot be done here."""

    name: str
    code: str
    """The number in the list of faults: C1 to C14 cameras, G1 to G6 compute."""
    does: str
    must: str
    run: Callable[[Stage], None] | None = None
    impossible: str = ""
    quick: bool = False
    """Whether `--quick` runs it."""
    workers: int = 1
    """Worker processes; with one, both cameras share it, which is the harder case for a camera's fault."""
    proxied: bool = False
    """Whether the first camera is reached through the harmful proxy."""
    variants: frozenset[str] = frozenset()
    """Of the world, beside the usual one."""
    other_world: bool = False
    """Whether the first camera also shows the clip at other times than the world does."""
    password: str = ""
    """That the daemon has for its cameras."""
    first_options: dict[str, object] = field(default_factory=dict)
    """Of the first camera's process."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a row has shown."""

    fault: str
    code: str = ""
    times: int = 0
    """How often the fault was injected."""
    expected: int = 0
    """Vehicles that passed whole cameras, both together."""
    lost: int = 0
    duplicated: int = 0
    in_fault: int = 0
    """Vehicles that the fault touched, at the first camera, …"""
    in_fault_told: int = 0
    """… and how many of them were told all the same."""
    in_fault_duplicated: int = 0
    wrong: int = 0
    """Texts told as more than 95 % sure that nobody carried then."""
    recovered_s: float | None = None
    """The longest time from the end of a fault to the first whole picture that was taken; None: it never broke."""
    neighbour_fps_change: float | None = None
    """Of the second camera, share: pictures it could get rid of in the faults against before."""
    neighbour_lost: int = 0
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)
    """Other measures of this row."""
    problems: list[str] = field(default_factory=list)
    """Each: what was expected and what was seen."""

    @property
    def passed(self) -> bool:
        """Whether the daemon did what it must."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"passed": self.passed}
