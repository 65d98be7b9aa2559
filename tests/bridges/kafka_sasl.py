"""Asks who somebody is before it lets them through to a broker: SASL as Kafka speaks it, PLAIN and SCRAM-SHA-512.

The stand-in cluster knows no users. Each connection is asked here, by RFC 4616 and RFC 5802, and then passed on.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
from collections.abc import Callable

API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE = 18, 17, 36
WRONG_PASSWORD = 58
ITERATIONS = 4096

Read = Callable[[int], bytes]
"""So many bytes, or EOFError."""


class NotLetInError(Exception):
    """The client did not show that it knows the password."""


class Porter:
    """Knows one user."""

    def __init__(self, user: str, password: str) -> None:
        self.mechanisms: list[str] = []
        """Those that were asked for."""
        self._user = user
        self._password = password.encode()

    def greet(self, read: Read, write: Callable[[bytes], None], ask_broker: Callable[[bytes], bytes]) -> None:
        """Talk to a client until it is let in. `ask_broker` gives a broker's answer to a request.

        Raises NotLetInError.
        """
        mechanism = ""
        scram: Scram | None = None
        while True:
            size = struct.unpack(">i", read(4))[0]
            request = read(size)
            api, version, correlation, name_length = struct.unpack_from(">hhih", request)
            body = request[10 + max(0, name_length) :]
            head = struct.pack(">i", correlation)
            if api == API_VERSIONS:
                answer = _with_sasl(ask_broker(request))
                write(struct.pack(">i", len(answer)) + answer)
                continue
            if api == SASL_HANDSHAKE:
                mechanism = body[2 : 2 + struct.unpack_from(">h", body)[0]].decode()
                self.mechanisms.append(mechanism)
                names = b"".join(struct.pack(">h", len(each)) + each for each in (b"PLAIN", b"SCRAM-SHA-512"))
                answer = head + struct.pack(">hi", 0, 2) + names
                write(struct.pack(">i", len(answer)) + answer)
                continue
            assert api == SASL_AUTHENTICATE, f"request {api} before anybody was let in"
            token = body[4 : 4 + struct.unpack_from(">i", body)[0]]
            if mechanism == "PLAIN":
                right, reply, done = token == b"\0".join((b"", self._user.encode(), self._password)), b"", True
            else:
                scram = scram or Scram(self._user, self._password)
                right, reply, done = scram.answer(token)
            text = b"" if right else b"Authentication failed"
            answer = head + struct.pack(">h", 0 if right else WRONG_PASSWORD)
            answer += struct.pack(">h", len(text) if text else -1) + text
            answer += struct.pack(">i", len(reply)) + reply + (struct.pack(">q", 0) if version >= 1 else b"")
            write(struct.pack(">i", len(answer)) + answer)
            if not right:
                raise NotLetInError
            if done:
                return


class Scram:
    """The server's side of SCRAM-SHA-512."""

    def __init__(self, user: str, password: bytes) -> None:
        self._user = user
        self._salt = secrets.token_bytes(16)
        self._salted = hashlib.pbkdf2_hmac("sha512", password, self._salt, ITERATIONS)
        self._first = ""
        self._server_first = ""

    def answer(self, token: bytes) -> tuple[bool, bytes, bool]:
        """Whether all is right so far, what to reply, and whether that was the end."""
        text = token.decode()
        if not self._first:
            self._first = text.split(",", 2)[2]
            fields = dict(part.split("=", 1) for part in self._first.split(","))
            salt = base64.b64encode(self._salt).decode()
            self._server_first = f"r={fields['r']}{secrets.token_hex(8)},s={salt},i={ITERATIONS}"
            return fields["n"] == self._user, self._server_first.encode(), False
        without, _, proof = text.rpartition(",p=")
        message = ",".join((self._first, self._server_first, without)).encode()
        client_key = hmac.digest(self._salted, b"Client Key", "sha512")
        signature = hmac.digest(hashlib.sha512(client_key).digest(), message, "sha512")
        expected = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        server = hmac.digest(hmac.digest(self._salted, b"Server Key", "sha512"), message, "sha512")
        right = hmac.compare_digest(expected, base64.b64decode(proof))
        return right, b"v=" + base64.b64encode(server), True


def _with_sasl(answer: bytes) -> bytes:
    """A broker's answer on what it speaks, with SASL added; a refusal of the question's version stays as it is."""
    error, count = struct.unpack_from(">hi", answer, 4)
    if error:
        return answer
    more = b"".join(struct.pack(">hhh", api, 0, 1) for api in (SASL_HANDSHAKE, SASL_AUTHENTICATE))
    end = 10 + 6 * count
    return answer[:6] + struct.pack(">i", count + 2) + answer[10:end] + more + answer[end:]
