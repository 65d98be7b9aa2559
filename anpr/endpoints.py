"""Addresses of the bus: what an endpoint is, and whether other machines can reach it (pure)."""

from __future__ import annotations

import ipaddress
import re

TCP = re.compile(r"tcp://(?P<host>\[[^\]]+\]|[^:]+):(?P<port>\d{1,5}|\*)")


def is_endpoint(endpoint: str) -> bool:
    """True for `tcp://host:port`, with `*` for any free port, and `ipc://path`."""
    match = TCP.fullmatch(endpoint)
    if match:
        return match["port"] == "*" or 0 < int(match["port"]) < 65536
    return endpoint.startswith("ipc://") and len(endpoint) > len("ipc://")


def stays_on_this_machine(endpoint: str) -> bool:
    """True if nobody outside can reach a socket bound to `endpoint`."""
    match = TCP.fullmatch(endpoint)
    if match is None:
        return endpoint.startswith("ipc://")
    host = match["host"].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of `host:port` or `[v6]:port`. Raises ValueError if it is neither."""
    match = TCP.fullmatch(f"tcp://{address}")
    if match is None or match["port"] == "*" or int(match["port"]) > 65535:
        raise ValueError(f"{address!r} is not host:port")
    return match["host"].strip("[]"), int(match["port"])
