"""What a replay gave, in figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Self

import msgspec
import numpy as np

from anpr.metrics import Counters
from anpr.records import Event, Hit, Sighting
from anpr.replay.footage import Played
from anpr.replay.score import Score, score
from anpr.replay.truth import Truth


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """How the sightings compare with the truth; see `anpr.replay.score.Score`."""

    passed: int
    captured: int
    exact: int
    capture_rate: float
    exact_rate: float
    duplicates: int
    false: int
    wrong: tuple[tuple[str, str], ...]
    """(true text, text of the sighting) of the vehicles that were not read exactly; '' where nothing was read."""

    @classmethod
    def of(cls, score: Score) -> Self:
        """The figures of `score`."""
        return cls(
            passed=score.passed,
            captured=score.captured,
            exact=score.exact,
            capture_rate=score.capture_rate,
            exact_rate=score.exact_rate,
            duplicates=score.duplicates,
            false=len(score.false),
            wrong=tuple((row.vehicle.text, row.text) for row in score.rows if not row.exact),
        )


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One replay of one or more clips."""

    clips: tuple[str, ...]
    frames: int
    """Pictures that the loop has dealt with: looked at, or passed over by the gate."""
    seconds: float
    frames_per_s: float
    stage_ms: dict[str, float]
    """Milliseconds per frame by stage; `source` is mostly decoding."""
    latency_ms: dict[str, float]
    """From a frame's arrival to the publication of the sighting it brought about: `p50`, `p95`, `max`."""
    sightings: tuple[Sighting, ...]
    """The newest revision of each, by time; withdrawn ones are left out."""
    hits: tuple[Hit, ...]
    counts: dict[str, int]
    """Everything counted, `name` or `name.reason`."""
    score: Scored | None = None
    """None without a truth file."""

    @classmethod
    def of(
        cls,
        played: Sequence[Played],
        events: Sequence[Event],
        *,
        seconds: float,
        latency_seconds: Iterable[float],
        hub: Counters,
        truth: Truth | None = None,
    ) -> Self:
        """Sum up the clips `played` and the events they gave, which took `seconds` in all; `hub` is what it counted."""
        counters = Counters()
        counters.merge(hub.counts)
        stages: dict[str, float] = {}
        for each in played:
            counters.merge(each.counters.counts)
            for stage, spent in asdict(each.seconds).items():
                stages[stage] = stages.get(stage, 0.0) + spent
        frames = counters.total("frames_inferred") + counters.total("frames_gated")
        sightings = {e.record.id: e.record for e in events if isinstance(e.record, Sighting)}
        hits = {e.record.id: e.record for e in events if isinstance(e.record, Hit)}
        scored = Scored.of(score(sightings.values(), truth)) if truth is not None else None
        return cls(
            clips=tuple(str(each.clip.path) for each in played),
            frames=frames,
            seconds=seconds,
            frames_per_s=frames / seconds if seconds > 0 else 0.0,
            stage_ms={stage: 1000 * spent / max(frames, 1) for stage, spent in stages.items()},
            latency_ms=_quantiles(latency_seconds),
            sightings=tuple(
                sorted(
                    (each for each in sightings.values() if each.state != "withdrawn"),
                    key=lambda each: (each.seen_seconds, each.camera_id, each.track),
                )
            ),
            hits=tuple(
                sorted((hit for hit in hits.values() if hit.state != "withdrawn"), key=lambda hit: hit.seen_seconds)
            ),
            counts={f"{name}.{reason}" if reason else name: n for (name, reason), n in sorted(counters.counts.items())},
            score=scored,
        )


def _quantiles(latency_seconds: Iterable[float]) -> dict[str, float]:
    milliseconds = np.array(list(latency_seconds)) * 1000
    if not milliseconds.size:
        return {}
    p50, p95, most = np.quantile(milliseconds, (0.5, 0.95, 1.0))
    return {"p50": float(p50), "p95": float(p95), "max": float(most)}
