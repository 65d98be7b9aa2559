"""What a broker refused, sent once more: when the receiver has been mended, or the file knows the camera's place."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import msgspec

from anpr.bridges.dead_letters import DeadLetters
from anpr.bridges.sink import Accepted, Later, LeftOut, Refused, Sink
from anpr.bus.events import decode
from anpr.errors import BusError
from anpr.records import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class SentAgain:
    """What became of the dead letters."""

    delivered: int
    """Or without a place in the broker's form."""
    refused: int
    """In the file again, with the new reason."""
    left: int
    """In the file as they were: gaps, damaged lines, and what was not sent after all."""
    problem: str = ""
    """Why not all was sent; empty if it was."""


async def send_again(letters: DeadLetters, sink: Sink) -> SentAgain:
    """Send every event of the file, in its order, until the broker wants one later. Raises OSError.

    If it is broken off, all of them are sent again the next time.
    """
    left: list[bytes] = []
    waiting: deque[tuple[bytes, Event]] = deque()
    for line in letters.set_aside():
        event = _event_of(line)
        if event is not None:
            waiting.append((line, event))
        elif line:
            left.append(line)
    delivered = refused = 0
    problem = ""
    while waiting and not problem:
        batch = [event for _, event in list(waiting)[: sink.at_once]]
        for event, outcome in zip(batch, await sink.send(batch), strict=False):
            match outcome:
                case Accepted() | LeftOut():
                    delivered += 1
                case Refused():
                    letters.add(event, outcome)
                    refused += 1
                case Later():
                    problem = f"{outcome.reason}: {outcome.problem}"
                    break
            waiting.popleft()
    left += [line for line, _ in waiting]
    letters.put_back(left)
    letters.forget()
    return SentAgain(delivered=delivered, refused=refused, left=len(left), problem=problem)


class _Line(msgspec.Struct):
    event: msgspec.Raw


def _event_of(line: bytes) -> Event | None:
    """None if there is none in it."""
    try:
        thing = decode(bytes(msgspec.json.decode(line, type=_Line).event))
    except (msgspec.MsgspecError, UnicodeDecodeError, BusError):
        return None
    return thing if isinstance(thing, Event) else None
