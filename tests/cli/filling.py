"""A small store for the verbs."""

from __future__ import annotations

from collections.abc import Container

from making_records import make_hit, make_jpeg, make_sighting

from anpr.store import Store


def fill(store: Store, *, hits: Container[int] = range(3)) -> None:
    """Three passages with pictures, s0 to s2, at the seconds 1000 to 1002; those that are `hits` have one, h0 to h2."""
    for number in range(3):
        picture = store.evidence.put("plate", make_jpeg(str(number)))
        seconds = 1000.0 + number
        sighting = make_sighting(id=f"s{number}", evidence=(picture,), seen_seconds=seconds)
        hit = make_hit(id=f"h{number}", sighting_id=sighting.id, seen_seconds=seconds)
        store.append([sighting], [hit] if number in hits else [])
