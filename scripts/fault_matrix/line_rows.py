"""Lines between the box and an operations centre that fall silent, flap, are slow, or resend (D1, D2, D5, D10).

A hub alone tells of vehicles that are made up; the centre (`ioc.py`) is at the far end of a veth pair, in a network
namespace of its own, or behind a proxy. Its ledger is compared with the rows of the store's own files.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import Any, cast

from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.line import Line
from scripts.fault_matrix.processes import own_mib
from scripts.fault_matrix.records import stored_events
from scripts.fault_matrix.rig import Rig

DETECTED_SECONDS = 5.0
RECOVERED_SECONDS = 10.0
"""From the end of a cut to the first event; a connection that is tried again in vain waits up to 5 s."""
CATCH_UP = 5.0
"""Times the live rate."""
LATE_SECONDS = 2.0
"""A live hit, from the commit to the ledger, while others are caught up."""
CALM_SECONDS = 4.0
FLAP_SECONDS = 3.0
SLOW_KBIT = 64
SPED_UP_SECONDS = 60.0
"""For the kernel to find out that the line is fast again, which BBR does not do at once, and for what waits."""
MOST_GROWTH_MIB = 20.0
LONG_RATE = 5.0
"""Passages a second in a cut of ten minutes: some 6,000 events wait."""


def silent(rig: Rig, *, seconds: float, rate: float) -> None:
    """Nothing passes any more, and nobody is told."""
    line = cast("Line", rig)
    assert line.network is not None
    with line.centre():
        line.start(rate=rate)
        line.let_pass(CALM_SECONDS)
        for _ in range(line.times):
            line.network.drop()
            cut = time.monotonic()
            line.outcome.times += 1
            noticed = line.until(lambda cut=cut: line.said("consumer_left", since=cut), DETECTED_SECONDS)  # type: ignore[misc]
            line.require_within(noticed, DETECTED_SECONDS, "the consumer's absence noticed")
            line.outcome.notes["noticed_s"] = noticed and round(noticed, 1)
            line.let_pass(max(0.0, cut + seconds - time.monotonic()))
            _heal(line, cut)
        line.let_pass(CALM_SECONDS)
        line.finish()


def _heal(line: Line, cut: float) -> None:
    """Let all pass again, and judge what follows."""
    assert line.network is not None
    line.network.heal()
    healed = time.monotonic()
    waiting = stored_events(line.store).keys() - {entry["seq"] for entry in line.delivered()}
    live_rate = len(waiting) / (healed - cut)
    limit = RECOVERED_SECONDS + len(waiting) / max(1.0, CATCH_UP * live_rate)
    line.recovered_in(line.require_all(waiting, limit, since=healed))
    arrived = [entry for entry in line.delivered(since=healed) if entry["seq"] in waiting]
    line.outcome.in_fault += len(waiting)
    line.outcome.in_fault_told += len(arrived)
    if len(arrived) < 2:
        return
    line.require_hits_first(arrived)
    drain_rate = len(arrived) / max(1e-3, arrived[-1]["at"] - arrived[0]["at"])
    line.outcome.notes |= {"live_per_s": round(live_rate, 1), "drain_per_s": round(drain_rate, 1)}
    line.require(
        drain_rate >= CATCH_UP * live_rate,
        f"to catch up at {CATCH_UP:g} times the live rate",
        f"{drain_rate:.0f}/s, live {live_rate:.0f}/s",
    )
    told = {entry["seq"]: entry["at"] for entry in line.told(since=arrived[0]["at"])}
    meanwhile = [entry for entry in line.delivered(since=healed) if entry["lane"] == "hits" and entry["seq"] in told]
    late = max((entry["at"] - told[entry["seq"]] for entry in meanwhile), default=0.0)
    line.outcome.notes["new_hits_late_s"] = round(late, 2)
    line.require_within(late, LATE_SECONDS, "hits that are raised while others are caught up delivered")


def flapping(rig: Rig) -> None:
    """Every three seconds all is reset and refused, then passes again."""
    line = cast("Line", rig)
    assert line.network is not None
    with line.centre():
        line.start(rate=10.0)
        line.let_pass(CALM_SECONDS)
        for _ in range(5 if line.quick else 10 * line.times):
            line.network.reset()
            line.outcome.times += 1
            line.let_pass(FLAP_SECONDS)
            line.network.heal()
            line.let_pass(FLAP_SECONDS)
        healed = time.monotonic()
        line.recovered_in(line.require_all(stored_events(line.store).keys(), RECOVERED_SECONDS, since=healed))
        line.outcome.notes["welcomed"] = len(line.diary("welcome"))
        line.require(
            len(line.said("consumer_welcomed")) <= 2 * line.outcome.times + 2,
            "no storm of greetings",
            len(line.said("consumer_welcomed")),
        )
        line.finish()


def slow(rig: Rig) -> None:
    """The line carries 64 kbit/s, less than what is told."""
    line = cast("Line", rig)
    assert line.network is not None
    line.start(rate=5.0)
    line.let_pass(CALM_SECONDS)
    memory = own_mib(line.pid)
    seconds = 20.0 if line.quick else 60.0
    with line.centre():
        for _ in range(line.times):
            line.network.slow(SLOW_KBIT)
            line.outcome.times += 1
            began = time.monotonic()
            grown = []
            while time.monotonic() < began + seconds:
                line.let_pass(1.0)
                grown.append(own_mib(line.pid) - memory)
            behind = stored_events(line.store).keys() - {entry["seq"] for entry in line.delivered()}
            passed = len(line.delivered(since=began)) / seconds
            half = len(grown) // 2
            line.outcome.notes |= {
                "passed_per_s": round(passed, 1),
                "waiting": len(behind),
                "grown_mib": round(max(grown), 1),
                "grown_in_second_half_mib": round(statistics.median(grown[half:]) - statistics.median(grown[:half]), 1),
            }
            line.require(passed > 0.5, "something to pass all the while", f"{passed:.1f}/s")
            line.require(behind, "a backlog to grow", "none: the line is not slow")
            line.require(
                max(grown) < MOST_GROWTH_MIB,
                f"memory to grow by less than {MOST_GROWTH_MIB:g} MiB",
                f"{max(grown):.0f}",
            )
            line.network.slow(0)
            fast = time.monotonic()
            line.recovered_in(line.require_all(behind, SPED_UP_SECONDS, since=fast))
        line.finish()


def mangled(rig: Rig) -> None:
    """A tenth of what passes comes twice and a tenth is overtaken: whole messages, then pieces of the stream."""
    line = cast("Line", rig)
    with line.centre():
        line.start(rate=10.0)
        assert line.mangler is not None
        for harm in ("messages", "bytes") * line.times:
            line.let_pass(CALM_SECONDS / 2)
            line.outcome.times += 1
            line.mangler.harm = harm
            line.let_pass(6.0 if line.quick else 20.0)
            line.mangler.harm = ""
            healed = time.monotonic()
            line.recovered_in(line.require_all(stored_events(line.store).keys(), RECOVERED_SECONDS, since=healed))
        line.outcome.notes["harmed"] = line.mangler.harmed
        line.require(line.mangler.harmed, "something to be harmed")
        line.finish()


_WIRE: dict[str, Any] = {"centre": "behind a wire", "needs": ("network",)}
_DELIVERED = "lost 0, at most 5 % twice; the live feed on the box unharmed"

ROWS = (
    Fault(
        name="silent-12-s", code="D1", run_rig=partial(silent, seconds=12.0, rate=20.0), quick=True, **_WIRE,
        does="nothing passes between box and centre for 12 s (nftables), at 20 passages a second",
        must="noticed within 5 s; caught up at 5 times the live rate, all hits before the rest; " + _DELIVERED,
    ),
    Fault(
        name="silent-10-min", code="D1", run_rig=partial(silent, seconds=600.0, rate=LONG_RATE), times=1, **_WIRE,
        does="the same for 10 minutes, at 5 passages a second",
        must="as for 12 s",
    ),
    Fault(
        name="flapping-line", code="D2", run_rig=flapping, **_WIRE,
        does="every 3 s all connections are reset and new ones refused, 3 s later not",
        must="a greeting for each time at most; " + _DELIVERED,
    ),
    Fault(
        name="slow-line", code="D5", run_rig=slow, times=1, **_WIRE,
        does="64 kbit/s both ways (tc tbf), a sixth of what is told",
        must="the backlog lies on disk: memory grows by less than 20 MiB; " + _DELIVERED,
    ),
    Fault(
        name="mangled-path", code="D10", run_rig=mangled, times=1, centre="behind a proxy",
        does="a tenth comes twice, a tenth is overtaken: whole messages both ways, then pieces of the byte stream",
        must=_DELIVERED,
    ),
)  # fmt: skip
