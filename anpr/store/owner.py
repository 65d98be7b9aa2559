"""Whom a store belongs to: what root makes in it is given to that account, so that the box can open it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anpr.errors import StoreError

_NOT_LOOKED_AT = "evidence"
"""Of the store's folders: pictures, of which nothing but a box makes any."""


@contextmanager
def giving_to_owner(path: Path) -> Iterator[None]:
    """What belongs to root in the store's folder `path` when the block ends is the folder's owner's from then on.

    Raises StoreError, before anything is done, for an account that is neither root nor the owner; OSError.
    """
    owner, user_id = path.stat(), os.geteuid()
    if user_id not in (0, owner.st_uid):
        cure = f"ask as its owner (user id {owner.st_uid}), or as root"
        raise StoreError("the store belongs to another account", place=str(path), cure=cure)
    try:
        yield
    finally:
        for each in _all_in(path) if user_id != owner.st_uid else ():
            facts = each.lstat()
            linked = not stat.S_ISDIR(facts.st_mode) and facts.st_nlink > 1  # it may lie elsewhere, too
            if facts.st_uid == user_id and not linked:
                os.chown(each, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _all_in(path: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(path):
        if Path(folder) == path and _NOT_LOOKED_AT in folders:
            folders.remove(_NOT_LOOKED_AT)
        yield from (Path(folder, name) for name in (*folders, *files))
