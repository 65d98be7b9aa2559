"""Sightings and hits for tests: give what matters, the rest is filled in."""

from __future__ import annotations

import hashlib
from typing import Any

import cv2
import msgspec
import numpy as np
from hypothesis import strategies as st

from anpr.records import CoverageGap, Evidence, Hit, Sighting

_SIGHTING = Sighting(
    id="s-1",
    revision=1,
    state="final",
    site_id="north",
    camera_id="gate-1",
    track=7,
    text="30A12345",
    raw="30A12345",
    display="30A-123.45",
    kind="car",
    probability=0.97,
    alternatives=(("30A12345", 0.97), ("30A12346", 0.02)),
    lattice=tuple(((character, 0.98), ("8", 0.01), ("B", 0.01)) for character in "30A12345"),
    lines=1,
    colour="white",
    province_code="30",
    province="Hà Nội",
    province_before="Hà Nội",
    direction="approaching",
    first_seconds=1_767_225_600.0,
    seen_seconds=1_767_225_600.5,
    last_seconds=1_767_225_601.0,
    pts_seconds=12.5,
    frames=14,
    reads=11,
    quad=((100.5, 200.25), (180.5, 201.0), (180.0, 230.0), (100.0, 229.5)),
    tainted=False,
    evidence=(Evidence(kind="plate", sha256="0" * 64, width_px=160, height_px=48),),
    pipeline="default 0a1b2c3d",
    models=("detector 01234567", "reader 89abcdef"),
)

_HIT = Hit(
    id="h-1",
    revision=1,
    state="final",
    severity="ALERT",
    sighting_id="s-1",
    site_id="north",
    camera_id="gate-1",
    seen_seconds=1_767_225_600.5,
    text="30A12345",
    raw="30A12345",
    listed="30A12345",
    display="30A-123.45",
    probability=0.97,
    reason="exact",
    list_name="stolen",
    list_version="2026-01-01",
    list_age_seconds=60.0,
    entry_reason="stolen 2025-12-30",
)


_GAP = CoverageGap(
    id="g-1",
    revision=0,
    state="preview",
    site_id="north",
    camera_id="gate-1",
    reason="offline",
    detail="nothing listens there",
    from_seconds=1_767_225_600.5,
    until_seconds=1_767_225_601.0,
)


def make_sighting(**changes: Any) -> Sighting:
    """A good sighting but for `changes`."""
    return msgspec.structs.replace(_SIGHTING, **changes)


def make_hit(**changes: Any) -> Hit:
    """A good hit but for `changes`."""
    return msgspec.structs.replace(_HIT, **changes)


def make_gap(**changes: Any) -> CoverageGap:
    """A coverage gap but for `changes`."""
    return msgspec.structs.replace(_GAP, **changes)


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
_FRACTIONS = st.floats(0, 1)
_SECONDS = st.floats(0, 4e9)

SIGHTINGS = st.builds(
    make_sighting,
    id=NAMES,
    revision=st.integers(0, 2**31),
    state=st.sampled_from(["preview", "final", "withdrawn"]),
    site_id=NAMES,
    camera_id=NAMES,
    text=st.text("0123456789ABCD", max_size=9),
    raw=NAMES,
    display=NAMES,
    probability=_FRACTIONS,
    alternatives=st.lists(st.tuples(NAMES, _FRACTIONS), max_size=3).map(tuple),
    lattice=st.lists(st.lists(st.tuples(NAMES, _FRACTIONS), max_size=3).map(tuple), max_size=3).map(tuple),
    seen_seconds=_SECONDS,
    quad=st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), max_size=4).map(tuple),
    unreadable=NAMES,
    evidence=st.just(()),
)

HITS = st.builds(
    make_hit,
    id=NAMES,
    revision=st.integers(0, 2**31),
    severity=st.sampled_from(["INFO", "CHECK", "ALERT"]),
    site_id=NAMES,
    seen_seconds=_SECONDS,
    probability=_FRACTIONS,
    reason=NAMES,
)

GAPS = st.builds(
    make_gap,
    id=NAMES,
    revision=st.integers(0, 2**31),
    state=st.sampled_from(["preview", "final"]),
    site_id=NAMES,
    camera_id=NAMES,
    reason=st.sampled_from(["not_running", "offline", "frozen", "overload"]),
    detail=NAMES,
    from_seconds=_SECONDS,
    until_seconds=_SECONDS,
)


def make_jpeg(seed: str, *, width_px: int = 16, height_px: int = 8) -> bytes:
    """A small picture, different for each seed."""
    shade = np.frombuffer(hashlib.sha256(seed.encode()).digest() * 4, np.uint8).reshape(8, 16)
    done, data = cv2.imencode(".jpg", cv2.resize(shade, (width_px, height_px)))
    assert done
    return data.tobytes()
