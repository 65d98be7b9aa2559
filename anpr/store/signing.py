"""The box's own key, by which it signs what it has seen: Ed25519 (RFC 8032), made at the first start.

evidence.key_secret   PKCS#8, PEM, for its owner alone; never leaves the box, not with a backup either
evidence.key          the public half, PEM, to give away
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from anpr.errors import StoreError
from anpr.store.durable import sync_folder, write_file
from anpr.store.faults import told_as_store_errors

SECRET = "evidence.key_secret"
PUBLIC = "evidence.key"


class SigningKey:
    """Both halves of the box's key."""

    def __init__(self, secret: Ed25519PrivateKey, *, made: bool) -> None:
        self.public = secret.public_key().public_bytes_raw()
        """32 bytes."""
        self.made = made
        """Whether it was made now."""
        self._secret = secret

    def __repr__(self) -> str:
        return f"SigningKey({fingerprint(self.public)})"

    @classmethod
    def open(cls, store: Path) -> SigningKey:
        """The key of the store in this folder, made if there is none; the public half is written beside it.

        Raises StoreError if the secret is damaged, or others may read it.
        """
        path = store / SECRET
        with told_as_store_errors(path):
            made = not path.exists()
            if made:
                content = Ed25519PrivateKey.generate().private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
                _replace(path, content, mode=0o600)
            if path.stat().st_mode & 0o077:
                raise StoreError(
                    "others may read the key that signs evidence", place=str(path), cure=f"chmod 600 {path}"
                )
            secret = _read_secret(path)
            key = cls(secret, made=made)
            shown, pem = store / PUBLIC, public_pem(key.public)
            if not shown.exists() or shown.read_bytes() != pem:
                _replace(shown, pem, mode=0o644)
        return key

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._secret.sign(message)


def is_signed(message: bytes, signature: bytes, public: bytes) -> bool:
    """Whether the owner of a public key signed the message. Raises ValueError if `public` is no key."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def public_pem(public: bytes) -> bytes:
    """A public key as a file."""
    return Ed25519PublicKey.from_public_bytes(public).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def read_public(path: Path) -> bytes:
    """The 32 bytes of a public key's file. Raises StoreError."""
    with told_as_store_errors(path):
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except ValueError as error:
            raise StoreError("is no public key", place=str(path), cure=f"give the box's {PUBLIC}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise StoreError("is no Ed25519 key", place=str(path), cure=f"give the box's {PUBLIC}")
    return key.public_bytes_raw()


def fingerprint(public: bytes) -> str:
    """What people compare by telephone: 128 bits of the key's SHA-256 in groups of four."""
    digits = hashlib.sha256(public).hexdigest()[:32]
    return " ".join(digits[at : at + 4] for at in range(0, 32, 4))


def _read_secret(path: Path) -> Ed25519PrivateKey:
    try:
        secret = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise StoreError(
            "the key that signs evidence is damaged",
            place=str(path),
            cure="put back your copy of it; or move it away, then a new one is made",
        ) from error
    if not isinstance(secret, Ed25519PrivateKey):
        raise StoreError("is no Ed25519 key", place=str(path), cure="move it away, then a new one is made")
    return secret


def _replace(path: Path, content: bytes, *, mode: int) -> None:
    half = path.with_name(f".{path.name}.new")
    half.unlink(missing_ok=True)
    write_file(half, content, mode=mode)
    half.replace(path)
    sync_folder(path.parent)
