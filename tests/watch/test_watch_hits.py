import msgspec
import pytest
from making_records import make_sighting

from anpr.records import Sighting
from anpr.watch.entries import Entry
from anpr.watch.hits import find_matches, raise_hit, withdraw_hit
from anpr.watch.lists import WatchList
from anpr.watch.matcher import Match, Matcher


def match_of(sighting: Sighting, *, version: str = "v1") -> Match:
    entry = Entry("30A12345", reason="stolen 3 March", reference="12/QĐ")
    watch_list = WatchList(
        "stolen", version, (entry,), "theft", authority="C08", loaded_seconds=sighting.seen_seconds - 60
    )
    ((match,),) = find_matches(Matcher((watch_list,)), [sighting])
    return match


def test_a_hit_tells_what_was_read_and_what_is_listed() -> None:
    sighting = make_sighting()
    hit = raise_hit(sighting, match_of(sighting))
    assert (hit.text, hit.listed, hit.reason, hit.severity) == ("30A12345", "30A12345", "exact", "ALERT")
    assert (hit.list_name, hit.list_version, hit.authority) == ("stolen", "v1", "C08")
    assert (hit.entry_reason, hit.reference) == ("stolen 3 March", "12/QĐ")
    assert hit.list_purpose == "theft"
    assert hit.list_age_seconds == pytest.approx(60.0)
    assert (hit.sighting_id, hit.camera_id, hit.evidence) == (sighting.id, sighting.camera_id, sighting.evidence)


def test_revisions_and_new_list_versions_keep_the_id() -> None:
    preview = make_sighting(revision=0, state="preview")
    final = make_sighting(revision=1, text="30A12346", alternatives=(("30A12346", 0.6), ("30A12345", 0.4)))
    first, second = raise_hit(preview, match_of(preview)), raise_hit(final, match_of(final, version="v2"))
    assert first.id == second.id
    assert (first.state, second.state) == ("preview", "final")
    assert (second.severity, second.reason) == ("CHECK", "5 read as 6 at position 8")
    other = make_sighting(id="s-2")
    assert raise_hit(other, match_of(other)).id != first.id


def test_a_hit_can_be_withdrawn() -> None:
    sighting = make_sighting(revision=0, state="preview")
    hit = raise_hit(sighting, match_of(sighting))
    withdrawn = withdraw_hit(hit, revision=1)
    assert msgspec.structs.replace(withdrawn, state="preview", revision=0) == hit
    assert (withdrawn.state, withdrawn.revision) == ("withdrawn", 1)
    with pytest.raises(ValueError, match="after 0"):
        withdraw_hit(hit, revision=0)
