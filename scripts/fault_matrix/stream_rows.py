"""Streams that arrive damaged, late, changed or faster than they should (C5 to C10, C12)."""

from __future__ import annotations

import random
import time

from scripts.fault_matrix.camera_rows import CALM_SECONDS, RECOVERED_SECONDS
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.processes import own_mib
from scripts.fault_matrix.proxy import Mangle, cut_packets, flip_bits, lose_packets, lose_pictures
from scripts.fault_matrix.stage import FIRST, Stage

HARM_SECONDS = 20.0
QUICK_HARM_SECONDS = 6.0
SETTLED_SECONDS = 2.0
"""After harm has ended: until the next whole key frame has come and what was in flight is through."""
MOST_GROWTH_MIB = 60.0
KEY_SECONDS = 1.0


def _harmed(stage: Stage, mangle: Mangle, *, tainted: bool) -> None:
    """Packets are harmed for a while; the connection may break or stand."""
    assert stage.proxy is not None
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    memory = own_mib(stage.daemon.worker_of(FIRST))
    for _ in range(stage.times):
        harmed = stage.proxy.packets_harmed
        stage.fault_begins()
        stage.proxy.mangle = mangle
        stage.wait(QUICK_HARM_SECONDS if stage.quick else HARM_SECONDS)
        stage.proxy.mangle = None
        stage.wait(SETTLED_SECONDS)
        stage.require(stage.proxy.packets_harmed > harmed, "the proxy to harm packets", "none")
        stage.healed(within=RECOVERED_SECONDS, reconnects=False)
        stage.wait(CALM_SECONDS)
    grown = own_mib(stage.daemon.worker_of(FIRST)) - memory
    stage.require(grown < MOST_GROWTH_MIB, f"memory to grow by less than {MOST_GROWTH_MIB:g} MiB", f"{grown:.0f} MiB")
    stage.outcome.notes["packets_harmed"] = stage.proxy.packets_harmed
    stage.close_books()
    if tainted:
        reasons = stage.counts("frames_tainted")
        stage.outcome.notes["tainted"] = reasons
        stage.require(
            sum(count for reason, count in reasons.items() if reason != "no key frame yet"),
            "damaged pictures to be marked as tainted",
            reasons,
        )


def loss(share: float) -> Mangle:
    """Packets lost at random, the same ones in every run."""
    return lose_packets(share, random.Random(5))


def late(stage: Stage) -> None:
    """Packets come late and in bursts; none is lost, so no vehicle may be."""
    assert stage.proxy is not None
    chance = random.Random(6)
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for _ in range(stage.times):
        stage.fault_begins()
        stage.still_whole(FIRST)
        stage.proxy.delay = lambda: chance.choice((0.0,) * 200 + (0.8,))
        stage.wait(HARM_SECONDS)
        stage.proxy.delay = None
        stage.healed(within=RECOVERED_SECONDS, reconnects=False)
        stage.wait(CALM_SECONDS)
    stage.close_books()


def torn(stage: Stage) -> None:
    """Bytes are missing from the middle of the stream: what follows is no framing any more."""
    assert stage.proxy is not None
    chance = random.Random(7)
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for _ in range(stage.times):
        stage.fault_begins()
        stage.proxy.lost_bytes = lambda: chance.randrange(1, 40) if chance.random() < 0.02 else 0
        stage.wait(HARM_SECONDS)
        stage.proxy.lost_bytes = None
        stage.wait(SETTLED_SECONDS)
        stage.healed(within=RECOVERED_SECONDS, reconnects=False)
        stage.wait(CALM_SECONDS)
    stage.outcome.notes["packets_harmed"] = stage.proxy.packets_harmed
    stage.close_books()


def no_parameter_sets(stage: Stage) -> None:
    """The description and the first pictures of each connection come without parameter sets."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for _ in range(stage.times):
        began = stage.fault_begins()
        stage.first.order(bare_pictures=40, kick=True)  # of 12.5 a second: three seconds, as from a real camera
        stage.wait(1.0)
        stage.first.order(bare_pictures=0)
        stage.healed(within=3.2 + KEY_SECONDS + RECOVERED_SECONDS)
        lines = len(stage.daemon.log(since=began + stage.wall_offset, camera=FIRST)) + len(stage.daemon.other_lines())
        stage.require(lines <= 10, "ten log lines at most", lines)
        stage.wait(CALM_SECONDS)
    stage.close_books()


def change_variant(stage: Stage, variant: str) -> None:
    """Another encoding in mid-stream, and back: the camera goes on without a new connection."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for _ in range(stage.times):
        for name in (variant, "usual"):
            began = stage.fault_begins()
            stage.first.order(variant=name)
            stage.wait(4 * KEY_SECONDS)
            stage.healed(within=RECOVERED_SECONDS, reconnects=False)
            stage.wait(2 * CALM_SECONDS)
            connections = len(stage.first.book("opened", since=began))
            stage.outcome.notes["new_connections"] = connections
    stage.close_books()


def change_size(stage: Stage) -> None:
    """960×540 becomes 1280×720 and comes back."""
    change_variant(stage, "large")
    stage.require(stage.counted("stream_changes") >= 2, "each change of size counted", stage.counted("stream_changes"))


def change_codec(stage: Stage) -> None:
    """The camera is set to H.265: it ends its connections and describes itself anew; then back."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for _ in range(stage.times):
        for name in ("h265", "usual"):
            stage.fault_begins()
            stage.first.order(variant=name)
            stage.wait(2 * KEY_SECONDS)
            stage.first.order(kick=True)
            stage.healed(within=RECOVERED_SECONDS)
            stage.wait(2 * CALM_SECONDS)
    stage.close_books()


def change_codec_silently(stage: Stage) -> None:
    """The packets become H.265 while the description said H.264, and the other way round: only a new connection can
    help."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for turn in range(stage.times):
        began = stage.fault_begins()
        stage.first.order(variant="usual" if turn % 2 else "h265")
        seconds = stage.until(lambda began=began: stage.first.book("played", since=began), 25.0)  # type: ignore[misc]
        stage.require(seconds is not None, "a new connection within 25 s of pictures that cannot be decoded")
        stage.outcome.notes["reconnected_s"] = seconds and round(seconds, 1)
        stage.healed(within=RECOVERED_SECONDS)
        stage.wait(2 * CALM_SECONDS)
    stage.close_books()


def clock_jumps(stage: Stage) -> None:
    """The stream's time stamps jump ahead by an hour, then back by two."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for turn in range(stage.times):
        stage.fault_begins()
        stage.first.order(stamp_shift_seconds=-7200.0 if turn % 2 else 3600.0)
        stage.wait(4 * KEY_SECONDS)
        stage.healed(within=RECOVERED_SECONDS, reconnects=False)
        stage.wait(CALM_SECONDS)
    stage.close_books()
    stage.require_times()


def stamps_wrap(stage: Stage) -> None:
    """The 32-bit time stamp turns over some seconds after the connection; no vehicle may be lost over it."""
    stage.start_daemon()
    stage.fault_begins()
    stage.still_whole(FIRST)
    stage.wait(2 * CALM_SECONDS)
    stage.healed(within=RECOVERED_SECONDS, reconnects=False)
    stage.wait(CALM_SECONDS)
    stage.close_books()
    stage.require_times()


def four_times(stage: Stage) -> None:
    """Four times the pictures: what cannot be done is dropped and counted, memory stays."""
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for _ in range(stage.times):
        memory = own_mib(stage.daemon.worker_of(FIRST))
        began = stage.fault_begins()
        stage.first.order(variant="fast")
        stage.wait(HARM_SECONDS)
        grown = own_mib(stage.daemon.worker_of(FIRST)) - memory
        stage.require(
            grown < MOST_GROWTH_MIB, f"memory to grow by less than {MOST_GROWTH_MIB:g} MiB", f"{grown:.0f} MiB"
        )
        closed = [entry for entry in stage.first.book("closed", since=began) if entry["played"]]
        stage.require(not closed, "the connection to stand", f"{len(closed)} closed")
        stage.first.order(variant="usual")
        stage.wait(SETTLED_SECONDS)
        stage.healed(within=RECOVERED_SECONDS, reconnects=False)
        stage.wait(CALM_SECONDS)
    stage.close_books()


def burst(stage: Stage) -> None:
    """The line holds everything back for three seconds and then lets it out at once."""
    assert stage.proxy is not None
    stage.start_daemon()
    stage.wait(CALM_SECONDS)
    for _ in range(stage.times):
        stage.fault_begins()
        held_until = time.monotonic() + 3.0
        stage.proxy.delay = lambda held_until=held_until: max(0.0, held_until - time.monotonic())
        stage.wait(5.0)
        stage.proxy.delay = None
        stage.healed(within=RECOVERED_SECONDS, reconnects=False)
        stage.wait(CALM_SECONDS)
    connections = stage.first.book("played")
    stage.require(len(connections) == 1, "the connection to stand", f"{len(connections)} connections")
    stage.close_books()


_DAMAGED = (
    "no wrong plate told as sure; damaged pictures tainted until the next whole key frame; all read again after it"
)

ROWS = (
    Fault(
        name="rtp-loss-1", code="C5", proxied=True, run=lambda stage: _harmed(stage, loss(0.01), tainted=True),
        does="1 % of the RTP packets are lost", must=_DAMAGED,
    ),
    Fault(
        name="rtp-loss-5", code="C5", proxied=True, quick=True,
        run=lambda stage: _harmed(stage, loss(0.05), tainted=True),
        does="5 % of the RTP packets are lost", must=_DAMAGED,
    ),
    Fault(
        name="rtp-loss-10", code="C5", proxied=True, run=lambda stage: _harmed(stage, loss(0.10), tainted=True),
        does="10 % of the RTP packets are lost", must=_DAMAGED,
    ),
    Fault(
        name="pictures-lost", code="C6", proxied=True,
        run=lambda stage: _harmed(stage, lose_pictures(0.1, random.Random(5)), tainted=True),
        does="every tenth picture is lost as a whole", must=_DAMAGED,
    ),
    Fault(
        name="bits-flipped", code="C7", proxied=True,
        run=lambda stage: _harmed(stage, flip_bits(0.1, random.Random(5)), tainted=False),
        does="a bit is flipped in every tenth packet",
        must="no crash, no wrong plate told as sure, memory flat, all read again after it",
    ),
    Fault(
        name="packets-cut", code="C7", proxied=True,
        run=lambda stage: _harmed(stage, cut_packets(0.05, random.Random(5)), tainted=False),
        does="every twentieth packet loses its second half",
        must="no crash, no wrong plate told as sure, memory flat, all read again after it",
    ),
    Fault(
        name="stream-torn", code="C7", proxied=True, run=torn,
        does="bytes are missing from the TCP stream, so that its framing is lost",
        must="no crash; recovered by itself or by a new connection",
    ),
    Fault(
        name="packets-late", code="C5", proxied=True, run=late,
        does="now and then everything is held up for 0.8 s",
        must="no vehicle lost",
    ),
    Fault(
        name="parameter-sets-missing", code="C8", run=no_parameter_sets,
        does="three seconds without parameter sets, in the description and in the stream",
        must="waited for, few log lines, watched from the first whole key frame on",
    ),
    Fault(
        name="size-changes", code="C9", run=change_size, variants=frozenset({"large"}),
        does="the picture's size changes in mid-stream, and back", must="counted; all read in both sizes",
    ),
    Fault(
        name="codec-changes", code="C9", run=change_codec, variants=frozenset({"h265"}),
        does="the camera is set from H.264 to H.265 and back", must="connected anew within 5 s; all read in both",
    ),
    Fault(
        name="codec-changes-silently", code="C9", run=change_codec_silently, variants=frozenset({"h265"}),
        does="H.265 packets where H.264 was described, and the other way round",
        must="connected anew, no crash, no wrong plate",
    ),
    Fault(
        name="stamps-jump", code="C10", run=clock_jumps,
        does="the stream's time stamps jump an hour ahead or two back", must="times stay in order; all read again",
    ),
    Fault(
        name="stamps-wrap", code="C10", run=stamps_wrap,
        first_options={"first_stamp": (1 << 32) - 90_000 * 20},
        does="the 32-bit RTP time stamp turns over", must="no vehicle lost, times in order",
    ),
    Fault(
        name="four-times-fps", code="C12", run=four_times, variants=frozenset({"fast"}),
        does="four times the pictures a second",
        must="drops counted, memory bounded, the connection stands, the neighbour unharmed",
    ),
    Fault(
        name="burst", code="C12", run=burst, proxied=True,
        does="three seconds of pictures at once", must="taken or counted; the connection stands",
    ),
)  # fmt: skip
