"""Opens what a hub needs, from a site file: the store, the lists, the publisher."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import structlog

from anpr.bus import Bus, BusOptions
from anpr.clock import Clock
from anpr.config.signature import silent_among
from anpr.config.site import VEHICLES_PER_DAY, Listed, Site
from anpr.engine.copies import forget_copies
from anpr.engine.data_keeper import keep_data
from anpr.engine.hub import Hub
from anpr.engine.judge import Judge
from anpr.engine.kept_lists import MOST_TOLD, KeptLists
from anpr.errors import StoreError, WatchListError
from anpr.metrics import Counters
from anpr.privacy import Private
from anpr.records import Event
from anpr.rules.data import COPIES, RuleData
from anpr.rules.opening import open_rules
from anpr.store import Store
from anpr.store.disk import DiskWatch
from anpr.store.keeper import Keeper
from anpr.store.migration import BACKUP
from anpr.store.retention import DAY_SECONDS, Policy
from anpr.watch.lists import WatchList, load_list
from anpr.watch.matcher import Matcher


def load_lists(lists: Sequence[Listed], kept: KeptLists | None = None) -> tuple[WatchList, ...]:
    """The watch-lists that a site file names, or their last good copies as `KeptLists.open` gives them.

    Raises WatchListError with the problems of all that are refused and have no copy.
    """
    loaded: list[WatchList] = []
    problems: list[str] = []
    silent = silent_among(listed.file for listed in lists) if kept else ()
    for listed in lists:
        try:
            if kept:
                loaded.append(kept.open(listed, answers=listed.file not in silent))
            else:
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
        first = [Private(str(each), masked=each.masked) for each in watch_list.problems[:MOST_TOLD]]
        log = structlog.get_logger()
        log.warning("list_rows_left_out", list=watch_list.name, rows=watch_list.bad_rows, problems=first)


def tell_over_budget(matcher: Matcher, names: Collection[str]) -> None:
    """Log which of these lists no threshold keeps within their budgets of false hits."""
    budgets = {each.name: each.false_hits_per_day for each in matcher.lists}
    for name, expected in matcher.over_budget.items():
        if name in names:
            structlog.get_logger().warning(
                "list_over_budget", list=name, expected_per_day=round(expected, 2), budget_per_day=budgets[name]
            )


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
    keep: Policy | None = None,
    clock: Clock,
    live: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> Iterator[Hub]:
    """A hub that is ready to take passages; what it still holds when the block ends is stored and published.

    `endpoint` None publishes nothing; `bus` says more than an endpoint. `rules_of` is the site whose rules are
    evaluated, if it has any; they go by the clock if passages are `live`, else by the passages' own times. `keep` None
    keeps everything, and looks at no disk. Raises WatchListError, ConfigError, StoreError or BusError.
    """
    kept = KeptLists.of_store(store)
    matcher = Matcher(load_lists(lists, kept), vehicles_per_day=vehicles_per_day)
    tell_over_budget(matcher, [each.name for each in lists])
    with ExitStack() as opened:
        if keep is not None:
            DiskWatch(store, keep.disk, clock=clock, counters=Counters()).make_room()
        opened_store = opened.enter_context(Store.open(store, clock=clock, box=box))
        if opened_store.migrated_from is not None:
            copy = str(opened_store.path / BACKUP)
            structlog.get_logger().warning("store_made_new", schema_before=opened_store.migrated_from, copy=copy)
        _keep_copies(kept, lists, matcher.lists)
        if bus is None and endpoint is not None:
            bus = BusOptions(endpoint=endpoint, allow_unencrypted=allow_unencrypted)
        publisher = None
        if bus is not None:
            publisher = opened.enter_context(
                Bus(bus, box=box, epoch=opened_store.epoch, log=opened_store.outbox, clock=clock)
            )
        judge = opened.enter_context(_open_judge(rules_of, opened_store, clock, live)) if rules_of else None
        keeper = None
        if keep is not None:
            _tell_short_memory(judge, keep)
            consumers = [consumer.name for consumer in bus.consumers] if bus is not None else []
            keeper = opened.enter_context(closing(Keeper(opened_store, keep, clock=clock, consumers=consumers)))
        hub = Hub(opened_store, matcher, publisher, clock=clock, judge=judge, keeper=keeper, on_event=on_event)
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


def _tell_short_memory(judge: Judge | None, keep: Policy) -> None:
    """Log if rules look back further than passages keep their plates: after a restart they know no more than that."""
    look_back_seconds = max(judge.book.plate_seconds, judge.book.camera_seconds) if judge is not None else 0.0
    if look_back_seconds > keep.retention.plates_days * DAY_SECONDS:
        days = round(look_back_seconds / DAY_SECONDS, 1)
        log = structlog.get_logger()
        log.warning("rules_look_back_too_far", days=days, passages_days=keep.retention.plates_days)


def _keep_copies(kept: KeptLists, lists: Sequence[Listed], loaded: Sequence[WatchList]) -> None:
    """Keep the last good copies of the lists, and of no others. If they cannot be written, the box does without."""
    try:
        for listed, whole in zip(lists, loaded, strict=True):
            if not whole.refused:
                kept.keep(listed, whole)
        kept.forget(but=lists)
    except StoreError as error:
        structlog.get_logger().warning("list_not_kept", problem=str(error))


@contextmanager
def _open_judge(site: Site, store: Store, clock: Clock, live: bool) -> Iterator[Judge | None]:
    """The judge by the site's rules, None if it has none, with a memory of what the store holds."""
    rules = open_rules(site, clock=clock)
    if rules is None or site.rules is None:
        _forget_data(store.path)
        yield None
        return
    with closing(rules):
        _keep_data(rules.data, store.path)
        yield Judge(
            rules.book,
            store,
            lateness_seconds=site.rules.lateness,
            clock=clock if live else None,
            others=(rules.lookups.counters, rules.declarations.counters),
            reload=rules.reload,
            silent_of=rules.silent_of,
            data=rules.data,
        )


def _forget_data(store: Path) -> None:
    """There are no rules any more, and what they asked is not kept without a reason."""
    try:
        forget_copies(store / COPIES, set())
    except StoreError as error:
        structlog.get_logger().warning("rule_data_not_kept", problem=str(error))


def _keep_data(data: Sequence[RuleData], store: Path) -> None:
    """Keep the last good copies of what rules ask, and no others. If they cannot be written, the box does without."""
    try:
        for each in data:
            if not each.refused:
                keep_data(each, each.signature)
        forget_copies(store / COPIES, {each.copy.name for each in data})
    except StoreError as error:
        structlog.get_logger().warning("rule_data_not_kept", problem=str(error))
