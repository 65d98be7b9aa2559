"""The fault matrix's ledger of plates finds a passage that lost its plate wrongly or kept it, and any byte of one."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from making_records import make_hit, make_jpeg, make_sighting

from anpr.clock import ManualClock
from anpr.plates.pseudonym import Pseudonyms
from anpr.records import Event, Hit
from anpr.store import Store
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.pseudonym_rows import (
    require_all_or_none,
    require_no_form_left,
    require_pictures_gone,
    require_plates_gone,
)
from scripts.fault_matrix.rig import Rig

DAY = 86_400.0
KEY = Pseudonyms(bytes(32))
ASK = [
    require_all_or_none,
    require_plates_gone,
    require_pictures_gone,
    lambda rig: require_no_form_left(rig, random.Random(1)),
]


def _is_hit(event: Event) -> bool:
    return isinstance(event.record, Hit)


def _problems(folder: Path, ask: Callable[[Rig], None]) -> list[str]:
    with Rig(Fault(name="made-up", code="S10", does="", must=""), folder=folder, times=1, quick=True) as rig:
        ask(rig)
        return rig.outcome.problems


@pytest.fixture
def written_anew(tmp_path: Path) -> Path:
    """Two days of four passages each, the first of each with a hit; the first day is without plates."""
    clock = ManualClock()
    book: list[dict[str, Any]] = []
    with Store.open(tmp_path / "store", clock=clock) as store:
        for day in range(2):
            for number in range(4):
                text, name = f"30B1{day}{number}00", f"v{day}{number}"
                picture = store.evidence.put("plate", make_jpeg(text))
                lattice = tuple(((character, 0.98),) for character in text)
                seen = make_sighting(id=name, text=text, lattice=lattice, evidence=(picture,), seen_seconds=clock.wall)
                hits = [make_hit(id=f"h{day}", sighting_id=name, evidence=(picture,))] if number == 0 else []
                book.append({"event": "taken", "at": 0.0, "id": f"sighting.{name}.0", "text": text})
                for event in store.append([seen], hits):
                    told = {"event": "told", "at": 0.0, "seq": event.seq, "pictures": [picture.sha256]}
                    book.append({**told, "id": f"{'hit' if _is_hit(event) else 'sighting'}.{event.record.id}.0"})
            clock.advance(DAY)
        store.append([make_sighting(id="last", text="30B12000", evidence=())])
        book.append({"event": "taken", "at": 0.0, "id": "sighting.last.0", "text": "30B12000"})
        oldest = store.partitions.all[0]
        for _ in store.pseudonymise(oldest, choose=lambda _: _is_hit, reason="test", pseudonyms=KEY):
            pass
    (tmp_path / "hub.book").write_text("".join(json.dumps(line) + "\n" for line in book))
    return tmp_path


@pytest.mark.parametrize("ask", ASK)
def test_nothing_is_found_where_plates_gave_way_rightly(written_anew: Path, ask: Callable[[Rig], None]) -> None:
    assert _problems(written_anew, ask) == []


@pytest.mark.parametrize("left", [b"30B10100", b"30B-101.00", b"00101B03"])
def test_a_plate_in_any_file_is_found(written_anew: Path, left: bytes) -> None:
    (written_anew / "store" / "evidence" / "old.tmp").write_bytes(bytes(5000) + left + bytes(5000))
    (problem,) = _problems(written_anew, require_plates_gone)
    assert "no byte of a plate that went" in problem
    assert "30B10100" in problem


def test_a_plate_as_a_number_or_as_a_lattice_is_found(written_anew: Path) -> None:
    number = 0
    for character in "30B10200":
        number = number * 37 + 1 + "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(character)
    lattice = msgspec.msgpack.encode([[[character, 0.98]] for character in "30B10300"])
    (written_anew / "store" / "left").write_bytes(number.to_bytes(8, "big") + lattice)
    problems = _problems(written_anew, ASK[-1])
    assert [each.split(";")[0] for each in problems] == [
        "expected no plate that went, as a number",
        "expected no plate that went, as a lattice",
    ]


def test_a_picture_that_is_left_is_found(written_anew: Path) -> None:
    lines = [json.loads(line) for line in (written_anew / "hub.book").read_text().splitlines()]
    picture = next(line["pictures"][0] for line in lines if line["event"] == "told" and "v01" in line["id"])
    folder = written_anew / "store" / "evidence" / picture[:2]
    folder.mkdir(exist_ok=True)
    (folder / f"{picture[2:]}.jpg").write_bytes(b"")
    (problem,) = _problems(written_anew, require_pictures_gone)
    assert "no picture of a plate that went" in problem


@pytest.mark.parametrize(
    ("seen", "told", "expected"),
    [("30B11100", "30B11199", "all plates of a day or none"), ("30B10100", "30B10200", "one pseudonym for one plate")],
)
def test_another_plate_than_was_seen_is_found(written_anew: Path, seen: str, told: str, expected: str) -> None:
    book = written_anew / "hub.book"
    book.write_text(book.read_text().replace(f'"text": "{seen}"', f'"text": "{told}"'))
    (problem,) = _problems(written_anew, require_all_or_none)
    assert expected in problem
