"""A replay's summary as tables for people."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.table import Table

from anpr.plates.provinces import VIETNAM_TIME
from anpr.records import Hit, Sighting
from anpr.replay.summary import Summary


def sightings_table(summary: Summary, *, most: int) -> Table:
    """One row per sighting, the first `most`; a hit stands in the row of its sighting."""
    hits: dict[str, list[Hit]] = {}
    for hit in summary.hits:
        hits.setdefault(hit.sighting_id, []).append(hit)
    table = Table(title=f"{len(summary.sightings)} sightings")
    for name in ("time", "camera", "plate", "province", "sure", "reads", "direction", "hit"):
        table.add_column(name, justify="right" if name in ("sure", "reads") else "left", no_wrap=name != "hit")
    for sighting in summary.sightings[:most]:
        table.add_row(*_row(sighting, hits.get(sighting.id, [])))
    if len(summary.sightings) > most:
        table.caption = f"and {len(summary.sightings) - most} more: --json prints all"
    return table


def figures_table(summary: Summary) -> Table:
    """Name and figure, one row each."""
    table = Table(show_header=False, title="summary")
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, figure in figures(summary).items():
        table.add_row(name, figure)
    return table


def figures(summary: Summary) -> dict[str, str]:
    """What the summary says, as text by name."""
    rows = {
        "frames": f"{summary.frames} in {summary.seconds:.1f} s",
        "frames/s": f"{summary.frames_per_s:.1f}",
        "looked at": f"{summary.counts.get('frames_inferred', 0) / max(summary.frames, 1):.1%}",
        "ms per frame": "  ".join(f"{stage} {spent:.2f}" for stage, spent in summary.stage_ms.items()),
        "sightings": str(len(summary.sightings)),
        "hits": str(len(summary.hits)),
    }
    if summary.latency_ms:
        rows["latency, frame to event"] = "  ".join(f"{name} {ms:.1f} ms" for name, ms in summary.latency_ms.items())
    if (score := summary.score) is not None:
        rows["vehicles passed"] = str(score.passed)
        rows["captured"] = f"{score.captured}  {score.capture_rate:.1%}"
        rows["read exactly"] = f"{score.exact}  {score.exact_rate:.1%}"
        rows["told twice, false"] = f"{score.duplicates}, {score.false}"
        rows |= {f"  {true}": f"read as {text}" if text else "not read" for true, text in score.wrong}
    rows |= {name.replace("_", " "): str(n) for name, n in summary.counts.items() if name.startswith(_LOSSES)}
    return rows


_LOSSES = (
    "events_unpublished",
    "frames_dropped",
    "frames_tainted",
    "images_unreadable",
    "packets_corrupt",
    "packets_missing",
    "packets_undecodable",
    "pictures_missing",
    "reads_failed",
    "records_skipped",
    "store_failures",
)
"""Counts that a person should see; the others are in the JSON."""


def _row(sighting: Sighting, hits: list[Hit]) -> tuple[str, ...]:
    seen = datetime.fromtimestamp(sighting.seen_seconds, UTC).astimezone(VIETNAM_TIME)
    plate = sighting.display or (f"— {sighting.unreadable}" if sighting.unreadable else sighting.raw)
    return (
        f"{seen:%H:%M:%S}.{seen.microsecond // 100_000}",
        sighting.camera_id,
        plate,
        sighting.province,
        f"{sighting.probability:.1%}" if sighting.text else "",
        str(sighting.reads),
        sighting.direction,
        "; ".join(f"{hit.severity} {hit.list_name}: {hit.listed} ({hit.reason})" for hit in hits),
    )
