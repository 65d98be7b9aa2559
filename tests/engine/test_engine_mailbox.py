"""A few pictures wait, the oldest makes room; every one that is not taken is counted."""

import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import suppress
from itertools import pairwise

import pytest
from engine_fakes import frames
from waiting import GENEROUS_SECONDS, until

from anpr.clock import ManualClock
from anpr.engine.mailbox import ROOM, Mailbox, pictures_of_camera
from anpr.engine.playback import paced
from anpr.records import Frame


def decode_threads() -> int:
    return sum(thread.name == "decode" for thread in threading.enumerate())


def source(count: int, *, pause_seconds: float, error: Exception | None = None) -> Generator[Frame, None, None]:
    for frame in frames(count):
        time.sleep(pause_seconds)
        yield frame
    if error is not None:
        raise error


def test_a_slow_loop_gets_new_pictures_and_counts_the_others() -> None:
    """A camera that sends three pictures while the loop looks at one."""
    drops: Counter[str] = Counter()
    seen = []
    turn = threading.Barrier(2)

    def camera() -> Generator[Frame, None, None]:
        for frame in frames(60):
            yield frame
            if frame.index % 3 == 2:
                turn.wait(GENEROUS_SECONDS)
        turn.abort()

    for frame in pictures_of_camera(camera(), stop=threading.Event(), on_drop=lambda why: drops.update([why])):
        assert frame is not None
        seen.append(frame.index)
        with suppress(threading.BrokenBarrierError):
            turn.wait(GENEROUS_SECONDS)
    assert seen == sorted(set(seen))
    assert seen[-1] == 59
    assert drops["overload"] > 30
    assert len(seen) + drops.total() == 60
    assert max(later - earlier for earlier, later in pairwise(seen)) <= 3 + ROOM, "spread evenly, not in one piece"


def test_a_hiccup_of_the_loop_costs_no_picture() -> None:
    """While it stands still the camera sends as many as there is room for; else one after the other."""
    drops: Counter[str] = Counter()
    seen: list[int] = []
    sent: list[int] = []
    wanted = threading.Semaphore(1)

    def camera() -> Generator[Frame, None, None]:
        for frame in frames(40):
            wanted.acquire(timeout=GENEROUS_SECONDS)
            yield frame
            sent.append(frame.index)

    for frame in pictures_of_camera(camera(), stop=threading.Event(), on_drop=lambda why: drops.update([why])):
        assert frame is not None
        seen.append(frame.index)
        if frame.index == 10:
            wanted.release(ROOM)
            until(lambda: sent[-1] == 10 + ROOM)
        elif not 10 < frame.index < 10 + ROOM:
            wanted.release()
    assert seen == list(range(40))
    assert not drops


def test_a_full_mailbox_gives_up_its_oldest() -> None:
    mailbox, pictures = Mailbox(), list(frames(ROOM + 2))
    unfetched = [mailbox.put(frame) for frame in pictures]
    assert unfetched == [*[None] * ROOM, *pictures[:2]]
    assert mailbox.take(threading.Event()) is pictures[2]
    assert mailbox.close() == ROOM - 1


def test_the_sources_error_arrives_in_the_loop() -> None:
    with pytest.raises(OSError, match="camera"):
        list(
            pictures_of_camera(
                source(3, pause_seconds=0, error=OSError("camera")), stop=threading.Event(), on_drop=lambda why: None
            )
        )


def test_stop_ends_a_loop_that_waits_for_a_picture() -> None:
    stop, picture = threading.Event(), threading.Event()

    def silent() -> Generator[Frame, None, None]:
        picture.wait(GENEROUS_SECONDS)
        yield from ()

    threading.Timer(0.05, stop.set).start()
    assert list(pictures_of_camera(silent(), stop=stop, on_drop=lambda why: None)) == []
    assert decode_threads(), "it has not waited for the picture"
    picture.set()


def test_a_silence_is_told_once_and_the_next_picture_still_comes() -> None:
    def hesitant() -> Generator[Frame, None, None]:
        first, second = frames(2)
        yield first
        time.sleep(0.5)
        yield second
        raise OSError("camera")

    pictures = pictures_of_camera(hesitant(), stop=threading.Event(), on_drop=lambda why: None, silence_seconds=0.1)
    seen = [next(pictures) for _ in range(3)]
    assert [None if frame is None else frame.index for frame in seen] == [0, None, 1]
    with pytest.raises(OSError, match="camera"):
        next(pictures)


def test_a_loop_that_raises_leaves_no_thread_and_loses_no_count() -> None:
    drops: Counter[str] = Counter()
    pictures = pictures_of_camera(
        source(50, pause_seconds=0.002), stop=threading.Event(), on_drop=lambda why: drops.update([why])
    )
    next(iter(pictures))
    until(lambda: drops["overload"])
    pictures.close()  # type: ignore[attr-defined]  # a generator
    until(lambda: decode_threads() == 0)
    assert drops["stopped"] >= 1


def test_paced_frames_come_at_the_pace_of_the_recording() -> None:
    clock = ManualClock()
    arrivals = [frame.arrival_seconds for frame in paced(frames(50), clock=clock, stop=threading.Event())]
    assert arrivals == pytest.approx([index / 25 for index in range(50)])


def test_pacing_ends_when_told_to_stop() -> None:
    stop = threading.Event()
    given = []
    for frame in paced(frames(50), clock=ManualClock(), stop=stop):
        given.append(frame.index)
        if frame.index == 3:
            stop.set()
    assert given == [0, 1, 2, 3]
