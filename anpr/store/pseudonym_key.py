"""The key of the pseudonyms: 32 random bytes, made at the first use.

pseudonym.key_secret         the present key, as 64 hexadecimal digits, for its owner alone; no backup holds it
pseudonym.NAME.key_secret    keys from before: searches still know their pseudonyms

A key goes out of use by being renamed, and out of the world by being deleted: then nobody can tell any more which plate
a pseudonym is of. The next day that is written anew gets a new one.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from anpr.errors import StoreError
from anpr.plates.pseudonym import KEY_BYTES, Pseudonyms
from anpr.store.durable import sync_folder, write_file
from anpr.store.faults import told_as_store_errors

SECRET = "pseudonym.key_secret"
_EARLIER = "pseudonym.*.key_secret"


def present_key(store: Path) -> Pseudonyms:
    """The key of the store in this folder, made if there is none. Raises StoreError."""
    path = store / SECRET
    with told_as_store_errors(path):
        if not path.exists():
            half = path.with_name(f".{SECRET}.new")
            half.unlink(missing_ok=True)
            write_file(half, secrets.token_hex(KEY_BYTES).encode() + b"\n", mode=0o600)
            half.rename(path)
            sync_folder(store)
        return _read(path)


def all_keys(store: Path) -> tuple[Pseudonyms, ...]:
    """All keys that are there. Raises StoreError if there is none, or the asker may not read them."""
    with told_as_store_errors(store):
        found = [path for path in (store / SECRET, *sorted(store.glob(_EARLIER))) if path.exists()]
        if not found:
            raise StoreError("there is no key of pseudonyms", place=str(store / SECRET), cure="leave out --pseudonyms")
        return tuple(map(_read, found))


def _read(path: Path) -> Pseudonyms:
    with told_as_store_errors(path):
        if path.stat().st_mode & 0o077:
            raise StoreError("others may read the key of the pseudonyms", place=str(path), cure=f"chmod 600 {path}")
        if not os.access(path, os.R_OK):
            raise StoreError(
                "only the service's account may use the key of the pseudonyms",
                place=str(path),
                cure="ask as that account, or without --pseudonyms",
            )
        try:
            key = bytes.fromhex(path.read_text(encoding="ascii"))
        except ValueError:
            key = b""
    if len(key) != KEY_BYTES:
        raise StoreError(
            "the key of the pseudonyms is damaged",
            place=str(path),
            cure="put back your copy of it; or rename it, then a new one is made",
        )
    return Pseudonyms(key)
