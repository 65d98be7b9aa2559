"""A consumer that writes down what it gets, to be killed at any moment.

Usage: killed_consumer.py ENDPOINT LEDGER CURSOR
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from anpr.bus import DurableSubscriber, Gap
from anpr.bus.events import event_id
from anpr.clock import SystemClock


def main() -> None:
    endpoint, ledger, cursor = sys.argv[1:]
    with (
        DurableSubscriber(endpoint, "ioc", clock=SystemClock(), cursor=Path(cursor)) as subscriber,
        Path(ledger).open("a") as file,
    ):
        file.write("\n")  # the life before may have been ended in the middle of a line
        for number, item in enumerate(subscriber.items(threading.Event())):
            line = f"gap {item.reason}" if isinstance(item, Gap) else f"{item.seq} {event_id(item)}"
            file.write(f"{line} .\n")
            if number % 5 == 0:
                file.flush()
                os.fsync(file.fileno())
                subscriber.ack()


if __name__ == "__main__":
    main()
