"""What a book of rules raises: relations, confirmations, cooldown, waiting, dry run, messages and ids."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_rules import PLACES, Answers, rule_text, sighting

from anpr.records import Hit, Sighting
from anpr.rules.book import RuleBook, hit_id
from anpr.rules.contract import Raised
from anpr.rules.declarations import Declarations
from anpr.rules.fixtures import Seen, hits_of
from anpr.rules.language import RuleFile
from anpr.rules.load import RuleSet
from anpr.rules.memory import MemoryHistory

Book = Callable[..., RuleBook]
CAR = '{ kind = "car" }'
TIMEZONE = timezone(timedelta(hours=7))


def play(book: RuleBook, passages: Sequence[Sighting], history: MemoryHistory | None = None) -> list[list[Raised]]:
    """What is raised about each of some passages that come in turn."""
    history = history or MemoryHistory()
    told: list[list[Raised]] = []
    for passage in passages:
        history.add(passage)
        raised = book.evaluate(passage, history=history)
        history.note(passage.id, raised)
        told.append(list(raised))
    return told


def names(raised: Sequence[Raised]) -> dict[str, str]:
    """Rules with the severity that they raised."""
    return {each.hit.rule: each.hit.severity for each in raised}


def one(book: RuleBook, passage: Sighting | None = None) -> dict[str, str]:
    """What is raised about a single passage."""
    return names(play(book, [passage or sighting()])[0])


def at(minutes: float, id: str, **fields: str | float) -> Sighting:
    """A passage some minutes after 10:00."""
    moment = datetime(2026, 5, 20, 10, tzinfo=TIMEZONE) + timedelta(minutes=minutes)
    return sighting(at=moment.isoformat(), id=id, **fields)


@pytest.mark.parametrize(
    ("more", "fields", "raised"),
    [
        ("", {}, True),
        ("", {"probability": 0.89}, False),
        ("", {"probability": 0.9}, True),
        ("", {"probability": 0.89, "state": "preview"}, False),
        ("", {"state": "preview"}, True),
        ("min_probability = 0.995", {}, False),
        ("", {"plate": "TM-12-34"}, False),
        ("", {"plate": "80-441-NG-02"}, False),
        ('allow_kinds = "military"', {"plate": "TM-12-34"}, True),
        ('allow_kinds = "military"', {"plate": "80-441-NG-02"}, False),
        ("", {"plate": ""}, False),
        ("enabled = false", {}, False),
        ("valid_from = 2026-05-20", {}, True),
        ("valid_from = 2026-05-21", {}, False),
        ("valid_until = 2026-05-20", {}, True),
        ("valid_until = 2026-05-20T10:00:00", {}, False),
        ('unless = { code = "98" }', {}, False),
        ('unless = [{ code = "99" }, { camera = "km25" }]', {}, False),
        ('unless = { code = "99" }', {}, True),
        ('unless = { vehicle_class = "bus" }', {}, False),
        ('unless = { vehicle_class = "bus" }', {"vehicle_class": "truck"}, True),
        ("silent = true", {}, False),
    ],
)
def test_whom_a_rule_judges(book: Book, more: str, fields: dict[str, str | float], raised: bool) -> None:
    rules = book(rule_text('{ probability = { min = 0.0 }, camera = "km25" }', more))
    assert one(rules, sighting(**fields)) == ({"rule": "CHECK"} if raised else {})


def test_an_unreadable_passage_is_judged_only_where_it_is_asked_for(book: Book) -> None:
    rules = book(
        rule_text('{ readable = false, camera = "km25" }', name="asks"),
        rule_text('{ any = [{ kind = "car" }, { unreadable = "too blurred" }] }', name="either"),
        rule_text('{ camera = "km25" }', name="all"),
    )
    assert one(rules, sighting("")) == {"asks": "CHECK", "either": "CHECK"}
    assert one(rules) == {"either": "CHECK", "all": "CHECK"}


def test_one_rule_suppresses_another(book: Book) -> None:
    rules = book(
        rule_text(CAR, name="other"),
        rule_text('{ colour = "yellow" }', 'suppresses = "other"\nsilent = true', name="pass"),
    )
    assert one(rules) == {"other": "CHECK"}
    assert one(rules, sighting(colour="yellow")) == {}
    assert rules.counters.counts == {("rules_suppressed", "other"): 1, ("rules_passed", "pass"): 1}


def test_what_is_unknown_suppresses_nothing(book: Book) -> None:
    rules = book(
        rule_text(CAR, name="other"), rule_text('{ vehicle_class = "bus" }', 'suppresses = "other"', name="pass")
    )
    assert one(rules) == {"other": "CHECK"}
    assert rules.counters.counts == {("rules_unknown", "pass"): 1}


def test_severity_rises_with_another_rule(book: Book) -> None:
    texts = [
        rule_text('{ code = "98" }', 'raises_with = ["stay", "listed"]', name="zone"),
        rule_text('{ seen = { within = "14d", camera = "km3" } }', 'cooldown = "1h"', name="stay"),
        rule_text("{ listed = {} }", name="listed"),
    ]
    rules = book(*texts)
    assert one(rules) == {"zone": "CHECK"}
    passages = [at(0, "a", camera="km3"), at(30, "b"), at(40, "c")]
    assert [names(raised) for raised in play(rules, passages)] == [
        {"zone": "CHECK"},
        {"zone": "ALERT", "stay": "CHECK"},
        {"zone": "ALERT"},
    ], "stay is cooling down, but is true"


def test_a_severity_never_falls(book: Book) -> None:
    more = 'raises_with = "other"\nraised_severity = "INFO"'
    rules = book(rule_text(CAR, more, name="rule"), rule_text(CAR, name="other"))
    assert one(rules)["rule"] == "CHECK"


def test_a_rule_in_dry_run_changes_only_others_in_dry_run(book: Book) -> None:
    rules = book(
        rule_text(CAR, name="real"),
        rule_text(CAR, "dry_run = true", name="rehearsed"),
        rule_text(CAR, 'dry_run = true\nsuppresses = ["real", "rehearsed"]', name="guard"),
    )
    told = play(rules, [sighting()])[0]
    assert {each.hit.rule: each.dry_run for each in told} == {"real": False, "guard": True}


@pytest.mark.parametrize(
    ("confirmations", "passages", "raised"),
    [
        ('{ sightings = 2, within = "1h" }', [at(0, "a"), at(30, "b")], [False, True]),
        ('{ sightings = 2, within = "1h" }', [at(0, "a"), at(61, "b")], [False, False]),
        ('{ sightings = 2, within = "1h" }', [at(0, "a", colour="blue"), at(30, "b")], [False, False]),
        ('{ sightings = 2, within = "1h" }', [at(0, "a", probability=0.5), at(30, "b")], [False, False]),
        ('{ sightings = 2, cameras = 2, within = "1h" }', [at(0, "a"), at(30, "b")], [False, False]),
        ('{ sightings = 2, cameras = 2, within = "1h" }', [at(0, "a", camera="km3"), at(30, "b")], [False, True]),
        ('{ sightings = 2, within = "1h" }', [at(0, "a"), at(0, "a", revision=1)], [False, False]),
    ],
)
def test_confirmations(book: Book, confirmations: str, passages: list[Sighting], raised: list[bool]) -> None:
    rules = book(rule_text('{ colour = "white" }', f"confirmations = {confirmations}"))
    assert [bool(each) for each in play(rules, passages)] == raised


@pytest.mark.parametrize(
    ("per", "passages", "raised"),
    [
        ("plate", [at(0, "a"), at(59, "b"), at(60, "c"), at(61, "d")], [True, False, True, False]),
        ("plate", [at(0, "a"), at(10, "b", plate="29A-123.45")], [True, True]),
        ("camera", [at(0, "a"), at(10, "b", plate="29A-123.45"), at(20, "c", camera="km3")], [True, False, True]),
        ("rule", [at(0, "a"), at(10, "b", plate="29A-123.45", camera="km3")], [True, False]),
    ],
)
def test_cooldown(book: Book, per: str, passages: list[Sighting], raised: list[bool]) -> None:
    rules = book(rule_text(CAR, f'cooldown = "1h"\ncooldown_per = "{per}"'))
    assert [bool(each) for each in play(rules, passages)] == raised


def test_a_revision_does_not_cool_down_by_its_own_earlier_one(book: Book) -> None:
    rules = book(rule_text(CAR, 'cooldown = "1h"'))
    preview, final = sighting(state="preview"), sighting(revision=1)
    first, second = play(rules, [preview, final])
    assert first[0].hit.id == second[0].hit.id == hit_id("rule", "now")
    assert (first[0].hit.state, first[0].hit.revision) == ("preview", 0)
    assert (second[0].hit.state, second[0].hit.revision) == ("final", 1)


def test_a_rule_that_waits_is_asked_only_with_its_wait(book: Book) -> None:
    rules = book(
        rule_text('{ not = { seen = { within = "4h", later = true, camera = "km60" } } }', 'wait = "4h"', name="stays"),
        rule_text(CAR, name="at-once"),
    )
    assert rules.waits == (14_400.0,)
    history = MemoryHistory()
    history.add(sighting())
    assert names(rules.evaluate(sighting(), history=history)) == {"at-once": "CHECK"}
    assert names(rules.evaluate(sighting(), history=history, wait_seconds=14_400.0)) == {"stays": "CHECK"}
    history.add(at(100, "gone", camera="km60"))
    assert rules.evaluate(sighting(), history=history, wait_seconds=14_400.0) == ()


def test_what_comes_too_late_is_judged_as_the_rule_says(book: Book) -> None:
    rules = book(rule_text(CAR, 'late = "skip"', name="skips"), rule_text(CAR, name="judges"))
    raised = rules.evaluate(sighting(), history=MemoryHistory(), late=True)
    assert names(raised) == {"judges": "CHECK"}
    assert rules.counters.counts == {("rules_skipped", "skips"): 1}


def test_a_hit_says_what_was_found(book: Book) -> None:
    rules = book(
        rule_text(
            '{ listed = { list = "stolen" }, seen = { within = "6h" } }',
            vi="{plate} tại {camera} lúc {time}: {listed} ({entry_reason}); thấy ở {seen_camera} {seen_ago} trước",
            en="{plate} at {camera}, {time} {date}: {listed} ({reference}); seen at {seen_camera} {seen_ago} ago",
        )
    )
    passage = sighting()
    seen = Seen.model_validate(
        {
            "plate": "98C-012.34",
            "camera": "km25",
            "at": "2026-05-20",
            "listed": {
                "list": "stolen",
                "plate": "93C-012.34",
                "reason": "3 read as 8 at position 2",
                "probability": 0.4,
                "entry_reason": "theft",
                "authority": "PC08",
                "until": "2026-12-31",
            },
        }
    )
    history = MemoryHistory()
    for each in (at(-95, "a", camera="km3"), at(-35, "b", camera="km60"), passage):
        history.add(each)
    (raised,) = rules.evaluate(passage, history=history, hits=hits_of(seen, passage))
    hit = raised.hit
    assert hit.message_vi == "98C-012.34 tại km25 lúc 10:00:00: 93C01234 (theft); thấy ở km60 35 phút trước"
    assert hit.message_en == "98C-012.34 at km25, 10:00:00 2026-05-20: 93C01234 (?); seen at km60 35 min ago"
    assert hit.sighting_ids == ("a", "b")
    assert (hit.listed, hit.list_name, hit.probability, hit.authority) == ("93C01234", "stolen", 0.4, "PC08")
    assert hit.entry_until_seconds == datetime(2026, 12, 31, 17, tzinfo=UTC).timestamp()
    assert (hit.rule, hit.rule_version, hit.reason) == ("rule", rules.rules[0].version, "rule")
    assert (raised.key, raised.dry_run) == ("98C01234", False)


def test_only_the_branch_that_is_true_is_evidence(book: Book) -> None:
    rules = book(
        rule_text(
            '{ any = [{ seen = { within = "6h" }, colour = "blue" }, { declared = {} }], '
            'not = { seen = { within = "1h", camera = "km60" } } }',
            en="{seen_camera} {declared_origin}",
        ),
        declarations=Declarations(),
    )
    declarations = rules.rules[0].sources.declarations
    assert declarations is not None
    declarations.push({"plate": "98C-012.34", "type": "x", "declared": "2026-05-20", "origin": "Hà Nội"})
    ((raised,),) = play(rules, [at(0, "now")], _history(at(-35, "a", camera="km3")))
    assert raised.hit.message_en == "? Hà Nội"
    assert raised.hit.sighting_ids == ()


def _history(*passages: Sighting) -> MemoryHistory:
    history = MemoryHistory()
    for each in passages:
        history.add(each)
    return history


def test_how_far_back_is_asked_is_known(book: Book) -> None:
    rules = book(
        rule_text(
            '{ seen = { within = "2h" } }', 'unless = { dwell = { within = "3d", longer_than = "1h" } }', name="a"
        ),
        rule_text('{ convoy = { gap = "10s", within = "1h" } }', 'cooldown = "5h"', name="b"),
        rule_text('{ list_hits = { within = "30m", more_than = 3 } }', name="c"),
        rule_text('{ seen = { within = "90d" } }', "enabled = false", name="d"),
    )
    assert rules.plate_seconds == 3 * 86_400.0
    assert rules.camera_seconds == 3600.0 + 20.0
    assert rules.cooldown_seconds == 5 * 3600.0
    assert rules.list_seconds == 1800.0


def test_a_list_with_too_many_hits(book: Book) -> None:
    rules = book(rule_text('{ list_hits = { within = "1h", more_than = 2 } }', en="{list}: {list_hits}"))
    history = MemoryHistory()
    seen = Seen.model_validate(
        {"plate": "98C-012.34", "camera": "km25", "at": "2026-05-20", "listed": {"list": "stolen"}}
    )
    told: list[tuple[Raised, ...]] = []
    for number in range(4):
        passage = at(number, str(number), plate=f"29A-123.4{number}")
        hits: Sequence[Hit] = hits_of(seen, passage)
        history.add(passage, hits=hits)
        told.append(rules.evaluate(passage, history=history, hits=hits))
    assert [[each.hit.message_en for each in raised] for raised in told] == [[], [], [], ["stolen: 3"]]


def test_a_fault_in_one_rule_costs_only_that_rule(book: Book) -> None:
    class Broken(MemoryHistory):
        def of_plate(self, *_: object) -> list[object]:  # type: ignore[override]
            raise RuntimeError("the memory is damaged")

    rules = book(rule_text('{ seen = { within = "1h" } }', name="asks"), rule_text(CAR, name="does-not"))
    assert names(rules.evaluate(sighting(), history=Broken())) == {"does-not": "CHECK"}
    assert rules.counters.counts == {("rules_failed", "asks"): 1}
    assert rules.failing == {"asks": "RuntimeError: the memory is damaged"}
    rules.evaluate(sighting(), history=MemoryHistory())
    assert rules.failing == {}


@given(
    colours=st.lists(st.sampled_from(["white", "yellow", "blue", "unknown"]), min_size=1, max_size=8),
    cameras=st.lists(st.sampled_from(["km3", "km25", "km60", "yard"]), min_size=8, max_size=8),
    directions=st.lists(st.sampled_from(["approaching", "receding", "unknown"]), min_size=8, max_size=8),
)
def test_what_was_judged_before_does_not_matter(colours: list[str], cameras: list[str], directions: list[str]) -> None:
    """Rules are chosen by what passages have in common, and that choice is kept: it must not leak."""
    texts = (
        rule_text('{ colour = "yellow", bound = "in" }', name="a"),
        rule_text('{ camera = "km3", not = { direction = "receding" } }', name="b"),
        rule_text('{ any = [{ colour = "blue" }, { bound = "out" }] }', name="c"),
    )
    shared = _book_of(texts)
    for index, colour in enumerate(colours):
        passage = sighting(id=str(index), colour=colour, camera=cameras[index], direction=directions[index])
        alone = _book_of(texts).evaluate(passage, history=MemoryHistory())
        assert shared.evaluate(passage, history=MemoryHistory()) == alone


def _book_of(texts: Sequence[str]) -> RuleBook:
    rules = RuleFile.model_validate(tomllib.loads("\n".join(texts))).rules
    return RuleSet({rule.name: rule for rule in rules}, {}).book(places=PLACES, registers=Answers({}))


def test_records_of_earlier_versions_are_still_read() -> None:
    """What stores hold from before these fields were there."""
    added = {
        Sighting: ("lane", "vehicle_class", "speed_kmh"),
        Hit: ("rule", "rule_version", "message_vi", "message_en", "sighting_ids", "entry_until_seconds"),
    }
    passage = sighting()
    seen = Seen.model_validate(
        {"plate": "98C-012.34", "camera": "km25", "at": "2026-05-20", "listed": {"list": "stolen"}}
    )
    for record in (passage, hits_of(seen, passage)[0]):
        fields = msgspec.to_builtins(record)
        for name in added[type(record)]:
            del fields[name]
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=type(record)) == record
