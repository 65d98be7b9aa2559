"""Keys that are wrong, taken away or changed, and a peer that greets without end (D8, D11).

Both endpoints speak CURVE. The centre (`ioc.py`) and the listener have keys; who else comes is plain ZeroMQ.
"""

from __future__ import annotations

import hashlib
import time
from typing import cast

import zmq.auth

from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.line import Line
from scripts.fault_matrix.rig import Rig

CALM_SECONDS = 4.0
NOTICED_SECONDS = 5.0
AWAY_SECONDS = 2.0
"""The longest silence of the live feed: a heartbeat is due once a second."""
MOST_LINES = 60
"""Of the log, in a flood of some hundred thousand requests."""
FLOOD_SECONDS = 10.0
LATE_SECONDS = 2.0

_STRANGER = """
import json, sys, time, zmq, zmq.auth
kind, endpoint, own, box = sys.argv[1:]
context = zmq.Context()
def connect():
    socket = context.socket(zmq.SUB if kind == "live" else zmq.DEALER)
    socket.linger = 0
    if own:
        socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(own)
        socket.curve_serverkey, _ = zmq.auth.load_certificate(box)
    if kind == "live":
        socket.subscribe(b"")
    socket.connect(endpoint)
    return socket
socket, session = connect(), 0
while True:
    if kind != "live":
        session += 1
        hello = {"type": "hello", "consumer": "ioc", "instance": "x", "session": session, "window": 64}
        try:
            socket.send(json.dumps(hello).encode(), zmq.NOBLOCK)
        except zmq.Again:
            pass
    if socket.poll(200):
        socket.recv_multipart()
        print(time.monotonic(), flush=True)
"""
"""Prints when it was told something."""

_FLOOD = """
import json, sys, time, zmq, zmq.auth
endpoint, own, box, consumer = sys.argv[1:]
context = zmq.Context()
socket = context.socket(zmq.DEALER)
socket.linger = 0
socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(own)
socket.curve_serverkey, _ = zmq.auth.load_certificate(box)
socket.reconnect_ivl = 20
socket.connect(endpoint)
session = 0
while True:
    session += 1
    hello = {"type": "hello", "consumer": consumer, "instance": "x", "session": session, "window": 1}
    socket.send(json.dumps(hello).encode())
    if session % 1000 == 0:
        print(session, flush=True)
"""


def wrong_key(rig: Rig) -> None:
    """Strangers knock at both endpoints: with a key nobody knows, for another box, and without any."""
    line = cast("Line", rig)
    with line.centre():
        line.start(rate=10.0)
        for name in ("stranger", "other-box"):
            line.make_key(name, allow=False)
        mark = fingerprint_of(zmq.auth.load_certificate(line.keys / "stranger.key")[0])
        own, box = map(str, line.certificates("stranger"))
        ways = {
            "with a key nobody knows": ((own, box), "key not allowed"),
            "for another box": ((own, str(line.keys / "other-box.key")), "made for another server key"),
            "without a key": (("", ""), ""),
        }
        for way, (keys, counted) in ways.items():
            for kind, endpoint in (("live", line.endpoint), ("reliable", line.reliable_endpoint)):
                began, before = time.monotonic(), line.counted("handshakes_failed", containing=counted)
                with line.program(_STRANGER, kind, endpoint, *keys) as stranger:
                    line.outcome.times += 1
                    line.within_a_while(
                        lambda counted=counted, before=before: (  # type: ignore[misc]
                            line.counted("handshakes_failed", containing=counted) > before
                        ),
                        NOTICED_SECONDS,
                        f"a peer {way} counted as {counted!r}",
                    )
                    line.let_pass(1.0)
                    stranger.kill()
                    line.require(not _said(stranger), f"nothing told to a peer {way}", kind)
                if keys == (own, box):
                    line.within_a_while(
                        lambda: line.counted("keys_refused", containing=mark), NOTICED_SECONDS, "the key in a metric"
                    )
                line.outcome.notes["noticed_s"] = round(time.monotonic() - began, 1)
        told = [entry["fingerprint"] for entry in line.said("key_refused")]
        line.require(told and set(told) == {mark}, "the refused key named in the log", told)
        line.require(len(told) <= 2, "a refused key told once a minute", len(told))
        line.finish()


def revoked(rig: Rig) -> None:
    """A client's key is taken away while it listens; nobody else notices."""
    line = cast("Line", rig)
    with line.centre():
        line.start(rate=10.0)
        for number in range(line.times):
            name = f"spy-{number}"
            line.make_key(name)
            line.let_pass(CALM_SECONDS / 2)
            welcomed = len(line.diary("welcome"))
            with line.program(_STRANGER, "live", line.endpoint, *map(str, line.certificates(name))) as spy:
                line.let_pass(CALM_SECONDS)
                (line.allowed / f"{name}.key").unlink()
                taken = time.monotonic()
                line.outcome.times += 1
                line.within_a_while(
                    lambda name=name: line.counted("keys_refused", containing=name),  # type: ignore[misc]
                    NOTICED_SECONDS,
                    "the name of the key in a metric",
                )
                line.let_pass(CALM_SECONDS)
                spy.kill()
                heard = _said(spy)
                line.require(heard, "the client to be told something while its key held")
                after = max(heard, default=taken) - taken
                line.outcome.notes["told_after_s"] = round(after, 2)
                line.require_within(after, AWAY_SECONDS, "nothing told to it any more")
            reasons = [entry["reason"] for entry in line.said("key_refused", since=taken)]
            line.require(any(name in reason for reason in reasons), "its name in the log", reasons)
            line.require(
                len(line.diary("welcome")) == welcomed, "the centre to go on undisturbed", line.diary("broken")[-2:]
            )
        _require_no_downtime(line)
        line.finish()


def rotation(rig: Rig) -> None:
    """The centre's key is replaced, two keys valid meanwhile; then the box's own."""
    line = cast("Line", rig)
    line.make_key("ioc.next", allow=False)
    with line.centre() as old:
        line.start(rate=10.0)
        line.let_pass(CALM_SECONDS)
        line.outcome.times += 1
        line.allow("ioc.next")
        line.let_pass(CALM_SECONDS)
        old.kill()
        old.wait()
        changed = time.monotonic()
        with line.centre(key="ioc.next"):
            line.within_a_while(lambda: line.delivered(since=changed), NOTICED_SECONDS, "the new key to be let in")
            line.recovered_in(min((entry["at"] for entry in line.delivered(since=changed)), default=changed) - changed)
            (line.allowed / "ioc.key").unlink()
            line.let_pass(CALM_SECONDS)
            line.require(len(line.diary("welcome", since=changed)) == 1, "one greeting", line.diary("broken"))
            _require_no_downtime(line)
            line.require_delivered()
    with line.program(_STRANGER, "reliable", line.reliable_endpoint, *map(str, line.certificates("ioc"))) as former:
        line.within_a_while(
            lambda: line.counted("keys_refused", containing="taken away: ioc"), NOTICED_SECONDS, "the old key refused"
        )
        line.require(any("ioc" in e["reason"] for e in line.said("key_refused")), "its name in the log")
        former.kill()
        line.require(not _said(former), "nothing told to the old key")
    line.make_key("box.next", allow=False)
    line.show_key("box.next")
    line.outcome.times += 1
    line.within_a_while(lambda: line.said("own_key_changed"), NOTICED_SECONDS, "the box to take its new key")
    with line.centre(key="ioc.next", box="box.next"):
        line.finish(live=False)


def flood(rig: Rig) -> None:
    """One that is allowed in greets as fast as it can: as nobody, as another, and as itself."""
    line = cast("Line", rig)
    line.make_key("flood")
    with line.centre():
        line.start(rate=10.0)
        for consumer in ("nobody", "ioc", "flood")[: 1 if line.quick else 3]:
            line.let_pass(CALM_SECONDS)
            lines, began = len(line.log.entries()), time.monotonic()
            keys = map(str, line.certificates("flood"))
            with line.program(_FLOOD, line.reliable_endpoint, *keys, consumer) as flooder:
                line.outcome.times += 1
                line.let_pass(FLOOD_SECONDS)
                flooder.kill()
                greetings = len(_said(flooder)) * 1000
            told = len(line.log.entries()) - lines
            late = _latest(line, since=began)
            line.outcome.notes[f"as_{consumer}"] = {"greetings": greetings, "lines": told, "late_s": round(late, 2)}
            line.require(greetings, "a flood")
            line.require(told <= MOST_LINES, f"at most {MOST_LINES} lines in the log", told)
            line.require_within(late, LATE_SECONDS, "everything delivered to the centre meanwhile")
        line.within_a_while(
            lambda: line.counted("requests_refused", containing="too many"), NOTICED_SECONDS, "the flood counted"
        )
        line.outcome.notes["refused"] = line.counted("requests_refused", containing="too many")
        line.outcome.notes["cut_off"] = line.counted("client_dropped", containing="too talkative")
        line.require(line.outcome.notes["cut_off"], "the flooding connection to be cut off")
        _require_no_downtime(line)
        line.finish()


def _latest(line: Line, *, since: float) -> float:
    """The longest time from telling an event to the centre's ledger, of those told since and delivered."""
    told = {entry["seq"]: entry["at"] for entry in line.told(since=since)}
    return max((e["at"] - told[e["seq"]] for e in line.delivered(since=since) if e["seq"] in told), default=0.0)


def _require_no_downtime(line: Line) -> None:
    silence = line.longest_silence()
    line.outcome.notes["longest_silence_s"] = round(silence, 2)
    line.require_within(silence, AWAY_SECONDS, "the live feed of others never silent: something")


def _said(process: object) -> list[float]:
    """What a program has printed, once it has ended."""
    return [float(line) for line in process.stdout.read().split()]  # type: ignore[attr-defined]


def fingerprint_of(public: bytes) -> str:
    """What docs/security.md says of fingerprints: 16 digits of the SHA-256 of a key's 40 characters."""
    return hashlib.sha256(public).hexdigest()[:16]


ROWS = (
    Fault(
        name="wrong-key", code="D8", run_rig=wrong_key, times=1, centre="with keys",
        does="peers with an unknown key, with another box's key, and without any, at both CURVE endpoints",
        must="nothing told to them; counted by reason, an unknown key by its fingerprint in log and metric; lost 0",
    ),
    Fault(
        name="key-taken-away", code="D11", run_rig=revoked, centre="with keys",
        does="the key of a client that listens is taken out of the folder",
        must="nothing told to it within 2 s, its name in log and metric; nobody else notices; lost 0",
    ),
    Fault(
        name="key-rotation", code="D11", run_rig=rotation, times=1, centre="with keys",
        does="the centre changes to a second key, the first is taken away; then the box changes its own",
        must="others' feed never silent; the old key refused by name; lost 0",
    ),
    Fault(
        name="hello-flood", code="D8", run_rig=flood, times=1, centre="with keys",
        does="a client greets without end for 10 s: as nobody, as another consumer, as itself",
        must="60 lines of log at most, counted, cut off; the centre served within 2 s; lost 0",
    ),
)  # fmt: skip
