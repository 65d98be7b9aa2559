"""The last good copy of each watch-list, in the store's folder: with it a box starts whose list file is bad or gone.

A copy is made when a list is accepted, with the time of its file; one of a list that the site no longer names is
removed. It is told loudly when a copy stands in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from anpr.config.site import Listed
from anpr.engine.copies import forget_copies, is_copy_of, keep_copy
from anpr.errors import WatchListError
from anpr.privacy import masked
from anpr.watch.install import check_vanishing, is_forced
from anpr.watch.lists import WatchList, compare, load_list

FOLDER = "lists"
"""In the store's folder."""
MOST_TOLD = 5
"""Problems of a list that are logged one by one."""


@dataclass(frozen=True, slots=True)
class KeptLists:
    """The copies in one folder. Only who may write to the store may `keep` and `forget`."""

    folder: Path

    @classmethod
    def of_store(cls, store: Path) -> KeptLists:
        """The copies that belong to a store."""
        return cls(store / FOLDER)

    def open(self, listed: Listed, *, answers: bool = True) -> WatchList:
        """The list of a site file, or its last good copy if its file is refused; `WatchList.refused` then says why.

        A file is refused if it is wrong, or if the file system does not `answers`, or if too much of the copy's plates
        are not in it and nobody has forced it. Raises WatchListError if it is refused and there is no copy.
        """
        try:
            if not answers:
                cure = "is the network share there that it lies on?"
                raise WatchListError("does not answer", place=str(listed.file), cure=cure)
            watch_list = load_list(listed.file, name=listed.name, head=listed)
            if not is_copy_of(listed.file, self._path(listed)) and not is_forced(listed.file):
                copy = self._load(listed)
                if copy is not None:
                    check_vanishing(compare(copy, watch_list), place=str(listed.file))
        except WatchListError as error:
            copy = self._load(listed)
            if copy is None:
                raise
            structlog.get_logger().error(
                "list_stands_in",
                list=listed.name,
                version=copy.version,
                entries=len(copy.entries),
                problem=error.problem,
                problems=error.problems[:MOST_TOLD],
            )
            return replace(copy, refused=masked(error.problem))
        return watch_list

    def keep(self, listed: Listed, watch_list: WatchList) -> bool:
        """Copy the file that `watch_list` was read from, durably; False if that file is another one by now.

        Raises StoreError.
        """
        return keep_copy(listed.file, self._path(listed), lambda status: status.st_mtime == watch_list.loaded_seconds)

    def forget(self, but: Sequence[Listed]) -> None:
        """Remove the copies of all other lists. Raises StoreError."""
        forget_copies(self.folder, {self._path(listed).name for listed in but})

    def _load(self, listed: Listed) -> WatchList | None:
        """The copy of a list; None if there is none that can be read."""
        try:
            return load_list(self._path(listed), name=listed.name, head=listed)
        except WatchListError:
            return None

    def _path(self, listed: Listed) -> Path:
        return self.folder / f"{listed.name}{listed.file.suffix.lower()}"
