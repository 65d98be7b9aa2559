"""What a site file says of its bus, as the bus takes it."""

from __future__ import annotations

from anpr.bus import BusOptions, Consumer, ServerKeys
from anpr.config.site import Bus


def bus_options(bus: Bus, *, live_only: bool = False) -> BusOptions:
    """With `live_only` there are no consumers: what is replayed is not the box's history."""
    keys = ServerKeys(bus.key_file, bus.clients) if bus.key_file and bus.clients else None
    consumers = tuple(
        Consumer(name=each.name, from_oldest=each.start == "oldest", most_per_second=each.most_per_second)
        for each in bus.consumers
    )
    return BusOptions(
        endpoint=bus.endpoint,
        reliable_endpoint=None if live_only else bus.reliable_endpoint,
        consumers=() if live_only else consumers,
        keys=keys,
        allow_unencrypted=bus.allow_unencrypted,
        most_connections=bus.most_connections,
    )
