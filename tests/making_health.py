"""A box's health in which everything is said that may be."""

from __future__ import annotations

from anpr.health.report import (
    BoxHealth,
    CameraHealth,
    Capacity,
    ClockHealth,
    ConsumerHealth,
    KeepingHealth,
    Latency,
    ListHealth,
    RulesHealth,
    StoreHealth,
    WorkerHealth,
)


def box_health() -> BoxHealth:
    """One camera, one worker, one list, one consumer, rules, and a keeper."""
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
    return BoxHealth(
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
        clock=ClockHealth(synchronised=True, offset_seconds=-0.001, error_seconds=0.02),
        refused_files={"list l": "", "rules": "no such folder"},
        consumers=(ConsumerHealth(name="ioc", connected=True, behind=0, acknowledged=3),),
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
