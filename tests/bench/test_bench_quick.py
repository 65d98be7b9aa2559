"""Every benchmark runs with --quick and prints what it promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.box import NoServerError, check_server

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
FIGURES = {
    "gpu": {"simulated_ratio_h264", "simulated_ratio_hevc", "simulated_streams_hevc", "processor_ratio_h264"},
    "pipeline": {"frames_per_s", "decode_frames_per_s", "ratio", "detect_ms", "read_ms", "track_ms"},
    "calibration": {"ece", "crops_ece", "scenes_ece", "right_0.99", "accepted_0.99", "blurred_accepted_0.9"},
    "accuracy": {"crops_exact", "cars_exact", "motorbikes_exact", "found", "false_per_1000", "ece"},
    "lazy_gop": {"expressway_1_5_recall", "expressway_1_5_exact", "expressway_1_5_decoded", "expressway_1_5_saved"},
    "plate_width": {"cpu_1080p_200px_found", "stills_1080p_200px_exact"},
    "rules": {"sightings_per_s", "p99_ms", "rss_mb", "stored_sightings_per_s", "rebuild_s_per_million", "passages"},
    "streams": {"ratio_full", "ratio_gated", "streams_full", "streams_gated", "capture", "exact", "event_p95_ms"}
    | {"rss_per_stream_mb"},
    "bus": {"live_events_per_s", "durable_events_per_s", "durable_p99_ms", "appends_per_s"}
    | {"live_ratio", "append_ratio", "live_p50_ms", "live_p99_ms", "durable_p50_ms"},
    "store": {"sightings", "exact_lookup_ms", "wildcard_page_ms", "bytes_per_sighting", "appends_per_s"}
    | {"light_sightings", "light_exact_lookup_ms", "light_wildcard_page_ms"},
    "matching": {"exact_reads_per_s", "lattice_p50_us", "lattice_p99_us", "recall", "build_s", "index_mb"}
    | {"swap_pause_ms", "rapidfuzz_p50_us", "linear_p50_us", "sighting_p50_us"},
}


def test_every_benchmark_is_listed_here() -> None:
    scripts = [path for path in (ROOT / "bench").glob("*.py") if "report.parser(" in path.read_text(encoding="utf-8")]
    assert {path.stem for path in scripts} == set(FIGURES)


def need_server() -> None:
    """Skips where there is no RTSP server, or fails where one is asked for."""
    try:
        check_server()
    except NoServerError as error:
        pytest.fail(str(error)) if os.environ.get("ANPR_REQUIRE_SERVERS") == "1" else pytest.skip(str(error))


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_a_quick_run_prints_its_figures(name: str) -> None:
    if name in ("accuracy", "calibration") and not (SHARED / "data/labels.csv").exists():
        pytest.skip(f"{SHARED / 'data'} is absent: this benchmark needs labelled pictures")
    if name == "streams":
        need_server()
    run = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", "--quick", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    answer = json.loads(run.stdout.splitlines()[-1])
    assert answer["bench"] == name
    assert answer["machine"]["cores"] >= 1
    assert FIGURES[name] <= set(answer["figures"])
    assert all(isinstance(value, float) for value in answer["figures"].values())
