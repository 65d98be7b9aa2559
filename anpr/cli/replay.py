"""`anpr replay FOOTAGE…`: recorded clips through the whole engine."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anpr.cli import exits
from anpr.cli.telling import tell

if TYPE_CHECKING:
    from anpr.config.site import Site
    from anpr.records import Event
    from anpr.replay.summary import Summary
    from anpr.video.facts import SourceFacts

SHOWN_SIGHTINGS = 40
"""Rows of the table; `--json` has all."""


def replay(
    footage: Annotated[list[Path], typer.Argument(help="Clips, images, or folders of them.", show_default=False)],
    pipeline: Annotated[
        str | None, typer.Option(help="Pipeline file, or the name of a bundled one.", show_default="cpu")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="Truth file to score the sightings against.")] = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="At the pace of the recording.")] = False,
    site: Annotated[Path | None, typer.Option(help="Site file: its cameras, lists and bus, not its store.")] = None,
    store: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep sightings and pictures here.", show_default="kept nowhere")
    ] = None,
    bus: Annotated[
        str | None, typer.Option(metavar="ENDPOINT", help="Publish events here, like tcp://127.0.0.1:7781.")
    ] = None,
    summary_only: Annotated[bool, typer.Option("--summary-only", help="Leave out the table of sightings.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Decode, detect, read, track, store, match and publish recorded footage, as fast as the machine can.

    A clip that the site file names as a camera's file is played as that camera. Exit code 1 if one of several clips
    could not be read.
    """
    import msgspec

    from anpr import log
    from anpr.config import load_site

    log.configure(level="warning")
    loaded_site = load_site(site) if site is not None else None
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    summary = _play(
        footage, pipeline=pipeline, truth=truth, realtime=realtime, site=loaded_site, store=store, bus=bus, stop=stop
    )
    if as_json:
        print(msgspec.json.encode(summary).decode())
    else:
        _print(summary, sightings=not summary_only)
    unreadable = exits.FINDINGS if "reads_failed.clip" in summary.counts else exits.OK
    raise typer.Exit(exits.INTERRUPTED if stop.is_set() else unreadable)


def _play(
    footage: list[Path],
    *,
    pipeline: str | None,
    truth: Path | None,
    realtime: bool,
    site: Site | None,
    store: Path | None,
    bus: str | None,
    stop: threading.Event,
) -> Summary:
    import cv2

    from anpr.clock import SystemClock
    from anpr.config import load_pipeline
    from anpr.engine.box import open_hub
    from anpr.engine.bus_options import bus_options
    from anpr.engine.pipeline import build_stages, is_on_gpu, rehearse, resolved
    from anpr.engine.surface_device import SurfaceDevice
    from anpr.errors import MediaError
    from anpr.replay.footage import Played, find_clips, play, play_in_batches
    from anpr.replay.summary import Summary
    from anpr.replay.truth import load_truth

    cv2.setNumThreads(1)
    clock = SystemClock()
    clips = find_clips(footage, cameras=site.cameras if site else ())
    known = load_truth(truth) if truth is not None else None
    if known is not None and len(clips) != 1:
        raise typer.BadParameter(f"a truth file describes one clip, these are {len(clips)}", param_hint="--truth")
    chosen = resolved(load_pipeline(pipeline or _pipeline_of(site, clips[0].camera_id)))
    player: Callable[..., Played]
    events: list[Event] = []
    with ExitStack() as opened:
        if is_on_gpu(chosen):
            device = SurfaceDevice.open(chosen, chosen.settings.gpu.numbers[0])
            opened.callback(device.close)
            player = partial(play_in_batches, pipeline=chosen, device=device)
        else:
            stages = build_stages(chosen)
            rehearse(stages)
            player = partial(play, stages=stages)
        where = store or Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="anpr-replay-")))
        hub = opened.enter_context(
            open_hub(
                box=site.box.id if site else "replay",
                store=where,
                endpoint=bus,
                bus=bus_options(site.bus, live_only=True) if site and not bus else None,
                lists=site.lists if site else (),
                rules_of=site,
                clock=clock,
                on_event=events.append,
            )
        )
        started = time.perf_counter()
        played = []
        for clip in clips:
            if stop.is_set():
                break
            try:
                with _progress(clip.path.name) as progress:
                    played.append(
                        player(
                            clip,
                            hub=hub,
                            site_id=site.site.id if site else "replay",
                            clock=clock,
                            realtime=realtime,
                            stop=stop,
                            on_facts=progress.begin,
                            on_frame=progress.advance,
                        )
                    )
            except MediaError as error:
                if clip is clips[-1] and not played:
                    raise
                hub.counters.add("reads_failed", reason="clip")
                tell(str(error), head="anpr: ")
        hub.finish()
        seconds = time.perf_counter() - started
    return Summary.of(
        played, events, seconds=seconds, latency_seconds=hub.latency_seconds, hub=hub.totals(), truth=known
    )


def _pipeline_of(site: Site | None, camera_id: str) -> str:
    """The pipeline of the camera that is played, or the default."""
    cameras = site.cameras if site else ()
    return next((camera.pipeline for camera in cameras if camera.id == camera_id), "cpu")


class _Progress:
    """A bar on a terminal; nothing elsewhere."""

    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]:.0f} frames/s", justify="right"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self.task = self.bar.add_task(name, total=None, pace=0.0)
        self._started = time.perf_counter()
        self._frames = 0

    def begin(self, facts: SourceFacts) -> None:
        """The source is open."""
        self.bar.update(self.task, total=facts.frame_count)

    def advance(self, _frame: object) -> None:
        """One more frame is done."""
        self._frames += 1
        pace = self._frames / max(time.perf_counter() - self._started, 1e-6)
        self.bar.update(self.task, advance=1, pace=pace)


@contextmanager
def _progress(name: str) -> Iterator[_Progress]:
    progress = _Progress(name)
    with progress.bar:
        yield progress


def _print(summary: Summary, *, sightings: bool) -> None:
    """The sightings as a table, then the figures."""
    from rich.console import Console

    from anpr.replay.report import figures_table, sightings_table

    console = Console(width=None if sys.stdout.isatty() else 120)
    if sightings:
        console.print(sightings_table(summary, most=SHOWN_SIGHTINGS))
    console.print(figures_table(summary))
