"""Where a camera's name leads: asked before each connection, and remembered for when no name server answers.

A name server often dies with the same power cut or switch as the cameras, and comes back after them.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from anpr.errors import StreamError
from anpr.video.address import Address

RESOLVER_OPTIONS = "RES_OPTIONS"
"""Of the C library: resolv.conf(5)."""
PATIENCE = "timeout:2 attempts:1"
"""The C library's own would wait ten seconds and more for each name server."""
_UNKNOWN = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
"""What a name server says that answers and does not know the name; of all else none has answered."""

LookUp = Callable[[str], Sequence[tuple[Any, ...]]]


def _ask(name: str) -> Sequence[tuple[Any, ...]]:
    return socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)


class Names:
    """The host of one camera's address. Use from one thread."""

    def __init__(self, address: Address, *, look_up: LookUp = _ask) -> None:
        """`look_up` is `socket.getaddrinfo` of a name; each answer ends in (address, …)."""
        self._address = address
        self._look_up = look_up
        self._known = ""
        """The numeric address that the name had last."""
        self.remembered = False
        """Whether the last `resolve` was answered from memory."""

    def resolve(self) -> Address:
        """The address to connect to: as it is if its host is a number or its name is known now; with the number that
        the name had last if no name server answers.

        Raises StreamError if the name is unknown, or was never known and no name server answers.
        """
        self.remembered = False
        name = self._address.host_name
        if _is_number(name):
            return self._address
        try:
            answers = self._look_up(name)
        except (OSError, UnicodeError) as error:
            unknown = isinstance(error, UnicodeError) or (
                isinstance(error, socket.gaierror) and error.errno in _UNKNOWN
            )
            if unknown or not self._known:
                raise StreamError(
                    "its name is unknown" if unknown else "no name server answers",
                    place=str(self._address),
                    cure="check the name, or give the camera's number in its address",
                ) from None
            self.remembered = True
            return replace(self._address, host=self._known + self._address.port_suffix)
        number = str(answers[0][4][0])
        self._known = f"[{number}]" if ":" in number else number
        return self._address


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def limit_patience() -> None:
    """Have this process give up a dead name server soon, unless its surroundings say how long to wait."""
    os.environ.setdefault(RESOLVER_OPTIONS, PATIENCE)
