"""The dashboard and the alert rules name only metrics that a box has; the unit starts what it should."""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from making_health import box_health
from prometheus_client.parser import text_string_to_metric_families

from anpr import assets
from anpr.health.exposition import expose
from anpr.metrics import Counters, Histogram

CONFIGS = assets.folder("configs")
ROOT = Path(__file__).parents[2]


ASKED_FOR = (
    "anpr_camera_up",
    "anpr_camera_last_frame_timestamp_seconds",
    "anpr_camera_reconnects_total",
    "anpr_frames_received_total",
    "anpr_frames_decoded_total",
    "anpr_frames_inferred_total",
    "anpr_frames_dropped_total",
    "anpr_frames_tainted_total",
    "anpr_coverage_gap_seconds_total",
    "anpr_sightings_committed_total",
    "anpr_outbox_pending",
    "anpr_outbox_oldest_age_seconds",
    "anpr_outbox_bytes",
    "anpr_outbox_acked_total",
    "anpr_hit_latency_seconds",
    "anpr_client_dropped_total",
    "anpr_store_map_used_ratio",
    "anpr_store_readers",
    "anpr_store_commit_seconds",
    "anpr_clock_offset_seconds",
    "anpr_clock_steps_total",
    "anpr_watchlist_entries",
    "anpr_watchlist_age_seconds",
    "anpr_watchlist_reload_failed_total",
    "anpr_config_last_reload_success",
    "anpr_build_info",
)
"""Names that others have written into their dashboards: they stay."""


def told(counted: Counters) -> str:
    """What `/metrics` says of a box whose camera has counted this, and whose hub nothing."""
    text = expose(
        box_health(),
        cameras={"a": counted},
        hub=Counters(),
        latency=Histogram(),
        commit=Histogram(),
        hits={"ioc": Histogram()},
    )
    return text.decode()


def samples_of(text: str) -> dict[str, list[dict[str, str]]]:
    """The labels of all samples, by their name."""
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


@pytest.fixture(scope="module")
def metrics() -> set[str]:
    """The names of all samples of a box that has seen everything."""
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "anpr").rglob("*.py"))
    names = set(re.findall(r'counters\.add\(\s*"(\w+)"', source))
    return set(samples_of(told(Counters({(name, "some"): 1 for name in names}))))


def test_every_name_that_was_asked_for_is_there_before_anything_has_happened() -> None:
    described = set(re.findall(r"^# TYPE (\w+)", told(Counters()), re.M))
    assert [name for name in ASKED_FOR if name not in described] == []
    text = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
    assert [name for name in ASKED_FOR if f"`{name}`" not in text] == []


def test_a_counter_that_an_alert_watches_is_there_from_the_start_with_0() -> None:
    """Else its first rise, from nothing to one, would be none to Prometheus."""
    samples = samples_of(told(Counters()))
    watched = [
        (name, dict(re.findall(r'(\w+)="(\w+)"', labels)))
        for expression in expressions("alerts")
        for name, labels in re.findall(r"\b(anpr_\w+_total)(\{.*?\})?", expression)
    ]
    assert len(watched) > 10
    for name, labels in watched:
        assert any(labels.items() <= each.items() for each in samples.get(name, [])), (name, labels)


def test_the_reasons_that_are_there_from_the_start_are_those_of_the_program() -> None:
    """A reason that is not would appear with its first event, and the alert would miss that."""
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "anpr").rglob("*.py"))
    samples = samples_of(told(Counters()))
    for name in ("history_dropped", "passages_turned_away", "judgements_failed", "waits_dropped", "frames_dropped"):
        written = re.findall(rf'counters\.add\("{name}"(?:, [^"]*?)?(?:reason="([\w ]+)")?\)', source)
        assert written, name
        assert set(written) <= {each["reason"] for each in samples[f"anpr_{name}_total"]} | {""}, name


def expressions(of: str = "all") -> Iterator[str]:
    rules = (CONFIGS / "monitoring/alerts.yml").read_text(encoding="utf-8")
    yield from re.findall(r"expr: (?:\|\n)?((?:.+\n?)(?: {12}.+\n)*)", rules)
    if of == "alerts":
        return
    dashboard = json.loads((CONFIGS / "monitoring/grafana.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def test_every_metric_of_dashboard_and_alerts_exists(metrics: set[str]) -> None:
    named = {name for expression in expressions() for name in re.findall(r"\banpr_\w+", expression)}
    assert len(named) > 15
    assert sorted(named - metrics) == []


def test_metrics_are_named_as_prometheus_asks(metrics: set[str]) -> None:
    assert [name for name in metrics if not re.fullmatch(r"anpr_[a-z][a-z0-9_]*", name)] == []
    assert len(metrics) > 15


def test_every_runbook_leads_to_a_heading() -> None:
    rules = (CONFIGS / "monitoring/alerts.yml").read_text(encoding="utf-8")
    runbooks = re.findall(r"runbook: docs/operate.md#([\w-]+)", rules)
    assert len(runbooks) == rules.count("- alert:")
    text = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.+)$", text, re.M)
    }
    assert set(runbooks) <= headings


def test_the_unit_waits_for_the_word_and_watches() -> None:
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(CONFIGS / "systemd/anpr.service", encoding="utf-8")
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert 10 <= int(service["WatchdogSec"]) <= 60
    assert service["RestartPreventExitStatus"] == "78"
    assert (service["Restart"], unit["Unit"]["StartLimitIntervalSec"]) == ("on-failure", "0"), "nobody is there to help"
    assert service["ExecStart"].split()[1] == "run"
