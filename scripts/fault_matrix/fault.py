"""A row of the matrix: what is done, what must follow, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from scripts.fault_matrix.rig import Rig
    from scripts.fault_matrix.stage import Stage

TIMES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to fail. `run` does it to a daemon with cameras, or `run_rig` to a hub alone, so that it can be done
    often; or `impossible` says why it cannot be done here."""

    name: str
    code: str
    """The number in the list of faults: C1 to C14 cameras, G1 to G6 compute, D1 to D11 delivery, S1 to S10 storage,
    T1 and T2 time, F1 to F4 configuration and lists, H1 to H5 host."""
    does: str
    must: str
    run: Callable[[Stage], None] | None = None
    run_rig: Callable[[Rig], None] | None = None
    impossible: str = ""
    needs: tuple[str, ...] = ()
    """Of the machine, in the words of `needs`; where one is missing the row is skipped and says why."""
    times: int = TIMES
    """How often it is injected, unless somebody asks for another number."""
    quick_times: int = 1
    """The same with `--quick`."""
    centre: Literal["beside", "on its own", "behind a wire", "behind a proxy", "with keys"] = "beside"
    """Where the operations centre of a hub alone is: `beside` it all the while, or as the row says (`line.py`)."""
    volume_mib: int = 0
    """The store lies on a file system of its own, of so many MiB; 0: in the row's folder."""
    inodes: int = 0
    """That this file system has; 0: plenty."""
    store_keys: str = ""
    """Of the site file, more tables below `[store]`."""
    quick: bool = False
    """Whether `--quick` runs it."""
    workers: int = 1
    """Worker processes; with one, both cameras share it, which is the harder case for a camera's fault."""
    proxied: bool = False
    """Whether the first camera is reached through the harmful proxy."""
    named: bool = False
    """Whether the cameras are known by name, to a name server of the row's own."""
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
    """Vehicles that passed whole cameras, both together; of a hub alone, events that it has told."""
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
    skipped: str = ""
    """Why it was not played."""

    @property
    def passed(self) -> bool:
        """Whether the daemon did what it must."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"passed": self.passed}
