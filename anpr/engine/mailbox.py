"""Hands the pictures of a live camera from the thread that decodes to the loop that infers.

A camera does not wait. A hiccup of the loop is bridged: a few pictures wait their turn. If the loop is slower than the
camera, the oldest of them makes room for the next and is counted: the drops are spread evenly, and what is processed
is never older than those few pictures.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from math import inf

from anpr.records import Frame

ROOM = 3
"""Pictures that may wait: 120 ms at 25 a second."""

STOP_CHECK_SECONDS = 0.1
"""How soon a loop that waits for a picture sees that it shall stop."""

FAREWELL_SECONDS = 0.5
"""How long the end of the decoding thread is waited for."""


class Ended(Exception):
    """No more pictures will come."""


class Mailbox:
    """Room for `ROOM` pictures. `put` never waits; `take` waits for the next picture."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frames: deque[Frame] = deque()
        self._closed = False
        self._error: BaseException | None = None

    def put(self, frame: Frame) -> Frame | None:
        """Leave `frame` for the loop; returns what nobody will take: the oldest of too many, or this if closed."""
        with self._changed:
            if self._closed:
                return frame
            self._frames.append(frame)
            self._changed.notify()
            return self._frames.popleft() if len(self._frames) > ROOM else None

    def take(self, stop: threading.Event, *, patience_seconds: float = inf) -> Frame | None:
        """The picture that has waited longest; None if none came for `patience_seconds`.

        Raises what `close` was given, or Ended, once closed and empty; Ended once `stop` is set.
        """
        until_seconds = time.monotonic() + patience_seconds
        with self._changed:
            while not self._frames and not self._closed and not stop.is_set():
                left_seconds = until_seconds - time.monotonic()
                if left_seconds <= 0:
                    return None
                self._changed.wait(min(left_seconds, STOP_CHECK_SECONDS))
            if stop.is_set():
                raise Ended
            if not self._frames:
                raise self._error or Ended
            return self._frames.popleft()

    def close(self, error: BaseException | None = None) -> int:
        """No more pictures; those that wait can still be taken. Returns how many they are."""
        with self._changed:
            self._closed = True
            self._error = self._error or error
            self._changed.notify()
            return len(self._frames)


def pictures_of_camera(
    frames: Generator[Frame, None, None],
    *,
    stop: threading.Event,
    on_drop: Callable[[str], None],
    silence_seconds: float = inf,
) -> Iterator[Frame | None]:
    """Run `frames` in a thread of its own and yield its pictures, but those too many, until it ends or `stop` is set.

    If none comes for `silence_seconds`, None is yielded, once until the next picture. What `frames` raises is raised
    here. `on_drop` is told why each unfetched picture was dropped. The thread ends with `frames`, or at the first
    picture after this generator has ended, which waits a moment for it.
    """
    mailbox = Mailbox()

    def decode() -> None:
        try:
            with closing(frames):
                for frame in frames:
                    if (unfetched := mailbox.put(frame)) is not None:
                        on_drop("stopped" if unfetched is frame else "overload")
                        if unfetched is frame:
                            return
        except BaseException as error:  # noqa: BLE001  # raised again in the loop
            mailbox.close(error)
        else:
            mailbox.close()

    thread = threading.Thread(target=decode, name="decode", daemon=True)
    thread.start()
    try:
        with suppress(Ended):
            patience_seconds = silence_seconds
            while True:
                frame = mailbox.take(stop, patience_seconds=patience_seconds)
                patience_seconds = inf if frame is None else silence_seconds
                yield frame
    finally:
        for _ in range(mailbox.close()):
            on_drop("stopped")
        thread.join(FAREWELL_SECONDS)  # so that what it has counted is whole; a silent camera is not waited for
