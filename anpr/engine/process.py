"""A worker process: owns some cameras, each in a thread with its own decoder, nets and tracker.

It talks to the hub over one pipe: passages and reports go out; a word to stop, or the pipe's end, comes in. When it
stops it settles what is in view, sends it, and says `Ended`. Threads share nothing but the pipe, and all that is slow
(libav, onnxruntime, OpenCV) releases the interpreter, so cameras of one worker run side by side.

On a GPU the cameras of a worker share its nets: the threads decode, and one more takes their pictures through the GPU.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn, TypeAlias

import cv2
import structlog

from anpr import log
from anpr.engine.assignment import Assignment, Line
from anpr.engine.camera_loop import CameraLoop, CameraThread
from anpr.engine.crew import Crew
from anpr.engine.messages import Ended, WorkerReport
from anpr.engine.surface_loop import SurfaceLoop
from anpr.records import Frame
from anpr.video.memory import limit_blocks
from anpr.video.names import limit_patience
from anpr.video.surface_frame import SurfaceFrame

REPORT_SECONDS = 1.0
Loop: TypeAlias = CameraThread[Frame] | CameraThread[SurfaceFrame]
STOPPING_SECONDS = 0.02
"""How often a worker that stops looks whether its cameras are done."""
FIRST_PAUSE_SECONDS = 1.0
EXIT_DEVICE = 69
"""As EX_UNAVAILABLE of sysexits.h."""
FAREWELL_SECONDS = 5.0
"""How long a device may take to be given back, and cameras to leave one that is lost."""
LONGEST_PAUSE_SECONDS = 60.0
"""Before a loop that has crashed is started again; the pause doubles each time."""


def work(connection: Connection, assignment: Assignment) -> None:
    """The worker process's main function."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal's reach the whole group; the hub decides
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    log.configure(level=assignment.log_level, as_json=assignment.log_as_json, plates=assignment.log_plates)
    log.take_over()
    cv2.setNumThreads(1)
    limit_patience()
    if not limit_blocks():
        structlog.get_logger().warning("camera_memory_unbounded", cure="install PyAV from its wheel")
    try:
        with closing(connection):
            line = Line(connection)
            _drive(line, assignment, stop)
    except Exception:  # noqa: BLE001  # told by our log: multiprocessing would write it as it is
        structlog.get_logger().exception("worker_crashed")
        sys.stderr.flush()
        os._exit(1)
    sys.stderr.flush()
    os._exit(0)  # a decoding thread may still wait for its camera: do not wait for it


def _drive(line: Line, assignment: Assignment, stop: threading.Event) -> None:
    """Run the cameras until they end or it is time to stop. A loop that crashes is started again; others go on."""
    crew = _crew(assignment)
    loops: list[Loop] = [
        CameraLoop(camera, pipeline, assignment=assignment, line=line)
        if crew is None
        else SurfaceLoop(camera, pipeline, assignment=assignment, line=line, crew=crew)
        for camera, pipeline in assignment.cameras
    ]
    pauses = [FIRST_PAUSE_SECONDS] * len(loops)
    if crew is not None:
        crew.start()
    for loop in loops:
        loop.start()
    stopping = False
    try:
        while any(loop.alive for loop in loops):
            if crew is not None and _is_lost(crew):
                _give_up(loops, line)
            told = line.told_to_stop(STOPPING_SECONDS if stopping else REPORT_SECONDS)
            if not stopping and (told or stop.is_set()):
                stopping = True
                for loop in loops:
                    loop.stop.set()
            if not stopping:
                _report(loops, line)
                for place, loop in enumerate(loops):
                    if loop.crashed and not loop.alive:
                        loops[place] = loop.successor(pauses[place])
                        pauses[place] = min(pauses[place] * 2, LONGEST_PAUSE_SECONDS)
                        loops[place].start()
        if crew is not None and (crew.error is not None or not crew.stop(FAREWELL_SECONDS)):
            _give_up(loops, line)
        _report(loops, line)
        line.send(Ended())
    except OSError:
        return  # the hub is gone: nobody is left to tell


def _crew(assignment: Assignment) -> Crew | None:
    """Who works for all of the cameras, if they do not each work for themselves."""
    if assignment.open_device is None:
        return None
    _, pipeline = assignment.cameras[0]
    return Crew(pipeline, assignment.gpu, assignment.open_device)


def _is_lost(crew: Crew) -> bool:
    """Whether the device has failed, or hangs."""
    if crew.error is not None:
        return True
    if crew.busy_seconds <= crew.pipeline.settings.gpu.answer_seconds:
        return False
    structlog.get_logger().error("device_hangs", silent_seconds=round(crew.busy_seconds, 1))
    return True


def _give_up(loops: Sequence[Loop], line: Line) -> NoReturn:
    """End the process, for the supervisor to start it anew: nothing else frees a device that has failed or hangs."""
    for loop in loops:
        loop.stop.set()
    until = time.monotonic() + FAREWELL_SECONDS
    while any(loop.alive for loop in loops) and time.monotonic() < until:
        time.sleep(STOPPING_SECONDS)
    with suppress(OSError):
        _report(loops, line)
    sys.stderr.flush()
    os._exit(EXIT_DEVICE)


def _report(loops: Sequence[Loop], line: Line) -> None:
    for loop in loops:
        line.send(loop.report())
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    line.send(WorkerReport(usage.ru_utime + usage.ru_stime, pages * resource.getpagesize()))
