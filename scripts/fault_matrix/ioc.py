"""An operations centre in plain ZeroMQ and JSON, which knows nothing of anpr: docs/events.md is all it goes by.

Usage: python -m scripts.fault_matrix.ioc ENDPOINT LEDGER [--die before|after --count N] [--key FILE --box-key FILE]

Its ledger is its database: an event is written and synced, then acknowledged. With `--die before` it kills itself when
it holds the Nth event and has not written it; with `--die after`, when it has and has not acknowledged it. Keys are
ZeroMQ certificates. What it did beside goes to LEDGER.diary.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
import uuid
from pathlib import Path
from typing import Any

import zmq
import zmq.auth

CONSUMER = "ioc"
WINDOW = 64
HELLO_AGAIN_SECONDS = 0.5
PROGRESS_SECONDS = 0.5
SILENCE_SECONDS = 5.0
AT_ONCE = 16
"""Messages, before it looks at what else is due."""
LANES = ("hits", "rest")


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """The whole lines; a crash may have cut the last."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


class Ioc:
    """One life of it."""

    def __init__(self, endpoint: str, ledger: Path, *, die: str, count: int, keys: tuple[Path, Path] | None) -> None:
        self.socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.maxmsgsize = 1 << 20
        self.socket.heartbeat_ivl, self.socket.heartbeat_timeout = 1000, 3000
        self.socket.connect_timeout = 2000
        if keys is not None:
            self.socket.curve_publickey, self.socket.curve_secretkey = zmq.auth.load_certificate(keys[0])
            self.socket.curve_serverkey, _ = zmq.auth.load_certificate(keys[1])
        self.socket.connect(endpoint)
        self.endpoint = endpoint
        self.die, self.count = die, count
        self.held: dict[str, dict[str, Any] | None] = dict.fromkeys(LANES)
        entries = read_ledger(ledger)
        if entries:  # a lane of which nothing is left: all of it again
            self.held = {lane: {"seq": 0} for lane in LANES}
        for entry in entries:
            self.held[entry["lane"]] = {"seq": entry["seq"], "id": entry["id"]}
        self.diary = ledger.with_name(f"{ledger.name}.diary").open("a", buffering=1)
        self.file = ledger.open("ab")
        self.file.write(b"\n")
        self.instance = uuid.uuid4().hex
        self.session = self.taken = 0
        self.open = False

    def run(self) -> None:
        """Until it is killed."""
        said = told = 0.0
        heard = time.monotonic()
        while True:
            now = time.monotonic()
            if not self.open and now - said > HELLO_AGAIN_SECONDS:
                said = now
                self.hello()
            if self.open and now - told > PROGRESS_SECONDS:
                told = now
                self.progress()
            if now - heard > SILENCE_SECONDS:
                heard, self.open = now, False
                self.socket.disconnect(self.endpoint)
                self.socket.connect(self.endpoint)
            for _ in range(AT_ONCE):
                if not self.socket.poll(50):
                    break
                heard = time.monotonic()
                frames = self.socket.recv_multipart()
                try:
                    self.take(frames)
                except (ValueError, KeyError, IndexError, TypeError) as error:
                    self.begin_anew(f"not ours: {error!r}")  # something has harmed it on its way

    def hello(self) -> None:
        """Begin with what the ledger holds."""
        self.session += 1
        self.taken = 0
        self.say({"type": "hello", "consumer": CONSUMER, "instance": self.instance, "window": WINDOW, **self.held})

    def begin_anew(self, reason: str) -> None:
        """Something is missing, or cannot be."""
        self.open = False
        self.note("broken", reason=reason)

    def note(self, what: str, **facts: Any) -> None:
        """Into the diary."""
        self.diary.write(json.dumps({"event": what, "at": time.monotonic(), **facts}) + "\n")

    def progress(self) -> None:
        """All that is held is on disk."""
        self.say({"type": "progress", "taken": self.taken, **{lane: self.number(lane) for lane in LANES}})

    def say(self, message: dict[str, Any]) -> None:
        """If somebody is there."""
        try:
            self.socket.send(json.dumps({**message, "session": self.session}).encode(), zmq.NOBLOCK)
        except zmq.Again:
            self.open = False

    def number(self, lane: str) -> int | None:
        """How far a lane has come."""
        held = self.held[lane]
        return None if held is None else held["seq"]

    def take(self, frames: list[bytes]) -> None:
        """One message of the box."""
        head = json.loads(frames[0])
        if head["session"] != self.session:
            return
        match head["type"]:
            case "welcome" if not self.open:
                self.note("welcome", asked=self.held, session=self.session, **{lane: head[lane] for lane in LANES})
                self.held = {lane: {"seq": head[lane]["seq"], "id": head[lane].get("id", "")} for lane in LANES}
                self.open = True
            case "event" if self.open:
                self.keep(head, frames[1])
            case "alive" if self.open:
                if any(self.number(lane) != head[lane] for lane in LANES):
                    self.begin_anew("tail")
                for lane in LANES:
                    if self.open and head.get(f"{lane}_to"):
                        self.held[lane] = head[f"{lane}_to"]
            case "goodbye":
                self.begin_anew(head["reason"])

    def keep(self, head: dict[str, Any], payload: bytes) -> None:
        """Store, then acknowledge."""
        held = self.number(head["lane"]) or 0
        if head["previous"] != held:
            if head["seq"] > held:
                self.begin_anew("hole")
            return  # else it came twice
        event = json.loads(payload)
        if int(event["sequence"]) != head["seq"]:
            raise ValueError("the event has another number")
        self.count -= 1
        if self.die == "before" and self.count <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        entry = {"lane": head["lane"], "seq": head["seq"], "id": event["id"], "epoch": event["epoch"]}
        entry |= {"at": time.monotonic(), "committed": event["committed"]}
        self.file.write(json.dumps(entry).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        if self.die == "after" and self.count <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.held[head["lane"]] = {"seq": head["seq"], "id": event["id"]}
        self.taken += 1
        self.progress()


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("endpoint")
    parser.add_argument("ledger", type=Path)
    parser.add_argument("--die", choices=("before", "after"), default="")
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--key", type=Path, help="its own NAME.key_secret")
    parser.add_argument("--box-key", type=Path, help="the box's NAME.key")
    options = parser.parse_args()
    keys = (options.key, options.box_key) if options.key else None
    Ioc(options.endpoint, options.ledger, die=options.die, count=options.count, keys=keys).run()


if __name__ == "__main__":
    main()
