"""Tells which rules can never be true at a site: at a live box's start, and when a reload has changed the answer."""

from __future__ import annotations

from typing import Protocol

import structlog

from anpr.clock import Clock
from anpr.engine.judge import Judge
from anpr.watch.limits import Limits
from anpr.watch.matcher import Matcher


class Hub(Protocol):
    """What is asked of the hub."""

    @property
    def judge(self) -> Judge | None:
        """Who judges by the rules; None: there are none."""
        ...

    @property
    def matcher(self) -> Matcher:
        """Who asks the lists."""
        ...


class SilentRules:
    """What was told last. Use from the hub's thread."""

    def __init__(self, hub: Hub, *, site_id: str, clock: Clock) -> None:
        """Tells those of the start, if there are any."""
        self._hub = hub
        self._site_id = site_id
        self._clock = clock
        self._told: tuple[str, ...] = ()
        self.look()

    def look(self) -> None:
        """Other rules, lists or registers are in use now: tell the silent rules if they are others than before."""
        judge = self._hub.judge
        if judge is None or judge.silent_of is None:
            return
        lists = [each.name for each in self._hub.matcher.lists if self._may_match(each.limits)]
        silent = judge.silent_of(judge.book, lists)
        if silent != self._told:
            self._told = silent
            structlog.get_logger().warning("rules_silent", rules=silent)

    def _may_match(self, limits: Limits) -> bool:
        """Whether a list can match anything at the site from now on."""
        here = not limits.sites or self._site_id in limits.sites
        until_seconds = limits.valid_until_seconds
        return here and (until_seconds is None or until_seconds > self._clock.wall_seconds())
