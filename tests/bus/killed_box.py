"""A box that commits and delivers without end, to be killed at any moment. Usage: killed_box.py STORE RELIABLE LIVE"""

from __future__ import annotations

import select
import sys
import uuid
from pathlib import Path

from making_records import make_hit, make_sighting

from anpr.bus import Bus, BusOptions, Consumer
from anpr.clock import SystemClock
from anpr.store import Store


def main() -> None:
    path, reliable, live = sys.argv[1:]
    clock = SystemClock()
    options = BusOptions(
        endpoint=live, reliable_endpoint=reliable, consumers=(Consumer(name="ioc", most_per_second=1e6),)
    )
    with Store.open(Path(path), clock=clock, box="box-1") as store:
        with Bus(options, box="box-1", epoch=store.epoch, log=store.outbox, clock=clock) as bus:
            while True:
                number = uuid.uuid4().hex
                hits = [make_hit(id=f"h{number}", sighting_id=number)] if number < "2" else []
                for event in store.append([make_sighting(id=number)], hits):
                    bus.publish(event)
                while bus.turn():
                    pass
                select.select(bus.files(), [], [], 0.002)


if __name__ == "__main__":
    main()
