"""Signs webhook requests as the Standard Webhooks specification does, so that ready-made libraries can verify them.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

_PREFIX = "whsec_"


def key_of(secret: str) -> bytes:
    """The key that a secret means: what follows `whsec_` is Base64, anything else stands for its own UTF-8 bytes.

    Raises ValueError if it is not Base64.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"what follows {_PREFIX} is not Base64") from error


def signature(key: bytes, *, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the Base64 of the HMAC-SHA256 of `id.timestamp.body`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
