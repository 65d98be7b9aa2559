"""Opens what a hub needs, from a site file: the store, the lists, the publisher."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import structlog

from anpr.bus import Bus, BusOptions
from anpr.clock import Clock
from anpr.config.site import VEHICLES_PER_DAY, Listed, Site
from anpr.engine.hub import Hub
from anpr.engine.judge import Judge
from anpr.errors import WatchListError
from anpr.records import Event
from anpr.rules.opening import open_rules
from anpr.store import Store
from anpr.watch.lists import WatchList, load_list
from anpr.watch.matcher import Matcher

MOST_TOLD = 5
"""Problems of a list that are logged one by one."""


def load_lists(lists: Sequence[Listed]) -> tuple[WatchList, ...]:
    """The watch-lists that a site file names. Raises WatchListError with the problems of all of them."""
    loaded: list[WatchList] = []
    problems: list[str] = []
    for listed in lists:
        try:
            loaded.append(load_list(listed.file, name=listed.name, head=listed))
        except WatchListError as error:
            problems.extend(error.problems)
    for each in loaded:
        tell_left_out(each)
    if problems:
        raise WatchListError(f"{len(problems)} problems in the watch-lists", problems=tuple(problems))
    return tuple(loaded)


def tell_left_out(watch_list: WatchList) -> None:
    """Log the bad rows that a list does without."""
    if watch_list.bad_rows:
        first = [str(problem) for problem in watch_list.problems[:MOST_TOLD]]
        log = structlog.get_logger()
        log.warning("list_rows_left_out", list=watch_list.name, rows=watch_list.bad_rows, problems=first)


@contextmanager
def open_hub(
    *,
    box: str,
    store: Path,
    endpoint: str | None,
    allow_unencrypted: bool = False,
    bus: BusOptions | None = None,
    lists: Sequence[Listed],
    vehicles_per_day: float = VEHICLES_PER_DAY,
    rules_of: Site | None = None,
    clock: Clock,
    on_event: Callable[[Event], None] | None = None,
) -> Iterator[Hub]:
    """A hub that is ready to take passages; what it still holds when the block ends is stored and published.

    `endpoint` None publishes nothing; `bus` says more than an endpoint. `rules_of` is the site whose rules are
    evaluated, if it has any. Raises WatchListError, ConfigError, StoreError or BusError.
    """
    matcher = Matcher(load_lists(lists), vehicles_per_day=vehicles_per_day)
    with ExitStack() as opened:
        opened_store = opened.enter_context(Store.open(store, clock=clock, box=box))
        if bus is None and endpoint is not None:
            bus = BusOptions(endpoint=endpoint, allow_unencrypted=allow_unencrypted)
        publisher = None
        if bus is not None:
            publisher = opened.enter_context(
                Bus(bus, box=box, epoch=opened_store.epoch, log=opened_store.outbox, clock=clock)
            )
        judge = opened.enter_context(_open_judge(rules_of, opened_store, clock)) if rules_of else None
        hub = Hub(opened_store, matcher, publisher, clock=clock, judge=judge, on_event=on_event)
        structlog.get_logger().info(
            "hub_opened",
            box=box,
            store=str(store),
            epoch=opened_store.epoch,
            last_seq=opened_store.last_seq,
            endpoint=publisher.endpoint if publisher else "",
            reliable_endpoint=publisher.reliable_endpoint if publisher else "",
            lists=[f"{each.name} {each.version}, {len(each.entries)} entries" for each in matcher.lists],
            rules=judge.health.enabled if judge else 0,
        )
        try:
            yield hub
        finally:
            hub.finish()


@contextmanager
def _open_judge(site: Site, store: Store, clock: Clock) -> Iterator[Judge | None]:
    """The judge by the site's rules, None if it has none, with a memory of what the store holds."""
    rules = open_rules(site, clock=clock)
    if rules is None or site.rules is None:
        yield None
        return
    with closing(rules):
        asked = (rules.lookups.counters, rules.declarations.counters)
        yield Judge(rules.book, store, lateness_seconds=site.rules.lateness, others=asked)
