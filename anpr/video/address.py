"""A camera's address: what libav needs to connect, and the only forms of it that may be shown to anybody."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from anpr.errors import StreamError
from anpr.privacy import HIDDEN, redact

MOST_CREDENTIALS = 127
"""Characters of user, colon and password, percent-encoded: libav cuts off what is longer (rtsp.c, `auth`), and the
camera would refuse it."""
_PLAIN = "!$&'()*,;=~"
"""What stands in a password as it is (RFC 3986, sub-delims; but for the plus sign, which some take for a space)."""
_URL = re.compile(r"(?is)(rtsps?)://(.+)")
_HOST = re.compile(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[\w.\-]+)(?P<port>:\d+)?(?=[/?#]|$)")


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """An RTSP address taken apart; `repr` and `str` hide the user and the password."""

    scheme: str
    user: str
    """Plain, not percent-encoded; empty if none."""
    password: str
    host: str
    """Name or address with its port, if any."""
    path: str
    """From the first `/` or `?` on; may be empty."""

    @classmethod
    def parse(cls, location: str) -> Address:
        """Take `rtsp://user:password@host:port/path` apart.

        The password may hold `@ : / ? # %` as they are or percent-encoded. Where an `@` in the path makes that
        ambiguous, the last `@` with a dotted name, an address or a port behind it ends the password.

        Raises StreamError, without the address in it, if this is no RTSP address, or its secrets are too long.
        """
        match = _URL.fullmatch(location.strip())
        if match is None:
            raise StreamError("not an RTSP address", place=redact(location), cure="write rtsp://host:port/path")
        scheme, rest = match[1].lower(), match[2]
        userinfo, tail = _split_userinfo(rest)
        host = _HOST.match(tail)
        if host is None:
            raise StreamError(
                "the address has no host",
                place=f"{scheme}://{HIDDEN}",
                cure="write rtsp://user:password@host:port/path; percent-encode odd characters of the password",
            )
        user, _, password = userinfo.partition(":")
        address = cls(scheme, unquote(user), unquote(password), host[0], tail[host.end() :])
        if len(address.credentials) > MOST_CREDENTIALS:
            raise StreamError(
                f"user and password take more than {MOST_CREDENTIALS} characters",
                place=str(address),
                cure="give the camera shorter ones; accented letters count up to nine, most signs three",
            )
        return address

    @property
    def host_name(self) -> str:
        """The host without its port and brackets."""
        return self.host.removesuffix(self.port_suffix).strip("[]")

    @property
    def port_suffix(self) -> str:
        """`:554`; empty if none is given."""
        match = _HOST.fullmatch(self.host)
        return (match["port"] or "") if match else ""

    @property
    def url(self) -> str:
        """The whole address with its secrets percent-encoded: for libav only, never to be shown."""
        if not self.user and not self.password:
            return f"{self.scheme}://{self.host}{self.path}"
        return f"{self.scheme}://{self.credentials}@{self.host}{self.path}"

    @property
    def credentials(self) -> str:
        """User and password, percent-encoded where they must be: never to be shown."""
        return f"{quote(self.user, safe=_PLAIN)}:{quote(self.password, safe=_PLAIN)}"

    def hide(self, text: str) -> str:
        """`text` without this address's password in any spelling, and redacted."""
        for secret in {self.password, *(quote(self.password, safe=safe) for safe in ("", "/", _PLAIN))} - {""}:
            text = text.replace(secret, HIDDEN)
        return redact(text)

    def __str__(self) -> str:
        credentials = f"{HIDDEN}@" if self.user or self.password else ""
        return redact(f"{self.scheme}://{credentials}{self.host}{self.path}")

    def __repr__(self) -> str:
        return f"Address({self})"


def _split_userinfo(rest: str) -> tuple[str, str]:
    """(user and password, host and path) of what follows `://`."""
    before, at, after = rest.rpartition("@")
    if not at:
        return "", rest
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    plain_host = _HOST.fullmatch(authority) is not None
    host = _HOST.match(after)
    sure = host is not None and (host["port"] or "." in host["host"] or "[" in host["host"] or host[0] == "localhost")
    if sure and not plain_host:
        return before, after
    before, at, after = authority.rpartition("@")
    if at:
        return before, after + rest[len(authority) :]
    if plain_host:
        return "", rest
    before, _, after = rest.rpartition("@")
    return before, after
