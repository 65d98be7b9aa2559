"""`anpr run SITE.toml`: the daemon."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anpr.cli import exits

if TYPE_CHECKING:
    from anpr.config import Site
    from anpr.engine.assignment import Assignment
    from anpr.log import Level


def run(
    site: Annotated[Path, typer.Argument(help="Site file.", show_default=False)],
    debug: Annotated[bool, typer.Option("--debug", help="Log more.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Log JSON lines, also to a terminal.")] = False,
) -> None:
    """Watch the cameras of a site: store, match and publish every passage until SIGTERM or Ctrl-C.

    Then it settles what is in view and stores what waits; asked a second time, it ends at once.
    Ends by itself only if all cameras are recordings; with 1 if one of them could not be read.
    """
    import structlog

    from anpr import log
    from anpr.clock import SystemClock
    from anpr.config import load_site
    from anpr.engine.attendant import Attendant
    from anpr.engine.box import open_hub
    from anpr.engine.bus_options import bus_options
    from anpr.engine.keep_options import policy_of
    from anpr.engine.supervisor import Supervisor
    from anpr.health.service import ServiceManager
    from anpr.store.crash import noting_crash

    level: log.Level = "debug" if debug else "info"
    json_lines = as_json or not sys.stderr.isatty()
    log.configure(level=level, as_json=json_lines)
    log.take_over()
    config = load_site(site)
    log.configure(level=level, as_json=json_lines, plates=config.log.plates)
    cores = len(os.sched_getaffinity(0))
    assignments = assign(config, cores=cores, log_level=level, log_as_json=json_lines)
    stop = threading.Event()

    def end(*_: object) -> None:
        if stop.is_set():  # asked twice: what was told is on disk, and the kernel takes the workers along
            os._exit(exits.CUT_SHORT)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    clock = SystemClock()
    logger = structlog.get_logger()
    opened = open_hub(
        box=config.box.id,
        store=config.store.path,
        endpoint=None,
        bus=bus_options(config.bus),
        lists=config.lists,
        vehicles_per_day=config.site.vehicles_per_day,
        rules_of=config,
        keep=policy_of(config.store),
        clock=clock,
        live=any(camera.url is not None for camera in config.enabled_cameras()),
    )
    with noting_crash(config.store.path), opened as hub:
        hub.recover()
        service = ServiceManager(clock=clock)
        with closing(Attendant(config, hub, clock=clock, cores=cores, service=service)) as attendant:
            signal.signal(signal.SIGHUP, lambda *_: attendant.ask())
            if config.health is not None:
                logger.info("health_served", address=config.health.address)
            supervisor = Supervisor(assignments, hub, clock=clock, attendant=attendant)
            supervisor.run(stop)
    counts = {f"{name}.{reason}" if reason else name: n for (name, reason), n in supervisor.counters.counts.items()}
    logger.info("stopped", restarts=supervisor.restarts, **counts)
    raise typer.Exit(exits.FINDINGS if supervisor.failed_cameras else exits.OK)


def assign(site: Site, *, cores: int, log_level: Level, log_as_json: bool) -> list[Assignment]:
    """Spread the enabled cameras over the workers: one worker for each core, unless the site file says otherwise.

    A worker costs some 200 MB before its first camera, so that cameras share workers rather than have one each. Cameras
    whose pipeline works on GPUs have workers of their own, as many for each GPU as the pipeline says.

    Raises ConfigError if no camera is enabled, ModelError if a model that a pipeline names is unusable,
    DeviceError if a GPU or a runtime that it names is.
    """
    import structlog

    from anpr.config import load_pipeline
    from anpr.engine.assignment import Assignment
    from anpr.engine.pipeline import build_stages, is_on_gpu, resolved
    from anpr.engine.surface_device import SurfaceDevice, check_device
    from anpr.errors import ConfigError
    from anpr.video.back_off import Reconnection

    cameras = site.enabled_cameras()
    if not cameras:
        raise ConfigError("no camera is enabled", place=site.box.id, cure="set enabled = true for one")
    pipelines = {}
    for name in sorted({camera.pipeline for camera in cameras}):
        asked = load_pipeline(name)
        pipeline = pipelines[name] = resolved(asked)
        # A wrong model stops the start, not each worker again and again.
        models = check_device(pipeline) if is_on_gpu(pipeline) else build_stages(pipeline).models
        structlog.get_logger().info(
            "pipeline_ready",
            pipeline=pipeline.label,
            models=models,
            asked=asked.settings.device,
            device=pipeline.settings.device,
        )
    common = Assignment(
        site_id=site.site.id,
        cameras=(),
        build=build_stages,
        log_level=log_level,
        log_as_json=log_as_json,
        log_plates=site.log.plates,
        reconnection=Reconnection(**site.reconnect.model_dump()),
    )
    alone = [(camera, pipelines[camera.pipeline]) for camera in cameras if not is_on_gpu(pipelines[camera.pipeline])]
    count = min(site.box.workers or cores, len(alone))
    assignments = [replace(common, cameras=tuple(alone[worker::count])) for worker in range(count)]
    for name, pipeline in pipelines.items():
        if is_on_gpu(pipeline):
            together = [(camera, pipeline) for camera in cameras if camera.pipeline == name]
            gpus = (pipeline.settings.gpu.numbers * pipeline.settings.gpu.workers)[: len(together)]
            assignments += [
                replace(
                    common,
                    cameras=tuple(together[worker :: len(gpus)]),
                    gpu=gpu,
                    open_device=SurfaceDevice.open,
                )
                for worker, gpu in enumerate(gpus)
            ]
    return assignments
