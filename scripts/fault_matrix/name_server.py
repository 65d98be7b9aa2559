"""A name server of the harness's own, and how a process asks it without a change to this machine's.

It knows every name of its zone, all at 127.0.0.1. A program that runs in `room` sees another /etc/resolv.conf, in a
mount namespace that ends with it.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from scripts.fault_matrix.processes import die_with_parent
from scripts.fault_matrix.world import ROOT

ZONE = "cameras.test"
PORT = 53
"""A resolver asks no other."""
START_SECONDS = 20.0
_A, _NAME_ERROR, _ANSWER = 1, 3, 0x8400
_HEADER = struct.Struct(">HHHHHH")


def answer(question: bytes) -> bytes:
    """To one question over UDP (RFC 1035): 127.0.0.1 for the address of a name of the zone, nothing for another kind of
    entry, an error for another name."""
    number, *_ = _HEADER.unpack_from(question)
    at, labels = _HEADER.size, list[bytes]()
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length])
        at += 1 + length
    kind = struct.unpack_from(">H", question, at + 1)[0]
    asked = question[_HEADER.size : at + 5]
    known = b".".join(labels).decode("ascii", "replace").endswith(ZONE)
    found = known and kind == _A
    record = struct.pack(">HHHIH4s", 0xC00C, _A, 1, 0, 4, socket.inet_aton("127.0.0.1")) if found else b""
    return _HEADER.pack(number, _ANSWER | (0 if known else _NAME_ERROR), 1, int(found), 0, 0) + asked + record


def serve(host: str) -> None:
    """Answer until the end of the process."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ears:
        ears.bind((host, PORT))
        while True:
            question, asker = ears.recvfrom(512)
            ears.sendto(answer(question), asker)


class NameServer:
    """A process, from `with` to the end of the block."""

    def __init__(self, folder: Path) -> None:
        number = os.getpid() & 0xFFFF
        self.host = f"127.53.{number >> 8}.{number & 255}"
        self._resolv_conf = folder / "resolv.conf"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._resolv_conf.write_text(f"search .\nnameserver {self.host}\n", encoding="ascii")
        command = [sys.executable, "-m", "scripts.fault_matrix.name_server", self.host]
        self._process = subprocess.Popen(command, cwd=ROOT, preexec_fn=die_with_parent)
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > until or self._process.poll() is not None:
                self.__exit__(None, None, None)
                raise RuntimeError(f"the name server at {self.host}:{PORT} does not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def room(self) -> tuple[str, ...]:
        """What is put before a command, so that it asks this server."""
        enter = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        return ("unshare", "--mount", "sh", "-c", enter, str(self._resolv_conf))

    def freeze(self) -> None:
        """From now on questions come in and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It answers again, also what was asked meanwhile."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        question = _HEADER.pack(1, 0, 1, 0, 0, 0) + b"\x07cameras\x04test\x00" + struct.pack(">HH", _A, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(0.2)
            try:
                asking.sendto(question, (self.host, PORT))
                return bool(asking.recv(512))
            except OSError:
                time.sleep(0.05)
                return False


if __name__ == "__main__":
    serve(sys.argv[1])
