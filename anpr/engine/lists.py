"""Keeps the hub's watch-lists those of their files while it runs.

A file that has changed and has then been the same for two looks is read, checked and indexed in a thread; the hub's
loop goes on, and takes the finished matcher by pointer. A file that is refused leaves the old list as it is.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import structlog

from anpr.clock import Clock
from anpr.config.signature import Signature, signature_of
from anpr.config.site import Listed
from anpr.engine.box import tell_left_out, tell_over_budget
from anpr.engine.kept_lists import MOST_TOLD, KeptLists
from anpr.errors import StoreError, WatchListError
from anpr.metrics import Counters
from anpr.privacy import masked
from anpr.watch.install import check_vanishing, is_forced
from anpr.watch.lists import Difference, WatchList, compare, load_list
from anpr.watch.matcher import Matcher

LOOK_SECONDS = 1.0
CLOSE_SECONDS = 2.0
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


@dataclass(slots=True)
class _Followed:
    """One list and what was last seen of its file."""

    listed: Listed
    handled: Signature | None
    """Of the content that was taken or refused."""
    seen: Signature | None = None
    """At the last look."""


@dataclass(slots=True)
class _Update:
    """What a thread has made of some changed files."""

    signatures: dict[str, Signature | None]
    taken: dict[str, tuple[WatchList, Difference]] = field(default_factory=dict)
    refused: dict[str, WatchListError] = field(default_factory=dict)
    unkept: dict[str, StoreError] = field(default_factory=dict)
    """Those taken of which no copy could be kept."""
    matcher: Matcher | None = None
    """None: nothing was taken."""
    failure: Exception | None = None
    """What should never happen; nothing was taken."""


class ListKeeper:
    """Follows the files of `[[lists]]`. Use from the hub's thread."""

    def __init__(self, listed: Sequence[Listed], hub: Hub, *, clock: Clock, kept: KeptLists | None = None) -> None:
        """`kept`: where the last good copies go; None: there are none."""
        self.refused = {each.name: each.refused for each in hub.matcher.lists if each.refused}
        """Of lists whose file is refused: the reason, without a plate."""
        self._kept = kept
        self._hub = hub
        self._clock = clock
        self._log = structlog.get_logger()
        loaded = {each.name: each.loaded_seconds for each in hub.matcher.lists if not each.refused}
        self._followed = [_Followed(each, _signature_at(each.file, loaded.get(each.name))) for each in listed]
        self._look_at_seconds = clock.monotonic_seconds() + LOOK_SECONDS
        self._asked = threading.Event()
        self._thread: threading.Thread | None = None
        self._update = _Update({})

    @property
    def busy(self) -> bool:
        """Whether a thread reads, or has read what `turn` has not taken yet."""
        return self._thread is not None

    def ask(self) -> None:
        """Have all files read anew at the next turn, changed or not. May be called from a signal's handler."""
        self._asked.set()

    def turn(self) -> None:
        """One round of the hub's loop: never waits."""
        if self._thread is not None:
            if not self._thread.is_alive():
                self._finish()
            return
        now = self._clock.monotonic_seconds()
        asked = self._asked.is_set()
        if not asked and now < self._look_at_seconds:
            return
        self._asked.clear()
        self._look_at_seconds = now + LOOK_SECONDS
        due = [each for each in self._followed if self._look(each) or asked]
        if due:
            self._begin(due)

    def close(self) -> None:
        """Wait a moment for a thread that reads; one that needs longer ends with the process, and nobody misses it."""
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
            self._thread = None

    def _look(self, followed: _Followed) -> bool:
        """Whether a file has changed and is at rest again."""
        before, followed.seen = followed.seen, signature_of(followed.listed.file)
        return followed.seen != followed.handled and followed.seen == before

    def _begin(self, due: Sequence[_Followed]) -> None:
        self._update = _Update({each.listed.name: each.seen for each in due})
        files = tuple(each.listed for each in due)
        self._thread = threading.Thread(
            target=_read, args=(files, self._hub.matcher, self._kept, self._update), name=THREAD_NAME, daemon=True
        )
        self._thread.start()

    def _finish(self) -> None:
        self.close()
        update = self._update
        for followed in self._followed:
            if followed.listed.name in update.signatures:
                followed.handled = update.signatures[followed.listed.name]
        if update.failure is not None:
            self._log.error("lists_failed", problem=repr(update.failure), exc_info=update.failure)
            self._hub.counters.add("lists_refused", reason="failure")
            self.refused |= dict.fromkeys(update.signatures, f"a fault of the program: {type(update.failure).__name__}")
            return
        if update.matcher is not None:
            self._hub.replace_matcher(update.matcher)
        for name, (watch_list, difference) in update.taken.items():
            self.refused.pop(name, None)
            self._hub.counters.add("lists_reloaded")
            self._log.info(
                "list_reloaded",
                list=name,
                version=watch_list.version,
                entries=len(watch_list.entries),
                difference=str(difference),
                left_out=watch_list.bad_rows,
            )
            tell_left_out(watch_list)
        tell_over_budget(self._hub.matcher, update.taken)
        for name, problem in update.unkept.items():
            self._log.warning("list_not_kept", list=name, problem=str(problem))
        for name, error in update.refused.items():
            self.refused[name] = masked(error.problem)
            self._hub.counters.add("lists_refused", reason="file")
            self._log.error(
                "list_refused", list=name, problem=error.problem, cure=error.cure, problems=error.problems[:MOST_TOLD]
            )


def _read(files: Sequence[Listed], matcher: Matcher, kept: KeptLists | None, update: _Update) -> None:
    """The thread: read and check the files, keep copies of them, and make the matcher that knows them."""
    try:
        lists = {each.name: each for each in matcher.lists}
        for listed in files:
            try:
                watch_list = load_list(listed.file, name=listed.name, head=listed)
                difference = compare(lists.get(listed.name, WatchList(listed.name, "", ())), watch_list)
                if not is_forced(listed.file):
                    check_vanishing(difference, place=str(listed.file))
            except WatchListError as error:
                update.refused[listed.name] = error
            else:
                update.taken[listed.name] = watch_list, difference
                _keep_copy(kept, listed, watch_list, update)
        if update.taken:
            lists |= {name: watch_list for name, (watch_list, _) in update.taken.items()}
            update.matcher = replace(matcher, lists=tuple(lists.values()), previous=matcher)
    except Exception as error:  # noqa: BLE001  # told by the hub's thread: a list must not end the box
        update.failure = error


def _keep_copy(kept: KeptLists | None, listed: Listed, watch_list: WatchList, update: _Update) -> None:
    try:
        if kept is not None:
            kept.keep(listed, watch_list)
    except StoreError as error:
        update.unkept[listed.name] = error


def _signature_at(file: Path, modified_seconds: float | None) -> Signature | None:
    """The file's, if it is still what was loaded."""
    try:
        return signature_of(file) if file.stat().st_mtime == modified_seconds else None
    except OSError:
        return None
