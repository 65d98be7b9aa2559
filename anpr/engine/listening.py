"""Whether a box could listen where its site file says; of one that runs: whether somebody answers there."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from anpr.bus import Door, Publisher
from anpr.bus.keys import fingerprint, read_pair
from anpr.clock import SystemClock
from anpr.config.site import Bus, Health
from anpr.endpoints import host_and_port
from anpr.engine.bus_options import bus_options
from anpr.errors import BusError

ANSWER_SECONDS = 2.0
_IPC, _TCP = "ipc://", "tcp://"
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}
"""Addresses that stand for all of a machine's, and one of these."""


def look_at_bus(bus: Bus, *, running: bool) -> str:
    """What is told of the bus's endpoints; `running`: by the box, which has them. Raises BusError."""
    options = bus_options(bus)
    endpoints = [endpoint for endpoint in (options.endpoint, options.reliable_endpoint) if endpoint is not None]
    key = f", key {fingerprint(read_pair(options.keys.own).public)}" if options.keys is not None else ""
    named = " and ".join(endpoints)
    if running:
        for endpoint in endpoints:
            _require_answer(endpoint)
        return f"{named}: the box runs and listens{key}"
    clock = SystemClock()
    with Door(clock=clock, keys=options.keys, allow_unencrypted=options.allow_unencrypted) as door:
        for endpoint in endpoints:
            Publisher(endpoint, box="doctor", epoch=0, clock=clock, door=door)
    return f"{named} can be bound{key}"


def look_at_health(health: Health, *, running: bool) -> str:
    """The same of the address that tells the box's health. Raises BusError."""
    endpoint = f"{_TCP}{health.address}"
    if running:
        _require_answer(endpoint)
        return f"{health.address}: the box runs and listens"
    host, port = host_and_port(health.address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as ears:
            ears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ears.bind((host, port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        cure = "stop the other program, or give [health] another port" if taken else "give an address of this machine"
        problem = "is taken by another program" if taken else f"cannot be bound: {error.strerror or error}"
        raise BusError(problem, place=health.address, cure=cure) from error
    return f"{health.address} can be bound"


def _require_answer(endpoint: str) -> None:
    """Raises BusError if nobody takes a connection there; of any free port nothing can be said."""
    if endpoint.endswith(":*"):
        return
    try:
        if endpoint.startswith(_IPC):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
                asking.settimeout(ANSWER_SECONDS)
                asking.connect(str(Path(endpoint.removeprefix(_IPC))))
            return
        host, port = host_and_port(endpoint.removeprefix(_TCP))
        socket.create_connection((_ANYWHERE.get(host, host), port), ANSWER_SECONDS).close()
    except OSError as error:
        raise BusError(
            f"the box runs, and nobody listens: {error.strerror or error}",
            place=endpoint,
            cure="see its log; if the site file has changed since it started, start it anew",
        ) from error
