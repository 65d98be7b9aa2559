"""Keeps the hub's watch-lists those of their files while it runs.

A file that has changed is read, checked and indexed in a thread; the hub's loop goes on, and takes the finished matcher
by pointer. A file that is refused leaves the old list as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import structlog

from anpr.clock import Clock
from anpr.config.signature import Signature, signature_of
from anpr.config.site import Listed
from anpr.engine.box import tell_left_out, tell_over_budget
from anpr.engine.kept_lists import MOST_TOLD, KeptLists
from anpr.engine.lookout import Followed, Lookout, Reading
from anpr.errors import StoreError, WatchListError
from anpr.metrics import Counters
from anpr.privacy import masked
from anpr.watch.install import check_vanishing, is_forced
from anpr.watch.lists import Difference, WatchList, compare, load_list
from anpr.watch.matcher import Matcher

THREAD_NAME = "anpr-lists"


class Hub(Protocol):
    """What is asked of the hub."""

    @property
    def matcher(self) -> Matcher:
        """The one in use."""
        ...

    @property
    def counters(self) -> Counters:
        """Where reloads are counted."""
        ...

    def replace_matcher(self, matcher: Matcher) -> None:
        """Use another one from the next sighting on."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    """What a changed file says."""

    watch_list: WatchList
    difference: Difference
    unkept: StoreError | None = None
    """No copy of it could be kept."""


class ListKeeper:
    """Follows the files of `[[lists]]`. Use from the hub's thread."""

    def __init__(self, listed: Sequence[Listed], hub: Hub, *, clock: Clock, kept: KeptLists | None = None) -> None:
        """`kept`: where the last good copies go; None: there are none."""
        self.refused = {each.name: each.refused for each in hub.matcher.lists if each.refused}
        """Of lists whose file is refused: the reason, without a plate."""
        self._kept = kept
        self._hub = hub
        self._log = structlog.get_logger()
        self._fresh: Matcher | None = None
        """What the thread has made of changed files; or why it could make nothing."""
        self._failure: Exception | None = None
        loaded = {each.name: each.loaded_seconds for each in hub.matcher.lists if not each.refused}
        self.lookout = Lookout(
            {each.name: self._followed(each, loaded.get(each.name)) for each in listed},
            clock=clock,
            counters=hub.counters,
            thread_name=THREAD_NAME,
            kind="list ",
            then=self._index,
        )
        """Looks after the files."""

    def turn(self) -> bool:
        """One round of the hub's loop: never waits. True if other lists are in use now."""
        readings = self.lookout.turn()
        if not readings:
            return False
        fresh, failure, self._fresh, self._failure = self._fresh, self._failure, None, None
        if fresh is not None:
            self._hub.replace_matcher(fresh)
        for each in readings:
            error = each.error or failure
            if error is not None:
                self._refuse(each.name, error)
            elif each.content is not None:
                self._tell_taken(each.name, each.content)
        tell_over_budget(self._hub.matcher, [each.name for each in readings if not (each.error or failure)])
        return fresh is not None

    def _followed(self, listed: Listed, loaded_seconds: float | None) -> Followed[_Taken]:
        return Followed(
            mark=lambda: signature_of(listed.file),
            read=lambda: self._read(listed),
            handled=_signature_at(listed.file, loaded_seconds),
        )

    def _tell_taken(self, name: str, taken: _Taken) -> None:
        watch_list = taken.watch_list
        self.refused.pop(name, None)
        self._hub.counters.add("lists_reloaded")
        self._log.info(
            "list_reloaded",
            list=name,
            version=watch_list.version,
            entries=len(watch_list.entries),
            difference=str(taken.difference),
            left_out=watch_list.bad_rows,
        )
        tell_left_out(watch_list)
        if taken.unkept is not None:
            self._log.warning("list_not_kept", list=name, problem=str(taken.unkept))

    def _refuse(self, name: str, error: Exception) -> None:
        if isinstance(error, WatchListError):
            self.refused[name], reason = masked(error.problem), "file"
            self._log.error(
                "list_refused", list=name, problem=error.problem, cure=error.cure, problems=error.problems[:MOST_TOLD]
            )
        else:
            self.refused[name], reason = f"a fault of the program: {type(error).__name__}", "failure"
            self._log.error("lists_failed", list=name, problem=repr(error), exc_info=error)
        self._hub.counters.add("watchlist_reload_failed", reason=reason)

    # In the thread

    def _read(self, listed: Listed) -> _Taken:
        """Read and check a file, and keep a copy of it. Raises WatchListError."""
        watch_list = load_list(listed.file, name=listed.name, head=listed)
        old = {each.name: each for each in self._hub.matcher.lists}
        difference = compare(old.get(listed.name, WatchList(listed.name, "", ())), watch_list)
        if not is_forced(listed.file):
            check_vanishing(difference, place=str(listed.file))
        try:
            if self._kept is not None:
                self._kept.keep(listed, watch_list)
        except StoreError as error:
            return _Taken(watch_list, difference, unkept=error)
        return _Taken(watch_list, difference)

    def _index(self, readings: Sequence[Reading[_Taken]]) -> None:
        """Make the matcher that knows what was read."""
        matcher = self._hub.matcher
        taken = {each.name: each.content.watch_list for each in readings if each.content is not None}
        if not taken:
            return
        lists = {each.name: each for each in matcher.lists} | taken
        try:
            self._fresh = replace(matcher, lists=tuple(lists.values()), previous=matcher)
        except Exception as error:  # noqa: BLE001  # told by the hub's thread: a list must not end the box
            self._failure = error


def _signature_at(file: Path, modified_seconds: float | None) -> Signature | None:
    """The file's, if it is still what was loaded."""
    if modified_seconds is None:
        return None
    try:
        return signature_of(file) if file.stat().st_mtime == modified_seconds else None
    except OSError:
        return None
