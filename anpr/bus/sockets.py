"""What both ends of the bus ask of a ZeroMQ socket, and its errors said in our words."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from contextlib import contextmanager

import zmq

from anpr.errors import BusError

_TCP = re.compile(r"tcp://(?P<host>\[[^\]]+\]|[^:]+):(?P<port>\d{1,5}|\*)")


def set_common_options(socket: zmq.Socket[bytes], endpoint: str, *, max_message_bytes: int) -> None:
    """Bound what a peer can make us hold, and notice one that has gone."""
    socket.ipv6 = "[" in endpoint
    socket.linger = 1000
    socket.maxmsgsize = max_message_bytes
    socket.handshake_ivl = 5000
    socket.heartbeat_ivl = 1000
    socket.heartbeat_timeout = 3000
    socket.tcp_keepalive = 1


def check_endpoint(endpoint: str) -> None:
    """Raises BusError unless `endpoint` is `tcp://host:port` or `ipc://path`."""
    match = _TCP.fullmatch(endpoint)
    if match and (match["port"] == "*" or int(match["port"]) < 65536):
        return
    if not endpoint.startswith("ipc://") or len(endpoint) <= len("ipc://"):
        raise BusError(
            "this is no endpoint", place=endpoint, cure="give tcp://host:port, like tcp://127.0.0.1:5556, or ipc://path"
        )


def stays_on_this_machine(endpoint: str) -> bool:
    """True if nobody outside can reach a socket bound to `endpoint`."""
    match = _TCP.fullmatch(endpoint)
    if match is None:
        return endpoint.startswith("ipc://")
    host = match["host"].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def told_as_bus_errors(endpoint: str, *, cure: str) -> Iterator[None]:
    """Turn every ZeroMQ error of the block into a BusError about `endpoint`."""
    try:
        yield
    except zmq.ZMQError as error:
        raise BusError(error.strerror or str(error), place=endpoint, cure=cure) from error
