"""Examines a machine and a site before, or while, the engine runs there. Changes nothing but an empty store folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anpr.clock import SystemClock
from anpr.config.loader import load_pipeline
from anpr.config.pipeline import Pipeline
from anpr.config.site import Camera, Listed, Site
from anpr.engine.box import load_lists
from anpr.engine.listening import look_at_bus, look_at_health
from anpr.engine.pipeline import build_stages, is_on_gpu, net_device, rehearse
from anpr.engine.surface_device import SurfaceDevice, gpu_numbered, rehearse_device
from anpr.errors import AnprError, BusError, StreamAuthError, WatchListError
from anpr.kernel_clock import kernel_clock
from anpr.privacy import masked
from anpr.rules.opening import flaws_of
from anpr.store import Store
from anpr.store.lock import is_being_written
from anpr.video.decode import DecodeOptions
from anpr.video.rtsp import probe
from anpr.video.source import open_source

LEAST_FREE_BYTES = 2 << 30
"""Some days of evidence pictures."""
LEAST_FREE_INODES = 100_000
MOST_CLOCK_ERROR_SECONDS = 1.0
PROBE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    subject: str
    ok: bool
    what: str
    cure: str = ""


def examine(site: Site | None) -> Iterator[Finding]:
    """Look at everything, one finding after the other; `site` None looks at the machine and the bundled models."""
    yield _runtime()
    names = sorted({camera.pipeline for camera in site.enabled_cameras()}) if site else ["cpu"]
    for name in names:
        yield _pipeline(name)
    yield from _clock()
    if site is None:
        yield from _disk(Path.cwd())
        return
    yield from _disk(site.store.path)
    yield _store(site)
    running = _is_running(site)
    yield _listening("bus", partial(look_at_bus, site.bus, running=running))
    if site.health is not None:
        yield _listening("health", partial(look_at_health, site.health, running=running))
    if site.rules is not None:
        yield _rules(site)
    for listed in site.lists:
        yield _list(listed)
    for camera in site.enabled_cameras():
        yield _camera(camera)


def _runtime() -> Finding:
    import onnxruntime

    providers = ", ".join(onnxruntime.get_available_providers())
    cores = len(os.sched_getaffinity(0))
    return Finding("runtime", True, f"onnxruntime {onnxruntime.__version__} with {providers}; {cores} cores")


def _pipeline(name: str) -> Finding:
    subject = f"pipeline {name}"
    try:
        pipeline = load_pipeline(name)
        if is_on_gpu(pipeline):
            return _on_gpus(subject, pipeline)
        stages = build_stages(pipeline)
        milliseconds = rehearse(stages) * 1000
    except AnprError as error:
        return _from_error(subject, error)
    return Finding(subject, True, f"{' and '.join(stages.models)} infer, {milliseconds:.1f} ms a picture with a plate")


def _on_gpus(subject: str, pipeline: Pipeline) -> Finding:
    """Every GPU of the pipeline opens and takes a full batch of drawn pictures. Raises AnprError."""
    models: tuple[str, ...] = ()
    told: list[str] = []
    for number in pipeline.settings.gpu.numbers:
        gpu = gpu_numbered(number)
        device = SurfaceDevice.open(pipeline, number)
        try:
            models, milliseconds = device.models, rehearse_device(device) * 1000
        finally:
            device.close()
        told.append(f"GPU {number} ({gpu.name}, {gpu.memory_bytes >> 30} GiB) {milliseconds:.2f} ms a picture")
    return Finding(subject, True, f"{' and '.join(models)} infer by {net_device(pipeline)}: {', '.join(told)}")


def _clock() -> Iterator[Finding]:
    """The kernel's own account of its clock; nothing where it cannot be asked."""
    said = kernel_clock()
    if said is None:
        return
    cure = "run a time service: apt install chrony, or timedatectl set-ntp true"
    if not said.synchronised:
        yield Finding("clock", False, "no time service keeps it: sightings may be dated wrongly", cure)
    elif said.error_seconds > MOST_CLOCK_ERROR_SECONDS:
        yield Finding("clock", False, f"may be wrong by {said.error_seconds:.1f} s", cure)
    else:
        yield Finding("clock", True, f"synchronised, wrong by {said.error_seconds * 1000:.0f} ms at most")


def _disk(path: Path) -> Iterator[Finding]:
    existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    free_bytes = shutil.disk_usage(existing).free
    yield Finding(
        "disk space",
        free_bytes >= LEAST_FREE_BYTES,
        f"{free_bytes / 2**30:.1f} GiB free at {existing}",
        "" if free_bytes >= LEAST_FREE_BYTES else f"free {LEAST_FREE_BYTES >> 30} GiB, or put the store elsewhere",
    )
    facts = os.statvfs(existing)
    if facts.f_files:  # some file systems have no fixed number
        enough = facts.f_favail >= LEAST_FREE_INODES
        cure = "" if enough else "remove small files, or put the store on another file system"
        yield Finding("inodes", enough, f"{facts.f_favail} free at {existing}", cure)


def _is_running(site: Site) -> bool:
    """Whether a box writes to the site's store at this moment."""
    try:
        return is_being_written(site.store.path)
    except OSError:
        return False  # which is told of the store


def _store(site: Site) -> Finding:
    path = site.store.path
    try:
        if not (path / "data.mdb").exists():
            return _new_store(path)
        with Store.open(path, clock=SystemClock(), box=site.box.id, read_only=True) as store:
            return Finding("store", True, f"opens, {store.last_seq} events, at {path}")
    except AnprError as error:
        return _from_error("store", error)


def _new_store(path: Path) -> Finding:
    existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not existing.is_dir():
        return Finding("store", False, f"{existing} is not a folder", "give the store a folder of its own")
    if os.access(existing, os.W_OK | os.X_OK):
        return Finding("store", True, f"will be made at {path}")
    return Finding("store", False, f"{existing} may not be written", "change its owner, or run as another user")


def _listening(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, look())
    except BusError as error:
        return _from_error(subject, error)


def _rules(site: Site) -> Finding:
    """Rules, zones, declarations and registers."""
    flaws = flaws_of(site, clock=SystemClock())
    problems = flaws.problems
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        return Finding("rules", False, masked(problems[0]) + more, "anpr check-config tells all")
    left_out = f", but in rows that are left out: {masked(flaws.left_out[0])}" if flaws.left_out else ""
    silent = f"; silent at this site: {' | '.join(flaws.silent)}" if flaws.silent else ""
    return Finding("rules", True, f"no mistakes{left_out}{silent}")


def _list(listed: Listed) -> Finding:
    subject = f"list {listed.name}"
    try:
        (loaded,) = load_lists((listed,))
    except WatchListError as error:
        more = f", and {len(error.problems) - 1} more" if len(error.problems) > 1 else ""
        return Finding(subject, False, masked(error.problems[0]) + more, f"anpr watch check {listed.file}")
    left_out = f", {loaded.bad_rows} bad rows left out" if loaded.bad_rows else ""
    return Finding(subject, True, f"{len(loaded.entries)} entries, version {loaded.version}{left_out}")


def _camera(camera: Camera) -> Finding:
    subject = f"camera {camera.id}"
    options = DecodeOptions(open_timeout_seconds=PROBE_SECONDS, read_timeout_seconds=PROBE_SECONDS)
    try:
        if camera.url is not None:
            facts = probe(camera.address(), camera_id=camera.id, options=options)
        else:
            with open_source(camera.address(), camera_id=camera.id, clock=SystemClock(), options=options) as source:
                next(iter(source), None)
                facts = source.facts
    except StreamAuthError as error:
        return Finding(subject, False, error.problem, "correct user and password in the site file")
    except AnprError as error:
        return _from_error(subject, error)
    return Finding(subject, True, f"{facts.codec} {facts.width}x{facts.height} at {facts.frame_rate:g} frames/s")


def _from_error(subject: str, error: AnprError) -> Finding:
    what = f"{error.place}: {error.problem}" if error.place else error.problem
    return Finding(subject, False, what, error.cure)
