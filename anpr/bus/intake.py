"""Where other programs hand something to the box: one JSON object a message, answered once it is kept.

The answer is `{"taken": ID}`, or `{"refused": [PROBLEM, …]}`. A sender that gets no answer sends again: what is handed
in has an id, and the same thing twice is one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import msgspec
import zmq

from anpr.bus.door import Door
from anpr.bus.sockets import check_reach, set_common_options, told_as_bus_errors
from anpr.clock import Clock
from anpr.errors import BusError
from anpr.metrics import Counters

MAX_MESSAGE_BYTES = 64 << 10
TURN_SECONDS = 0.05
"""How long one turn may take messages in: the loop that calls has other work."""
ANSWER_SECONDS = 5.0
LINGER_MILLISECONDS = 100
MOST_WAITING = 100
"""Messages of one sender, and answers to it."""

Take = Callable[[Mapping[str, Any]], str]
"""Keeps what a message holds and returns its id. Raises ValueError with what is wrong, one problem a line."""


class _Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    taken: str = ""
    refused: tuple[str, ...] = ()


class Intake:
    """Takes messages in. Make it, use it and close it in one thread."""

    def __init__(self, endpoint: str, take: Take, *, counters: Counters, clock: Clock) -> None:
        """Bind to `endpoint`. Raises BusError if it is wrong or taken, or reaches other machines in the clear."""
        self.counters = counters
        self._take = take
        self._clock = clock
        self._door = Door(clock=clock, counters=counters)
        try:
            bound = self._door.bind(zmq.ROUTER, endpoint, max_message_bytes=MAX_MESSAGE_BYTES, prepare=_bound_queues)
        except BaseException:
            self._door.close()
            raise
        self._socket, self._connections, self.endpoint = bound.socket, bound.connections, bound.endpoint

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def turn(self) -> int:
        """Take in what has come, without waiting; how many messages."""
        self._door.turn()
        count, until = 0, self._clock.monotonic_seconds() + TURN_SECONDS
        while self._clock.monotonic_seconds() < until:
            try:
                frames = self._socket.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return count
            answer = self._answer(frames[-1].bytes)
            self._connections.heard(frames[-1], ours=bool(answer.taken))
            try:
                self._socket.send_multipart([*frames[:-1], msgspec.json.encode(answer)], zmq.DONTWAIT)
            except zmq.ZMQError:
                self.counters.add("intake_unanswered")
            count += 1
        return count

    def close(self) -> None:
        """Give the endpoint free. Closing twice does no harm."""
        self._door.close()

    def _answer(self, message: bytes) -> _Answer:
        try:
            fields = msgspec.json.decode(message, type=dict[str, Any])
            answer = _Answer(taken=self._take(fields))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            self.counters.add("intake_refused")
            return _Answer(refused=tuple(str(error).splitlines()) or ("not taken",))
        self.counters.add("intake_taken")
        return answer


def _bound_queues(socket: zmq.Socket[bytes]) -> None:
    socket.linger = LINGER_MILLISECONDS
    socket.sndhwm = socket.rcvhwm = MOST_WAITING


def hand_in(endpoint: str, fields: Mapping[str, Any], *, timeout_seconds: float = ANSWER_SECONDS) -> str:
    """Hand one message to the box at `endpoint`; its id once it is kept.

    Raises BusError if the box refuses it or does not answer; then send it again later.
    """
    check_reach(endpoint, encrypted=False, allow_unencrypted=True)
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        set_common_options(socket, endpoint, max_message_bytes=MAX_MESSAGE_BYTES)
        socket.linger = 0
        with told_as_bus_errors(endpoint, cure="check the address"):
            socket.connect(endpoint)
            socket.send(msgspec.json.encode(dict(fields)))
            if not socket.poll(round(timeout_seconds * 1000)):
                raise BusError(f"no answer within {timeout_seconds:g} s", place=endpoint, cure="is the box running?")
            try:
                answer = msgspec.json.decode(socket.recv(), type=_Answer)
            except msgspec.MsgspecError as error:
                raise BusError("the answer is not ours", place=endpoint, cure="check the address") from error
    if not answer.taken:
        raise BusError("; ".join(answer.refused) or "refused", place=endpoint, cure="correct it and send it again")
    return answer.taken
