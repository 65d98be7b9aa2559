"""From a box's reliable feed to somebody else's broker: webhook, MQTT 5, NATS JetStream, Kafka.

A bridge is a consumer of the box like any other, in a process of its own. It acknowledges an event to the box only when
the broker has acknowledged it, or when it lies in the dead-letter file with the reason.
"""

from anpr.bridges.again import SentAgain, send_again
from anpr.bridges.bridge import Bridge
from anpr.bridges.dead_letters import DeadLetters
from anpr.bridges.opening import open_bridge, open_sink
from anpr.bridges.sink import Accepted, Later, LeftOut, Outcome, Refused, Sink

__all__ = [
    "Accepted",
    "Bridge",
    "DeadLetters",
    "Later",
    "LeftOut",
    "Outcome",
    "Refused",
    "SentAgain",
    "Sink",
    "open_bridge",
    "open_sink",
    "send_again",
]
