"""An operations centre behind a wire of its own: a network namespace, and a veth pair between it and this machine.

The namespace has no name; it belongs to a process that dies with the harness. With its last process, and what its last
connections had to say, the kernel takes the namespace, its rules and both ends of the wire, however the harness went.
"""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from scripts.fault_matrix.processes import die_with_parent
from scripts.fault_matrix.volume import SYSTEM_PATH

READY_SECONDS = 30.0
FAR_NAME = "wire"
_RULES = """
table inet fault {{
    chain from_the_box {{ type filter hook input priority 0; iifname "{name}" {verdict}; }}
    chain to_the_box {{ type filter hook output priority 0; oifname "{name}" {verdict}; }}
}}
"""


@cache
def why_no_network() -> str:
    """Why there can be none here; empty if there can."""
    if os.geteuid() != 0:
        return "needs root, to make a network namespace"
    for program in ("unshare", "nsenter", "ip", "tc", "nft"):
        if not any((Path(folder) / program).exists() for folder in SYSTEM_PATH.split(":")):
            return f"{program} is missing: scripts/install_servers installs it"
    tried = subprocess.run(
        ["unshare", "--net", "nft", "-f", "-"],
        input=_RULES.format(name=FAR_NAME, verdict="drop"),
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no network namespace can be made here: {tried.stderr.strip()}" if tried.returncode else ""


class Network:
    """Stands from `with` to the end of the block."""

    def __init__(self) -> None:
        number = os.getpid()
        self._name = f"anpr{number}"
        place = f"198.{18 + (number >> 14 & 1)}.{number >> 6 & 255}."  # of 198.18.0.0/15, which is for such trials
        self.box, self.centre = (f"{place}{(number & 63) * 4 + host}" for host in (1, 2))
        """Addresses of the two ends."""
        self._holder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sleep", "infinity"], env=_environment(), preexec_fn=die_with_parent
        )
        try:
            until = time.monotonic() + READY_SECONDS
            while Path("/proc/self/ns/net").readlink() == self._space():
                if time.monotonic() > until:
                    raise RuntimeError(f"no network namespace in {READY_SECONDS:g} s")
                time.sleep(0.01)
            _call("ip", "link", "add", self._name, "type", "veth", "peer", "name", FAR_NAME, "netns", self._pid)
            _call("ip", "address", "add", f"{self.box}/30", "dev", self._name)
            _call("ip", "link", "set", self._name, "up")
            self._within("ip", "address", "add", f"{self.centre}/30", "dev", FAR_NAME)
            self._within("ip", "link", "set", FAR_NAME, "up")
            self._within("ip", "link", "set", "lo", "up")
            with suppress(RuntimeError):  # else connections of the dead keep all alive for long
                self._within("sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_orphan_retries")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def within(self, *words: str) -> list[str]:
        """The words that start a program at the centre's end."""
        return ["nsenter", "--target", self._pid, "--net", *words]

    def drop(self) -> None:
        """From now on nothing passes, and nobody is told."""
        self._rule("drop")

    def reset(self) -> None:
        """From now on connections are reset, and new ones refused, on both sides."""
        self._rule("meta l4proto tcp reject with tcp reset")

    def heal(self) -> None:
        """All passes again."""
        with suppress(RuntimeError):
            self._within("nft", "delete", "table", "inet", "fault")

    def slow(self, kbit_per_second: int) -> None:
        """From now on both ways pass so much and no more; 0: as fast as can be."""
        for call, name in ((_call, self._name), (self._within, FAR_NAME)):
            with suppress(RuntimeError):
                call("tc", "qdisc", "delete", "dev", name, "root")
            if kbit_per_second:
                rate = ("rate", f"{kbit_per_second}kbit", "burst", "16kbit", "latency", "400ms")
                call("tc", "qdisc", "add", "dev", name, "root", "tbf", *rate)

    @property
    def _pid(self) -> str:
        assert self._holder is not None
        return str(self._holder.pid)

    def _space(self) -> Path:
        return Path(f"/proc/{self._pid}/ns/net").readlink()

    def _rule(self, verdict: str) -> None:
        self.heal()
        self._within("nft", "-f", "-", given=_RULES.format(name=FAR_NAME, verdict=verdict))

    def _within(self, *words: str, given: str = "") -> None:
        _call(*self.within(*words), given=given)

    def _end(self) -> None:
        if self._holder is not None:
            with suppress(RuntimeError):  # the kernel would do so too, in its own time
                _call("ip", "link", "delete", self._name)
            self._holder.kill()
            self._holder.wait()


def _call(*words: str, given: str = "") -> None:
    """Raises RuntimeError with what the program said."""
    called = subprocess.run(words, input=given, env=_environment(), capture_output=True, text=True, check=False)
    if called.returncode:
        raise RuntimeError(f"{' '.join(words)}: {called.stderr.strip()}")


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": SYSTEM_PATH}
