"""Every shipped alert is raised by what it is for, and by nothing before: asked of Prometheus's own `promtool`."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from anpr import assets

ALERTS = assets.folder("configs") / "monitoring/alerts.yml"
STEP = "30s"
QUIET = 20
"""Steps before anything happens: 10 minutes, so that every span that an alert looks back on is full."""
JUST_BEFORE = "9m30s"
RAISED = 'count(ALERTS{alertstate="firing"})'


@dataclass(frozen=True)
class Case:
    """What happens after `QUIET` steps, and the alert that it raises."""

    alert: str
    series: dict[str, tuple[str, str]]
    """By series of one box, its values in the notation of promtool: before, from then on."""
    labels: dict[str, str] = field(default_factory=dict)
    """Of the alert, beside its box and its severity."""
    value: str = ""
    """What the summary says in place of the value."""
    at: str = "21m"


def changes(metric: str, before: float, after: float, **labels: str) -> dict[str, tuple[str, str]]:
    """A metric that has one value, and then another."""
    return {series(metric, **labels): (f"{before}x{QUIET - 1}", f"{after}x400")}


def series(metric: str, **labels: str) -> str:
    """As promtool names it."""
    return metric + "{" + ", ".join(f'{name}="{value}"' for name, value in {"instance": "box", **labels}.items()) + "}"


def late(metric: str, *, fast_seconds: str, slow_seconds: str, **labels: str) -> dict[str, tuple[str, str]]:
    """A histogram: one event a step, which are fast, and from then on slow."""
    fast, slow = f"0+1x{QUIET - 1}", f"{QUIET - 1}+0x400"
    return {
        series(metric, le=fast_seconds, **labels): (fast, slow),
        series(metric, le=slow_seconds, **labels): (fast, f"{QUIET}+1x400"),
        series(metric, le="+Inf", **labels): (fast, f"{QUIET}+1x400"),
    }


CASES = (
    Case("AnprBoxAway", changes("up", 1, 0, job="anpr"), {"job": "anpr"}),
    Case("AnprCameraNotWatched", changes("anpr_camera_watched", 1, 0, camera="a"), {"camera": "a"}, at="11m"),
    Case(
        "AnprCameraPicture",
        changes("anpr_camera_condition", 0, 1, camera="a", condition="frozen")
        | changes("anpr_camera_condition", 1, 1, camera="b", condition="good"),
        {"camera": "a", "condition": "frozen"},
    ),
    Case(
        "AnprPasswordRefused",
        changes("anpr_camera_state", 0, 1, camera="a", state="refused"),
        {"camera": "a", "state": "refused"},
        at="10m30s",
    ),
    Case(
        "AnprOverload",
        {
            series("anpr_frames_decoded_total", camera="a"): (f"0+375x{QUIET - 1}", f"{QUIET * 375}+375x400"),
            series("anpr_frames_dropped_total", camera="a", reason="overload"): (
                f"0+10x{QUIET - 1}",
                f"{QUIET * 10}+30x400",
            ),
            series("anpr_frames_dropped_total", camera="a", reason="stopped"): (
                f"0+90x{QUIET - 1}",
                f"{QUIET * 90}+90x400",
            ),
        },
        {"camera": "a"},
    ),
    Case(
        "AnprDamagedPictures",
        {
            series("anpr_frames_decoded_total", camera="a"): (f"0+375x{QUIET - 1}", f"{QUIET * 375}+375x400"),
            series("anpr_frames_tainted_total", camera="a", reason="gap"): (
                f"0+10x{QUIET - 1}",
                f"{QUIET * 10}+50x400",
            ),
            series("anpr_frames_tainted_total", camera="a", reason="damaged"): (f"0+0x{QUIET - 1}", "0+50x400"),
        },
        {"camera": "a"},
    ),
    Case("AnprStoreFailing", changes("anpr_store_failing", 0, 1), at="10m30s"),
    Case("AnprHitsNotOnDisk", changes("anpr_hits_told_volatile_total", 0, 1, reason="disk"), at="10m30s"),
    Case("AnprPassagesLost", changes("anpr_passages_turned_away_total", 0, 1, reason="full"), at="10m30s"),
    Case("AnprStoreFull", changes("anpr_store_map_used_ratio", 0.79, 0.85), value="85%", at="10m30s"),
    Case(
        "AnprSlowEvents",
        late("anpr_event_latency_seconds_bucket", fast_seconds="1", slow_seconds="5"),
        value="4.8s",
    ),
    Case("AnprConsumerAway", changes("anpr_consumer_connected", 1, 0, consumer="ioc"), {"consumer": "ioc"}),
    Case(
        "AnprConsumerBehind",
        changes("anpr_outbox_oldest_age_seconds", 10, 600, consumer="ioc")
        | changes("anpr_consumer_connected", 1, 1, consumer="ioc"),
        {"consumer": "ioc"},
        value="10m 0s",
    ),
    Case(
        "AnprSlowHits",
        late("anpr_hit_latency_seconds_bucket", fast_seconds="10", slow_seconds="30", consumer="ioc"),
        {"consumer": "ioc"},
        value="29s",
    ),
    Case(
        "AnprConsumersCutOff", changes("anpr_client_dropped_total", 3, 20, reason="slow"), {"reason": "slow"}, at="11m"
    ),
    Case(
        "AnprWorkerDies", changes("anpr_worker_deaths_total", 1, 4, worker="worker-0"), {"worker": "worker-0"}, at="11m"
    ),
    Case("AnprClockWasSet", changes("anpr_clock_steps_total", 0, 1), at="10m30s"),
    Case("AnprClockUnkept", changes("anpr_clock_synchronised", 1, 0), at="80m"),
    Case(
        "AnprClockWrong",
        changes("anpr_clock_error_seconds", 0.01, 3) | changes("anpr_clock_synchronised", 1, 1),
        value="3s",
    ),
    Case(
        "AnprOldWatchList", changes("anpr_watchlist_age_seconds", 600_000, 605_000, list="stolen"), {"list": "stolen"}
    ),
    Case(
        "AnprRefusedWatchList",
        changes("anpr_config_last_reload_success", 1, 0, of="list stolen"),
        {"of": "list stolen"},
    ),
    Case("AnprRefusedFiles", changes("anpr_config_last_reload_success", 1, 0, of="rules"), {"of": "rules"}),
    Case("AnprSilentFiles", changes("anpr_silent_files", 0, 1)),
    Case("AnprRuleFails", changes("anpr_rules_failing", 0, 1)),
    Case("AnprJudgementsFail", changes("anpr_judgements_failed_total", 0, 1), at="10m30s"),
    Case("AnprRulesForget", changes("anpr_history_dropped_total", 0, 1, reason="full"), at="10m30s"),
    Case("AnprRulesDropWaits", changes("anpr_waits_dropped_total", 0, 1), at="10m30s"),
    Case(
        "AnprDiskFills",
        changes("anpr_disk_level", 0, 1, level="early") | changes("anpr_disk_level", 1, 0, level="roomy"),
        {"level": "early"},
    ),
    Case(
        "AnprDiskNearlyFull",
        changes("anpr_disk_level", 0, 1, level="reserve") | changes("anpr_disk_level", 1, 0, level="roomy"),
        {"level": "reserve"},
    ),
    Case("AnprNothingToPurge", changes("anpr_disk_nothing_to_purge", 0, 1)),
    Case("AnprClockInDoubt", changes("anpr_retention_clock_trusted", 1, 0)),
    Case("AnprKeepingFails", changes("anpr_keeping_failures_total", 0, 10), at="12m"),
)


def rules() -> dict[str, dict[str, Any]]:
    """The shipped alerts by name."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def test_every_alert_has_its_case() -> None:
    assert sorted(case.alert for case in CASES) == sorted(rules())


def expected(case: Case) -> dict[str, dict[str, str]]:
    """The alert as promtool wants it."""
    rule, labels = rules()[case.alert], {"instance": "box", **case.labels}
    summary = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], rule["annotations"]["summary"])
    summary = re.sub(r"\{\{ \$value .*?\}\}", case.value, summary)
    return {
        "exp_labels": rule["labels"] | labels,
        "exp_annotations": {**rule["annotations"], "summary": summary},
    }


def scenes() -> Iterator[dict[str, Any]]:
    """Each case, alone in the world: no other alert may be raised by it either."""
    for case in CASES:
        yield {
            "name": case.alert,
            "interval": STEP,
            "input_series": [
                {"series": name, "values": f"{before} {after}"} for name, (before, after) in case.series.items()
            ],
            "promql_expr_test": [
                {"expr": RAISED, "eval_time": JUST_BEFORE, "exp_samples": []},
                {"expr": RAISED, "eval_time": case.at, "exp_samples": [{"labels": "{}", "value": 1}]},
            ],
            "alert_rule_test": [
                {"eval_time": case.at, "alertname": case.alert, "exp_alerts": [expected(case)]},
            ],
        }


def test_each_is_raised_by_what_it_is_for_and_by_nothing_before(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here: scripts/install_servers installs it")
    shutil.copy(ALERTS, tmp_path)
    asked = {"rule_files": [ALERTS.name], "evaluation_interval": STEP, "tests": list(scenes())}
    (tmp_path / "alerts_test.yml").write_text(yaml.safe_dump(asked, sort_keys=False), encoding="utf-8")
    told = subprocess.run(
        [promtool, "test", "rules", "alerts_test.yml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert told.returncode == 0, (told.stdout + told.stderr)[-4000:]
