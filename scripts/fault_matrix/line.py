"""A hub alone whose operations centre is somewhere: behind a wire that can be cut, behind a proxy that harms what
passes, or with keys of its own. A listener hears the live feed on this machine all the while.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import zmq.auth

from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.ioc import LANES, read_ledger
from scripts.fault_matrix.listener import Listener
from scripts.fault_matrix.mangler import Mangler
from scripts.fault_matrix.network import Network
from scripts.fault_matrix.processes import die_with_parent
from scripts.fault_matrix.rig import Rig
from scripts.fault_matrix.sockets import free_port
from scripts.fault_matrix.verdict import missing_numbers
from scripts.fault_matrix.world import ROOT

HARMED_SHARE = 0.1
MOST_TWICE = 0.05
"""Of all that is delivered."""


class Line(Rig):
    """Of the kind that the fault's `centre` names."""

    def __init__(self, fault: Fault, *, folder: Path, times: int, quick: bool) -> None:
        super().__init__(fault, folder=folder, times=times, quick=quick)
        self.network: Network | None = Network() if fault.centre == "behind a wire" else None
        self.mangler: Mangler | None = None
        self.keys = folder / "keys"
        """Certificates of everybody; those in `allowed` may come in."""
        self.allowed = folder / "allowed"
        self.endpoint = f"tcp://127.0.0.1:{free_port()}"
        self.reliable_endpoint = f"tcp://{self.network.box if self.network else '127.0.0.1'}:{free_port()}"
        self.encrypted = fault.centre == "with keys"
        self.listener = Listener(self.endpoint, keys=self.certificates("watcher") if self.encrypted else None)
        self._diary = folder / "ioc.ledger.diary"

    def certificates(self, name: str, *, box: str = "box") -> tuple[Path, Path]:
        """Of a client with its secret, and of the box."""
        return self.keys / f"{name}.key_secret", self.keys / f"{box}.key"

    def make_key(self, name: str, *, allow: bool = True) -> None:
        """A new pair; with `allow` its owner may come in."""
        _, secret = zmq.auth.create_certificates(self.keys, name)
        Path(secret).chmod(0o600)
        if allow:
            self.allow(name)

    def allow(self, name: str) -> None:
        """Put the public key into the folder of those who may come in."""
        (self.allowed / f"{name}.key").write_bytes((self.keys / f"{name}.key").read_bytes())

    @contextmanager
    def centre(self, *words: str, key: str = "ioc", box: str = "box") -> Iterator[subprocess.Popen[bytes]]:
        """The operations centre, on the ledger of its earlier lives, until the block ends."""
        process = self._centre(*words, key=key, box=box)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def program(self, text: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """Some Python that runs until the block ends; what it prints is read from its `stdout`."""
        process = subprocess.Popen(
            [sys.executable, "-c", text, *words], cwd=ROOT, stdout=subprocess.PIPE, preexec_fn=die_with_parent
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def delivered(self, *, since: float = 0.0) -> list[dict[str, Any]]:
        """What the centre's ledger holds, in the order of its arrival after a monotonic time."""
        return [entry for entry in read_ledger(self._ledger) if entry["at"] >= since]

    def forget_half(self) -> None:
        """Restore the centre's ledger from a backup of its first half; the centre must not run."""
        lines = self._ledger.read_bytes().splitlines(keepends=True)
        self._ledger.write_bytes(b"".join(lines[: len(lines) // 2]))

    def diary(self, event: str, *, since: float = 0.0) -> list[dict[str, Any]]:
        """What else the centre did."""
        lines = self._diary.read_text().splitlines() if self._diary.exists() else []
        entries = [json.loads(line) for line in lines]
        return [entry for entry in entries if entry["event"] == event and entry["at"] >= since]

    def said(self, event: str, *, since: float = 0.0) -> list[dict[str, Any]]:
        """Lines of the hub's log, from a monotonic time on."""
        wall = since + time.time() - time.monotonic() if since else 0.0
        return [
            entry
            for entry in self.log.entries()
            if entry["event"] == event and datetime.fromisoformat(entry["timestamp"]).timestamp() >= wall
        ]

    def counted(self, name: str, *, containing: str = "") -> int:
        """What the hub has counted of something, over all reasons that contain a word; as `/metrics` would tell it."""
        counts = self.book("counted")[-1]["counts"] if self.book("counted") else {}
        parts = ((key.partition(".")[0], key.partition(".")[2], count) for key, count in counts.items())
        return sum(count for its_name, reason, count in parts if its_name == name and containing in reason)

    def let_pass(self, seconds: float) -> None:
        """Time, in which the hub must live."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not self.lives():
                raise RuntimeError(f"the hub ended: {self.last_words()}")
            time.sleep(min(0.2, max(0.0, until - time.monotonic())))

    def require_all(self, numbers: Collection[int], within: float, *, since: float) -> float | None:
        """These must be in the ledger within `within` seconds of the monotonic time `since`; returns how long it
        took."""

        def missing() -> set[int]:
            return set(numbers) - {entry["seq"] for entry in self.delivered()}

        self.until(lambda: not missing(), max(0.0, since + within - time.monotonic()))
        lost = sorted(missing())
        self.require(not lost, f"all that waited in the ledger within {within:g} s", f"{len(lost)} missing, {lost[:5]}")
        if lost:
            return None
        return max((entry["at"] for entry in self.delivered() if entry["seq"] in numbers), default=since) - since

    def require_hits_first(self, entries: Iterable[dict[str, Any]]) -> None:
        """Among these, which waited together, every hit must have come before everything else."""
        lanes = [entry["lane"] for entry in entries]
        hits = lanes.count(LANES[0])
        self.outcome.notes["hits_that_waited"] = hits
        self.require(hits and hits < len(lanes), "hits and others to wait", f"{hits} of {len(lanes)}")
        early = lanes[:hits].count(LANES[1])
        self.require(not early, "all hits before the rest", f"{early} others came before the last hit")

    def finish(self, *, live: bool = True) -> None:
        """Judge all; the centre must still be there. `live`: the listener has heard all, too."""
        self.close_books()
        if live:
            self._require_unharmed()
        self._require_few_twice(MOST_TWICE)

    def _require_few_twice(self, share: float) -> None:
        """Events that came to the centre's ledger more than once, as a share of all."""
        times: dict[int, int] = defaultdict(int)
        for entry in self.delivered():
            times[entry["seq"]] += 1
        twice = sum(times.values()) - len(times)
        self.outcome.notes["delivered_twice"] = twice
        self.outcome.duplicated = twice
        self.require(
            twice <= share * len(times), f"at most {share:.0%} of all to come twice", f"{twice} of {len(times)}"
        )

    def _require_unharmed(self) -> None:
        """The live feed on this machine has told everything meanwhile, each number once."""
        numbers = self._heard()
        self.require(numbers, "the live feed to tell something")
        lost = self.listener_missed()
        self.require(not lost, "no hole in the live feed", f"{len(lost)} missing, {lost[:5]}")
        self.require(len(numbers) == len(set(numbers)), "each number once on the live feed")

    def listener_missed(self) -> list[int]:
        """Numbers absent from what the live feed told the listener."""
        return missing_numbers(self._heard())

    def _heard(self) -> list[int]:
        events = (event for _, event in self.listener.numbered())
        return [int(event["sequence"]) for event in events]

    def longest_silence(self) -> float:
        """Of the live feed, in seconds; a heartbeat is due once a second."""
        at = [moment for moment, _ in self.listener.messages()]
        return max((later - earlier for earlier, later in itertools.pairwise(at)), default=float("inf"))

    def within_a_while(self, condition: Callable[[], object], seconds: float, what: str) -> float | None:
        """It must hold soon; returns how long it took."""
        took = self.until(condition, seconds)
        self.require_within(took, seconds, what)
        return took

    def _set_up(self) -> None:
        bus: dict[str, str | bool] = {}
        centre = self.reliable_endpoint
        if self.network is not None:
            self._stack.enter_context(self.network)
            bus["allow_unencrypted"] = True
        if self.encrypted:
            self.keys.mkdir()
            self.allowed.mkdir()
            self.make_key("box", allow=False)
            for name in ("ioc", "watcher"):
                self.make_key(name)
            bus |= {"key_file": str(self.folder / "own.key_secret"), "clients": str(self.allowed)}
            self.show_key("box")
        super()._set_up()
        self.write_site(self.site, endpoint=self.endpoint, reliable_endpoint=self.reliable_endpoint, bus=bus)
        if self._fault.centre == "behind a proxy":
            port = int(self.reliable_endpoint.rpartition(":")[2])
            self.mangler = self._stack.enter_context(Mangler(port, share=HARMED_SHARE))
            centre = f"tcp://127.0.0.1:{self.mangler.port}"
        self._centre_at = centre
        self._stack.enter_context(self.listener)

    def show_key(self, name: str) -> None:
        """Let this be the box's own key, in one step."""
        new = self.folder / "next.key_secret"
        new.write_bytes((self.keys / f"{name}.key_secret").read_bytes())
        new.chmod(0o600)
        new.replace(self.folder / "own.key_secret")

    def _start_centre(self) -> None:
        """The row starts it."""

    def _centre(self, *words: str, key: str, box: str) -> subprocess.Popen[bytes]:
        own, boxes = self.certificates(key, box=box)
        keys = ("--key", str(own), "--box-key", str(boxes)) if self.encrypted else ()
        program = ["-m", "scripts.fault_matrix.ioc", self._centre_at, str(self._ledger), *keys, *words]
        call = [sys.executable, *program]
        return subprocess.Popen(
            self.network.within(*call) if self.network else call, cwd=ROOT, preexec_fn=die_with_parent
        )
