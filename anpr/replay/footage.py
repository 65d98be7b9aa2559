"""Plays recorded footage through the engine: the same footage and pipeline give the same sightings."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from anpr.clock import Clock
from anpr.config.pipeline import Pipeline
from anpr.config.site import Camera
from anpr.engine.batching import Batcher, Item, Passenger
from anpr.engine.device import Device
from anpr.engine.follower import Follower, StageSeconds
from anpr.engine.hub import Hub
from anpr.engine.pipeline import Stages, loop_options
from anpr.engine.playback import PictureT, paced
from anpr.engine.worker import Worker
from anpr.errors import MediaError
from anpr.metrics import Counters
from anpr.records import Frame
from anpr.tracking.sighting import Origin
from anpr.video import files, images
from anpr.video.facts import SourceFacts
from anpr.video.source import open_source, open_surfaces
from anpr.video.surface_frame import SurfaceFrame

HUB_ALONE_SECONDS = 0.02
"""How long a hub with nothing to commit is left alone: who listens waits as long for an answer."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip, or a folder of images, and the camera it stands for."""

    path: Path
    camera_id: str


@dataclass(frozen=True, slots=True)
class Played:
    """What became of one clip's frames."""

    clip: Clip
    counters: Counters
    seconds: StageSeconds
    facts: SourceFacts


def find_clips(paths: Iterable[Path], *, cameras: Sequence[Camera] = ()) -> list[Clip]:
    """The clips that `paths` mean: files as they are, of folders each clip in them and the folder if it holds images.

    A clip that a camera of the site names as its file is that camera's; any other gets a camera named after it. Raises
    MediaError if a path does not exist or holds no footage.
    """
    known = {camera.file.resolve(): camera.id for camera in cameras if camera.file is not None}
    taken = set(known.values())
    clips: list[Clip] = []
    for path in paths:
        for footage in _footage(path):
            camera_id = known.get(footage.resolve()) or _new_id(footage, taken)
            taken.add(camera_id)
            clips.append(Clip(footage, camera_id))
    return clips


def play(
    clip: Clip,
    stages: Stages,
    hub: Hub,
    *,
    site_id: str,
    clock: Clock,
    realtime: bool = False,
    stop: threading.Event,
    on_facts: Callable[[SourceFacts], None] | None = None,
    on_frame: Callable[[Frame], None] | None = None,
) -> Played:
    """Play one clip to its end, or until `stop` is set. Raises MediaError if it cannot be read."""
    counters = Counters()
    with open_source(
        clip.path, camera_id=clip.camera_id, clock=clock, options=stages.decode, counters=counters
    ) as source:
        if on_facts is not None:
            on_facts(source.facts)
        origin = Origin(
            site_id=site_id,
            camera_id=clip.camera_id,
            run_seconds=source.facts.start_wall_seconds or 0.0,
            pipeline=stages.pipeline,
            models=stages.models,
        )
        worker = Worker(stages, origin, emit=hub.take, counters=counters)
        frames = paced(source, clock=clock, stop=stop) if realtime else iter(source)
        worker.run(_attended(frames, hub, counters, clock=clock, on_frame=on_frame), stop=stop)
        hub.tick()
        return Played(clip, counters, worker.seconds, source.facts)


def play_in_batches(
    clip: Clip,
    pipeline: Pipeline,
    device: Device,
    hub: Hub,
    *,
    site_id: str,
    clock: Clock,
    realtime: bool = False,
    stop: threading.Event,
    on_facts: Callable[[SourceFacts], None] | None = None,
    on_frame: Callable[[SurfaceFrame], None] | None = None,
) -> Played:
    """The same on a device that takes several pictures at once."""
    counters, options = Counters(), loop_options(pipeline)
    opened = open_surfaces(
        clip.path, camera_id=clip.camera_id, clock=clock, nvdec=device.nvdec, options=options.decode, counters=counters
    )
    with opened as source:
        if on_facts is not None:
            on_facts(source.facts)
        follower: Follower[SurfaceFrame] = Follower(
            Origin(
                site_id=site_id,
                camera_id=clip.camera_id,
                run_seconds=source.facts.start_wall_seconds or 0.0,
                pipeline=pipeline.label,
                models=device.models,
            ),
            track=options.track,
            spare=options.spare,
            pictures=options.pictures,
            emit=hub.take,
            bring_home=device.bring_home,
            counters=counters,
        )
        one = Passenger(clip.camera_id, follower, gate=options.gate, spare=options.spare)
        batcher = Batcher(device, gate=options.gate)
        pictures = paced(source, clock=clock, stop=stop) if realtime else iter(source)
        most = device.most if one.independent and not realtime else 1
        waiting: list[Item] = []
        for picture in _attended(pictures, hub, counters, clock=clock, on_frame=on_frame):
            waiting.append(Item(one, picture))
            if len(waiting) >= most:
                batcher.process(waiting)
                waiting = []
            if stop.is_set():
                break
        batcher.process([*waiting, Item(one, "end")])
        if one.error is not None:
            raise one.error
        hub.tick()
        return Played(clip, counters, follower.seconds, source.facts)


def _attended(
    frames: Iterator[PictureT],
    hub: Hub,
    counters: Counters,
    *,
    clock: Clock,
    on_frame: Callable[[PictureT], None] | None,
) -> Iterator[PictureT]:
    """The frames, counted; between them the hub does what is due."""
    due_seconds = 0.0
    for frame in frames:
        counters.add("frames_decoded")
        yield frame
        now = clock.monotonic_seconds()
        if hub.backlog or now >= due_seconds:
            due_seconds = now + min(hub.tick(), HUB_ALONE_SECONDS)
        if on_frame is not None:
            on_frame(frame)


def _footage(path: Path) -> list[Path]:
    if not path.exists():
        raise MediaError("no such file or folder", place=str(path), cure="check the path")
    if not path.is_dir():
        return [path]
    clips = sorted(
        (each for each in path.iterdir() if each.suffix.lower() in files.SUFFIXES and each.is_file()),
        key=images.natural_key,
    )
    if images.list_images(path):
        clips.insert(0, path)
    if not clips:
        raise MediaError("holds no clips and no images", place=str(path), cure="give a folder with footage")
    return clips


def _new_id(path: Path, taken: set[str]) -> str:
    """An id after the file's name that no other camera has."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-_")[:56] or "clip"
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate
