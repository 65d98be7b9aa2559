"""A health report and the counters behind it as Prometheus metrics.

Every counter of the engine becomes `anpr_<name>_total` with its reason as a label, so a new counter needs nothing here,
unless an alert asks for it: then it must be there from the start, with 0, for its first rise to be seen. Labels are
names from the site file and reasons from the source: never a plate, an address or a process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from anpr.health.report import BoxHealth, CameraHealth, ConsumerHealth, KeepingHealth
from anpr.metrics import Counters, Histogram
from anpr.privacy import masked

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_RENAMED = {
    "connections_failed": "camera_reconnects",
    "connections_lost": "camera_reconnects",
    "sightings": "camera_sightings",
}
"""Two counters of one name would be one metric with two sums: these are told by their own names."""

_TAINTS = (
    "no key frame yet",
    "gap",
    "corrupt packet",
    "undecodable packet",
    "missing picture",
    "concealed picture",
    "time jump",
    "failed read",
)
_OF_CAMERAS: Mapping[str, tuple[str, ...]] = {
    "frames_received": ("",),
    "frames_decoded": ("",),
    "frames_inferred": ("",),
    "frames_dropped": ("overload", "stopped", "failed", "device memory"),
    "frames_tainted": _TAINTS,
    "connections_failed": (),
}
_OF_HUB: Mapping[str, tuple[str, ...]] = {
    "client_dropped": ("too many", "too talkative", "key taken away"),
    "history_dropped": ("full", "plate or id", "too many cameras or kinds"),
    "hits_told_volatile": ("INFO", "CHECK", "ALERT"),
    "judgements_failed": ("",),
    "keeping_failures": ("store",),
    "passages_turned_away": ("store failed",),
    "waits_dropped": ("",),
    "watchlist_reload_failed": ("file", "failure"),
}
"""Counters that are there from the start with these reasons; others come with their first event."""


def expose(
    report: BoxHealth,
    *,
    cameras: Mapping[str, Counters],
    hub: Counters,
    latency: Histogram,
    commit: Histogram,
    hits: Mapping[str, Histogram],
) -> bytes:
    """Prometheus' text format of `report`, the counters of each camera and of the hub, and how long things took.

    `hits`: by consumer, from a picture's arrival to the acknowledgement of its hit.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(tuple(_metrics(report, cameras, hub, latency, commit, hits))))
    return generate_latest(registry)


class _Collected(Collector):
    """Metrics that are ready."""

    def __init__(self, metrics: tuple[Metric, ...]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


def _metrics(
    report: BoxHealth,
    cameras: Mapping[str, Counters],
    hub: Counters,
    latency: Histogram,
    commit: Histogram,
    hits: Mapping[str, Histogram],
) -> Iterator[Metric]:
    info = InfoMetricFamily("anpr_build", "What runs here.")
    info.add_metric((), {"version": report.version, "box": report.box, "site": report.site})
    yield info
    yield _gauge("anpr_ready", "1 if the store is open and every camera's loop was started.", float(report.ready))
    yield _gauge("anpr_uptime_seconds", "Since the start.", report.uptime_seconds)
    yield _gauge("anpr_backlog_records", "Records that wait for the store.", report.backlog)
    yield _gauge("anpr_silent_files", "Lists and the like whose files do not answer.", len(report.silent_files))
    yield from _of_files(report.refused_files)
    yield from _of_clock(report)
    yield from _of_cameras(report.cameras, now=report.at_seconds)
    yield from _of_workers(report)
    yield from _of_store(report)
    if report.keeping is not None:
        yield from _of_keeping(report.keeping)
    yield from _of_consumers(report.consumers)
    text = "From a picture's arrival to its sighting's publication."
    yield _histograms("anpr_event_latency_seconds", text, {(): latency})
    yield _histograms("anpr_store_commit_seconds", "How long commits took.", {(): commit})
    text = "From a picture's arrival to the acknowledgement of its hit."
    yield _histograms("anpr_hit_latency_seconds", text, {(name,): each for name, each in hits.items()}, ("consumer",))
    yield from _counted("camera", cameras, _OF_CAMERAS)
    yield from _counted("", {"": hub}, _OF_HUB)
    committed = hub.counts.get(("events_committed", "sighting"), 0)
    yield _counter("anpr_sightings_committed", "Revisions of sightings on disk.", committed)


def _of_cameras(cameras: tuple[CameraHealth, ...], *, now: float) -> Iterator[Metric]:
    def gauge(name: str, text: str, values: Mapping[str, float]) -> Metric:
        family = GaugeMetricFamily(name, text, labels=("camera",))
        for camera, value in values.items():
            family.add_metric((camera,), value)
        return family

    yield gauge("anpr_camera_up", "1 while pictures come.", {each.id: float(each.up) for each in cameras})
    yield gauge("anpr_camera_watched", "1 while it is watched.", {each.id: float(each.gap is None) for each in cameras})
    yield gauge(
        "anpr_camera_frames_per_second", "Pictures decoded.", {each.id: each.frames_per_second for each in cameras}
    )
    yield gauge(
        "anpr_camera_last_frame_timestamp_seconds",
        "Wall time of the newest picture.",
        {each.id: now - each.last_frame_age_seconds for each in cameras if each.last_frame_age_seconds is not None},
    )
    states = GaugeMetricFamily("anpr_camera_state", "1 for the state of its connection.", labels=("camera", "state"))
    conditions = GaugeMetricFamily(
        "anpr_camera_condition", "1 for what is wrong with its pictures.", labels=("camera", "condition")
    )
    for each in cameras:
        states.add_metric((each.id, each.state), 1.0)
        conditions.add_metric((each.id, each.condition or "good"), 1.0)
    yield from (states, conditions)
    gaps = CounterMetricFamily("anpr_coverage_gap_seconds", "How long it was not watched.", labels=("camera", "reason"))
    for each in cameras:
        for reason, seconds in each.gap_seconds.items():
            gaps.add_metric((each.id, reason), seconds)
    yield gaps


def _of_workers(report: BoxHealth) -> Iterator[Metric]:
    deaths = CounterMetricFamily("anpr_worker_deaths", "Processes that died or hung.", labels=("worker",))
    cpu = CounterMetricFamily("anpr_worker_cpu_seconds", "CPU time used.", labels=("worker",))
    memory = GaugeMetricFamily("anpr_worker_memory_bytes", "Memory held.", labels=("worker",))
    for worker in report.workers:
        deaths.add_metric((worker.name,), worker.deaths)
        cpu.add_metric((worker.name,), worker.cpu_seconds)
        memory.add_metric((worker.name,), worker.memory_bytes)
    yield from (deaths, cpu, memory)
    capacity = report.capacity
    if capacity.cameras is not None and capacity.busy_share is not None and capacity.cpu_ms_per_frame is not None:
        yield _gauge("anpr_capacity_cameras", "Cameras like these that the box could carry.", capacity.cameras)
        yield _gauge("anpr_cpu_busy_ratio", "Share of the cores in use by anpr.", capacity.busy_share)
        yield _gauge("anpr_cpu_seconds_per_frame", "What a picture costs.", capacity.cpu_ms_per_frame / 1000)


def _of_store(report: BoxHealth) -> Iterator[Metric]:
    yield _gauge("anpr_store_map_used_ratio", "Share of the store's address space.", report.store.map_used_share)
    yield _gauge("anpr_store_readers", "Slots taken in the table of readers.", report.store.readers)
    yield _gauge("anpr_store_failing", "1 while the store refuses.", float(report.store.failing))
    yield _gauge("anpr_store_last_seq", "Number of the newest event.", report.store.last_seq)
    entries = GaugeMetricFamily("anpr_watchlist_entries", "Entries of a watch-list.", labels=("list",))
    age = GaugeMetricFamily("anpr_watchlist_age_seconds", "Since a watch-list was written.", labels=("list",))
    left_out = GaugeMetricFamily("anpr_watchlist_rows_left_out", "Bad rows of its file.", labels=("list",))
    for each in report.lists:
        entries.add_metric((each.name,), each.entries)
        age.add_metric((each.name,), each.age_seconds)
        left_out.add_metric((each.name,), each.left_out)
    yield from (entries, age, left_out)
    if report.rules is not None:
        rules = report.rules
        yield _gauge("anpr_rules_enabled", "Rules that are evaluated.", rules.enabled)
        yield _gauge("anpr_rules_failing", "Rules whose last evaluation ended in a fault.", len(rules.failing))
        yield _gauge("anpr_history_passages", "Passages that the rules' memory holds.", rules.passages)
        yield _gauge("anpr_history_seconds", "How far back it reaches.", rules.memory_seconds)
        yield _gauge("anpr_history_waiting", "Passages that rules with a wait have yet to judge.", rules.waiting)


def _of_files(refused: Mapping[str, str]) -> Iterator[Metric]:
    text = "1 while the newest content of files that are read again is in use, 0 while it is refused."
    success = GaugeMetricFamily("anpr_config_last_reload_success", text, labels=("of",))
    for name, why in refused.items():
        success.add_metric((name,), float(not why))
    yield success


def _of_clock(report: BoxHealth) -> Iterator[Metric]:
    yield _counter("anpr_clock_steps", "How often the wall clock was set.", report.clock_steps)
    clock = report.clock
    if clock is not None:
        yield _gauge("anpr_clock_synchronised", "1 while a time service keeps the clock.", float(clock.synchronised))
        yield _gauge("anpr_clock_error_seconds", "How wrong the clock may be at most.", clock.error_seconds)
        if clock.synchronised:
            yield _gauge(
                "anpr_clock_offset_seconds", "What the kernel still has to slew the clock by.", clock.offset_seconds
            )


def _of_consumers(consumers: tuple[ConsumerHealth, ...]) -> Iterator[Metric]:
    labels = ("consumer",)
    connected = GaugeMetricFamily("anpr_consumer_connected", "1 while a consumer is connected.", labels=labels)
    pending = GaugeMetricFamily("anpr_outbox_pending", "Events that it has not acknowledged.", labels=labels)
    oldest = GaugeMetricFamily("anpr_outbox_oldest_age_seconds", "Of the oldest of them.", labels=labels)
    size = GaugeMetricFamily("anpr_outbox_bytes", "On disk, of the days that hold such events.", labels=labels)
    acked = CounterMetricFamily("anpr_outbox_acked", "Events that it has acknowledged.", labels=labels)
    for each in consumers:
        connected.add_metric((each.name,), float(each.connected))
        pending.add_metric((each.name,), each.behind)
        acked.add_metric((each.name,), each.acknowledged)
        if each.oldest_age_seconds is not None:
            oldest.add_metric((each.name,), each.oldest_age_seconds)
        if each.waiting_bytes is not None:
            size.add_metric((each.name,), each.waiting_bytes)
    yield from (connected, pending, oldest, size, acked)


def _of_keeping(keeping: KeepingHealth) -> Iterator[Metric]:
    yield _gauge("anpr_disk_used_ratio", "Of what may be used, the reserve included.", keeping.disk_percent / 100)
    yield _gauge("anpr_disk_free_bytes", "That may still be used.", keeping.disk_free_bytes)
    level = GaugeMetricFamily("anpr_disk_level", "1 for how full the store's disk is.", labels=("level",))
    for name in ("ok", "early", "sparing", "reserve"):
        level.add_metric((name,), float(name == keeping.disk_level))
    yield level
    yield _gauge("anpr_disk_reserve_held", "1 while the reserve is there.", float(keeping.reserve_held))
    yield _gauge(
        "anpr_disk_nothing_to_purge", "1 if the disk fills and nothing may go.", float(keeping.nothing_to_purge)
    )
    yield _gauge("anpr_retention_clock_trusted", "1 while the clock may say what is old.", float(keeping.clock_trusted))
    yield _gauge("anpr_holds", "Legal holds.", keeping.holds)
    yield _gauge("anpr_purging", "1 while something is being purged.", float(bool(keeping.purging)))
    if keeping.oldest_seconds is not None:
        yield _gauge("anpr_store_oldest_timestamp_seconds", "End of the oldest day kept.", keeping.oldest_seconds)


def _counted(owner: str, counters: Mapping[str, Counters], known: Mapping[str, tuple[str, ...]]) -> Iterator[Metric]:
    """All counters, each name a metric with the labels `owner` (if any) and `reason`; `known` are there anyway."""
    labels: tuple[str, ...] = (owner, "reason") if owner else ("reason",)
    sums: dict[str, dict[tuple[str, ...], int]] = {
        _RENAMED.get(name, name): {(who, reason) if owner else (reason,): 0 for who in counters for reason in reasons}
        for name, reasons in known.items()
    }
    for who, counted in counters.items():
        for (name, reason), count in counted.counts.items():
            shown = masked(reason)
            key: tuple[str, ...] = (who, shown) if owner else (shown,)
            of_name = sums.setdefault(_RENAMED.get(name, name), {})
            of_name[key] = of_name.get(key, 0) + count
    for name, counts in sorted(sums.items()):
        family = CounterMetricFamily(f"anpr_{name}", "See the table of counters in docs/operate.md.", labels=labels)
        for key, count in sorted(counts.items()):
            family.add_metric(key, count)
        yield family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _histograms(
    name: str, text: str, histograms: Mapping[tuple[str, ...], Histogram], labels: tuple[str, ...] = ()
) -> Metric:
    """One for each set of values of `labels`."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, histogram in histograms.items():
        buckets: list[tuple[str, float]] = []
        reached = 0
        for bound, count in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
            reached += count
            buckets.append((bound, reached))
        family.add_metric(values, buckets, histogram.sum)
    return family
