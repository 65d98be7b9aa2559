"""Why a camera gives no pictures: libav's errors in words that say what to do, and never with the address's secrets."""

from __future__ import annotations

import errno
import ipaddress

import av

from anpr.errors import StreamAuthError, StreamError
from anpr.video.address import Address

SILENT = "connected, but silent"

_SAID: tuple[tuple[type[av.error.FFmpegError], str, str], ...] = (
    (av.error.HTTPNotFoundError, "has no such stream", "check the path of its address"),
    (
        av.error.HTTPBadRequestError,
        "does not understand the address (RTSP status 400)",
        "check the path, as the camera's manual writes it",
    ),
    (
        av.error.HTTPClientError,
        "refuses the stream (an RTSP status from 402 to 499)",
        "does it allow one viewer more, and RTSP over TCP? Close other viewers, or start the camera anew",
    ),
    (
        av.error.HTTPServerError,
        "reports a fault of its own (an RTSP status of 500 or above)",
        "start the camera anew, and look at its own log",
    ),
    (av.error.InvalidDataError, "its answer is not that of an RTSP camera", "check address and port"),
    (av.error.ConnectionRefusedError, "nothing listens there", "check address and port"),
    (av.error.ConnectionResetError, "cuts the connection", "is it restarting, or does it allow no more viewers?"),
    (av.error.EOFError, "ends the connection without an answer", "check the port, and that RTSP is switched on"),
)
"""What an error means, the more special first: libav tells a status of 400, 401, 403, 404, of others the hundred."""

_BROKEN = frozenset({errno.ECONNRESET, errno.EPIPE, errno.EIO})
_UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EACCES})


class StalledError(StreamError):
    """The camera is connected and silent."""


class RestlessError(StreamError):
    """The camera has kept this end at work until the time-out, and gave no stream."""


def restless(place: str) -> RestlessError:
    """It sends on in a circle, as fast as it is asked, or pours out what is no answer."""
    cure = "look for a redirection in the camera that leads back to itself; set a key frame every second or two"
    return RestlessError("answers without end, and gives no stream", place=place, cure=cure)


def no_answer(place: str) -> StreamError:
    """Nothing came back within the time-out."""
    return StreamError("no answer in time", place=place, cure="check power, network, address and port")


def translated(error: av.error.FFmpegError, address: Address, camera_id: str, *, connected: bool) -> StreamError:
    """Our error for libav's, whose own text holds the whole address. `connected`: the stream had begun."""
    place = f"{camera_id} {address}"
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        cure = "check user and password; the next try waits a minute, as some cameras lock the account"
        return StreamAuthError("refused the user or the password", place=place, cure=cure)
    if isinstance(error, av.error.ExitError | av.error.TimeoutError):
        if connected:
            return StalledError(SILENT, place=place, cure="check the camera and the network")
        return no_answer(place)
    problem, cure = _in_words(error, address, connected=connected)
    return StreamError(problem, place=place, cure=cure)


def _in_words(error: av.error.FFmpegError, address: Address, *, connected: bool) -> tuple[str, str]:
    """(problem, cure)."""
    if connected and (error.errno in _BROKEN or isinstance(error, av.error.EOFError)):
        return "the connection broke", "check the camera and the network"
    for kind, problem, cure in _SAID:
        if isinstance(error, kind):
            return problem, cure
    if error.errno in _UNREACHABLE:
        return "no way leads there", "check its address, and the box's cable, network and routes"
    if error.errno == errno.EIO:  # of libav's connecting, which says no more
        if address.scheme == "rtsps":
            return "no encrypted connection comes about", "check that the port is the one for rtsps, or write rtsp://"
        return "sends on to a name that is unknown", "look for a redirection in the camera, and give its aim as address"
    if error.errno == errno.EINVAL and not connected:
        if _lacks_interface(address):
            return "an address of one link does not say which", "write rtsp://[ADDRESS%INTERFACE]/, or another address"
        return "sends on to what is no RTSP address", "look for a redirection in the camera: only rtsp is followed"
    return address.hide(error.strerror or type(error).__name__).lower(), "see the camera"


def _lacks_interface(address: Address) -> bool:
    """Whether the host is a link-local IPv6 address without its interface."""
    try:
        host = ipaddress.IPv6Address(address.host_name)
    except ValueError:
        return False
    return host.is_link_local and not host.scope_id
