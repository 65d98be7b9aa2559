"""What both ends of the bus ask of a ZeroMQ socket, and its errors said in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import zmq

from anpr.endpoints import is_endpoint, stays_on_this_machine
from anpr.errors import BusError


def set_common_options(socket: zmq.Socket[bytes], endpoint: str, *, max_message_bytes: int) -> None:
    """Bound what a peer can make us hold, and notice one that has gone."""
    socket.ipv6 = "[" in endpoint
    socket.linger = 1000
    socket.maxmsgsize = max_message_bytes
    socket.handshake_ivl = 5000
    socket.connect_timeout = 3000  # else the kernel asks ever more rarely, and a minute after a long outage
    socket.heartbeat_ivl = 1000
    socket.heartbeat_timeout = 3000
    socket.tcp_keepalive = 1


def check_endpoint(endpoint: str) -> None:
    """Raises BusError unless `endpoint` is `tcp://host:port` or `ipc://path`."""
    if not is_endpoint(endpoint):
        raise BusError(
            "this is no endpoint", place=endpoint, cure="give tcp://host:port, like tcp://127.0.0.1:7781, or ipc://path"
        )


def check_reach(endpoint: str, *, encrypted: bool, allow_unencrypted: bool) -> None:
    """Raises BusError if events would reach other machines in the clear."""
    check_endpoint(endpoint)
    if not encrypted and not allow_unencrypted and not stays_on_this_machine(endpoint):
        raise BusError(
            "events would leave this machine unencrypted",
            place=endpoint,
            cure="give the bus a key, bind to tcp://127.0.0.1:port, or allow it in words if the network is your own",
        )


@contextmanager
def told_as_bus_errors(endpoint: str, *, cure: str) -> Iterator[None]:
    """Turn every ZeroMQ error of the block into a BusError about `endpoint`."""
    try:
        yield
    except zmq.ZMQError as error:
        raise BusError(error.strerror or str(error), place=endpoint, cure=cure) from error
