"""What leaves the box: versioned CloudEvents over ZeroMQ, live and reliable, and the client library to take them."""

from anpr.bus.bus import Bus, BusOptions
from anpr.bus.delivery import Consumer, Delivery, Standing
from anpr.bus.door import Door
from anpr.bus.durable import DurableSubscriber
from anpr.bus.events import Heartbeat, VolatileHit
from anpr.bus.gap import Gap
from anpr.bus.keys import ClientKeys, ServerKeys
from anpr.bus.publisher import Publisher
from anpr.bus.subscriber import Subscriber

__all__ = [
    "Bus",
    "BusOptions",
    "ClientKeys",
    "Consumer",
    "Delivery",
    "Door",
    "DurableSubscriber",
    "Gap",
    "Heartbeat",
    "Publisher",
    "ServerKeys",
    "Standing",
    "Subscriber",
    "VolatileHit",
]
