"""The dashboard and the alert rules name only metrics that a box has; the unit starts what it should."""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from anpr import assets
from anpr.health.exposition import expose
from anpr.health.report import (
    BoxHealth,
    CameraHealth,
    Capacity,
    KeepingHealth,
    Latency,
    ListHealth,
    RulesHealth,
    StoreHealth,
    WorkerHealth,
)
from anpr.metrics import Counters, Histogram

CONFIGS = assets.folder("configs")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def metrics() -> set[str]:
    """The names of all samples of a box that has seen everything."""
    camera = CameraHealth(
        id="a",
        name="",
        state="streaming",
        reason="",
        condition="",
        recorded=False,
        width=1920,
        height=1080,
        codec="h264",
        frames_per_second=25.0,
        inferred_per_second=25.0,
        sightings_per_minute=3.0,
        dropped_share=0.0,
        tainted_share=0.0,
        last_frame_age_seconds=0.0,
        drops={},
        gap=None,
        gap_seconds={"offline": 3.0},
    )
    health = BoxHealth(
        box="b",
        site="s",
        version="1",
        verdict="ok",
        problems=(),
        ready=True,
        at_seconds=1e9,
        uptime_seconds=1.0,
        backlog=0,
        latency=Latency(p50_seconds=None, p95_seconds=None),
        capacity=Capacity(cores=2, cpu_ms_per_frame=8.0, busy_share=0.5, cameras=8),
        clock_steps=0,
        cameras=(camera,),
        workers=(WorkerHealth(name="w", cameras=("a",), alive=True, deaths=0, cpu_seconds=1.0, memory_bytes=1),),
        store=StoreHealth(last_seq=1, map_used_share=0.1, readers=1, failing=False),
        lists=(ListHealth(name="l", version="1", entries=1, age_seconds=1.0),),
        rules=RulesHealth(
            enabled=2, dry_run=1, failing={"r": "KeyError"}, passages=1, plates=1, memory_seconds=1.0, waiting=0
        ),
        keeping=KeepingHealth(
            disk_level="early",
            disk_percent=86.0,
            disk_free_bytes=1,
            scarce="bytes",
            reserve_held=True,
            nothing_to_purge=False,
            clock_trusted=True,
            clock_jump_seconds=0.0,
            holds=1,
            purging="",
            oldest_seconds=1e9,
        ),
    )
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "anpr").rglob("*.py"))
    names = set(re.findall(r'counters\.add\(\s*"(\w+)"', source))
    counters = Counters({(name, "some"): 1 for name in names})
    text = expose(health, cameras={"a": counters}, hub=Counters(), latency=Histogram(), commit=Histogram()).decode()
    return {re.split(r"[ {]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}


def expressions() -> Iterator[str]:
    rules = (CONFIGS / "monitoring/alerts.yml").read_text(encoding="utf-8")
    yield from re.findall(r"expr: (?:\|\n)?((?:.+\n?)(?: {12}.+\n)*)", rules)
    dashboard = json.loads((CONFIGS / "monitoring/grafana.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def test_every_metric_of_dashboard_and_alerts_exists(metrics: set[str]) -> None:
    named = {name for expression in expressions() for name in re.findall(r"\banpr_\w+", expression)}
    assert len(named) > 15
    assert sorted(named - metrics) == []


def test_metrics_are_named_as_prometheus_asks(metrics: set[str]) -> None:
    assert all(re.fullmatch(r"anpr_[a-z][a-z0-9_]*", name) for name in metrics)


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
    assert service["ExecStart"].split()[1] == "run"
