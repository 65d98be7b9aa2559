"""Opens what a hub needs, from a site file: the store, the lists, the publisher."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog

from anpr.bus.publisher import Publisher
from anpr.clock import Clock
from anpr.config.site import Listed
from anpr.engine.hub import Hub
from anpr.errors import WatchListError
from anpr.records import Event
from anpr.store import Store
from anpr.watch.lists import WatchList, load_csv
from anpr.watch.matcher import Matcher


def load_lists(lists: Sequence[Listed]) -> tuple[WatchList, ...]:
    """The watch-lists that a site file names. Raises WatchListError with the problems of all of them."""
    loaded: list[WatchList] = []
    problems: list[str] = []
    for listed in lists:
        try:
            loaded.append(
                load_csv(
                    listed.file,
                    name=listed.name,
                    purpose=listed.purpose,
                    authority=listed.authority,
                    severity=listed.severity,
                )
            )
        except WatchListError as error:
            problems.extend(error.problems)
    if problems:
        raise WatchListError(f"{len(problems)} problems in the watch-lists", problems=tuple(problems))
    return tuple(loaded)


@contextmanager
def open_hub(
    *,
    box: str,
    store: Path,
    endpoint: str | None,
    allow_unencrypted: bool = False,
    lists: Sequence[Listed],
    clock: Clock,
    on_event: Callable[[Event], None] | None = None,
) -> Iterator[Hub]:
    """A hub that is ready to take passages; what it still holds when the block ends is stored and published.

    `endpoint` None publishes nothing. Raises WatchListError, StoreError or BusError.
    """
    matcher = Matcher(load_lists(lists))
    with ExitStack() as opened:
        opened_store = opened.enter_context(Store.open(store, clock=clock, box=box))
        publisher = None
        if endpoint is not None:
            publisher = opened.enter_context(
                Publisher(
                    endpoint,
                    box=box,
                    epoch=opened_store.epoch,
                    clock=clock,
                    last_seq=opened_store.last_seq,
                    allow_unencrypted=allow_unencrypted,
                )
            )
        hub = Hub(opened_store, matcher, publisher, clock=clock, on_event=on_event)
        structlog.get_logger().info(
            "hub_opened",
            box=box,
            store=str(store),
            epoch=opened_store.epoch,
            last_seq=opened_store.last_seq,
            endpoint=publisher.endpoint if publisher else "",
            lists=[f"{each.name} {each.version}, {len(each.entries)} entries" for each in matcher.lists],
        )
        try:
            yield hub
        finally:
            hub.finish()
