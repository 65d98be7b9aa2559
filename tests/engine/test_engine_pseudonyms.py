"""A hub that starts anew does not take pseudonyms for plates."""

from __future__ import annotations

from pathlib import Path

from judging import STANDING, judge_of, play
from making_records import make_sighting

from anpr.clock import ManualClock
from anpr.plates.pseudonym import Pseudonyms
from anpr.records import Hit, Sighting
from anpr.store import Store

KEY = Pseudonyms(bytes(range(32)))


def passage(number: int, text: str, camera: str, seconds: float) -> Sighting:
    return make_sighting(
        id=f"{number:032x}",
        text=text,
        camera_id=camera,
        seen_seconds=STANDING + seconds,
        evidence=(),
        direction="receding",
    )


def test_a_judge_remembers_no_pseudonyms_and_says_nothing_of_them(tmp_path: Path) -> None:
    clock = ManualClock()
    with Store.open(tmp_path / "store", clock=clock) as store:
        judge = judge_of(store)
        seen = [passage(1, "30A12345", "a", 0.0), passage(2, "30A12346", "gate", 1.0), passage(3, "98C01234", "b", 2.0)]
        play(store, judge, seen)
        clock.advance(86_400.0)
        store.roll()
        for _ in store.pseudonymise(
            store.partitions.all[0],
            choose=lambda txn: lambda event: isinstance(event.record, Hit),
            reason="test",
            pseudonyms=KEY,
        ):
            pass
        again = judge_of(store)
        assert again.history.passages == 0
        late = [
            passage(4, "30A12345", "b", 3.0),
            passage(5, "29A00001", "c", 200.0),
            passage(6, "30A12345", "gate", 400.0),
        ]
        play(store, again, late)
        raised = [event.record for event in store.events() if isinstance(event.record, Hit)]
        assert {hit.sighting_id for hit in raised} <= {each.id for each in late}
        assert raised
        assert not any("~" in text for hit in raised for text in (hit.text, hit.display, hit.message_en))
