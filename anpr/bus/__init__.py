"""What leaves the box: versioned CloudEvents over ZeroMQ, and the client library to take them."""

from anpr.bus.events import Heartbeat
from anpr.bus.publisher import Publisher
from anpr.bus.subscriber import Gap, Subscriber

__all__ = ["Gap", "Heartbeat", "Publisher", "Subscriber"]
