import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anpr.plates.confusions import Confusions, shipped
from anpr.plates.grammar import parse
from anpr.plates.patterns import parse_pattern
from anpr.records import ALPHABET, Severity
from anpr.watch.entries import Entry, read_entry
from anpr.watch.index import Costs, Thresholds
from anpr.watch.limits import Limits
from anpr.watch.lists import WatchList
from anpr.watch.matcher import Match, Matcher, Question

NOW = 1_767_225_600.0


def make_costs(*pairs: tuple[str, float], missing: float = 2e-3, extra: float = 2e-3) -> Costs:
    """Two characters that are taken for each other, with the probability; all other pairs have 0.0002."""
    probabilities = np.full((36, 36), 2e-4)
    for (one, other), probability in pairs:
        here, there = ALPHABET.index(one), ALPHABET.index(other)
        probabilities[here, there] = probabilities[there, here] = probability
    np.fill_diagonal(probabilities, 0.0)
    np.fill_diagonal(probabilities, 1.0 - probabilities.sum(axis=0))
    return Costs(Confusions(-np.log(probabilities)), missing=missing, extra=extra)


ALIKE = make_costs(("38", 0.01), ("8B", 0.02), ("0D", 0.02), ("56", 0.01), ("27", 0.009))
EIGHT_IN_A_THOUSAND = Thresholds(0.008, 0.008)


def make_matcher(
    *lists: WatchList, costs: Costs = ALIKE, thresholds: Thresholds | None = EIGHT_IN_A_THOUSAND
) -> Matcher:
    return Matcher(lists, costs=costs, thresholds=thresholds)


def make_list(*plates: str, name: str = "stolen", severity: Severity = "ALERT") -> WatchList:
    return WatchList(name, "v1", tuple(Entry(plate) for plate in plates), severity=severity)


def make_lattice(text: str, doubt: dict[int, tuple[str, float]] | None = None) -> list[list[tuple[str, float]]]:
    """`text` read with certainty but for some positions, from 0, with another character and its probability."""
    lattice = []
    for position, character in enumerate(text):
        other, probability = (doubt or {}).get(position, ("", 0.0))
        row = [(character, 1.0 - probability), (other, probability)] if probability else [(character, 1.0)]
        lattice.append(sorted(row, key=lambda item: -item[1]))
    return lattice


def ask(
    matcher: Matcher,
    text: str,
    *,
    probability: float = 0.99,
    others: tuple[tuple[str, float], ...] = (),
    doubt: dict[int, tuple[str, float]] | None = None,
) -> tuple[Match, ...]:
    return matcher.match(
        text=text,
        raw=text,
        alternatives=((text, probability), *others),
        lattice=make_lattice(text, doubt),
        seen_seconds=NOW,
    )


def test_exact() -> None:
    (match,) = ask(make_matcher(make_list("30A12345", "29A00001")), "30A12345")
    assert (match.entry.plate, match.reason, match.severity, match.probability) == ("30A12345", "exact", "ALERT", 0.99)


def test_an_uncertain_exact_match_is_a_check() -> None:
    (match,) = ask(make_matcher(make_list("30A12345")), "30A12345", probability=0.9)
    assert (match.reason, match.severity) == ("exact", "CHECK")
    (match,) = ask(make_matcher(make_list("30A12345")), "30A12345", probability=0.95)
    assert match.severity == "ALERT"


def test_an_exact_match_is_told_however_improbable() -> None:
    (match,) = ask(make_matcher(make_list("30A12345", "30A12348")), "30A12345", probability=0.003)
    assert (match.reason, match.probability) == ("exact", 0.003)


def test_a_confusion_of_shapes_is_a_check_with_its_reason() -> None:
    (match,) = ask(make_matcher(make_list("30A12348")), "30A12343")
    assert (match.reason, match.severity) == ("8 read as 3 at position 8", "CHECK")
    assert match.probability == pytest.approx(0.99 * 0.01, abs=1e-6)


def test_two_confusions_match_where_the_lattice_doubts_both() -> None:
    (match,) = ask(
        make_matcher(make_list("30A12999")),
        "30A12345",
        probability=0.4,
        doubt={5: ("9", 0.3), 6: ("9", 0.4), 7: ("9", 0.4)},
    )
    assert match.reason == "9 read as 3 at position 6, 9 read as 4 at position 7, 9 read as 5 at position 8"
    assert match.probability == pytest.approx(0.4 * 0.3 / 0.7 * (0.4 / 0.6) ** 2, abs=1e-6)


def test_the_entry_overrides_the_severity() -> None:
    watch_list = WatchList("x", "v", (Entry("30A12345", severity="INFO"),), severity="ALERT")
    assert ask(make_matcher(watch_list), "30A12345")[0].severity == "INFO"


def test_shapes_that_differ_do_not_match_a_certain_read() -> None:
    assert ask(make_matcher(make_list("30A12344")), "30A12348") == ()


def test_what_the_lattice_doubts_matches() -> None:
    (match,) = ask(make_matcher(make_list("30A12344")), "30A12348", probability=0.9, doubt={7: ("4", 0.1)})
    assert match.reason == "4 read as 8 at position 8"
    assert match.probability == pytest.approx(0.9 * 0.1 / 0.9, abs=1e-6)


def test_alternatives_match_with_their_own_probability() -> None:
    matcher = make_matcher(make_list("30A1234", "20B12345"))
    matches = ask(matcher, "30A12345", probability=0.7, others=(("30A1234", 0.2), ("20B12345", 0.05)))
    assert [(match.reason, match.probability) for match in matches] == [
        ("one character too many, 5 at position 8", 0.2),
        ("2 read as 3 at position 1, B read as A at position 3", 0.05),
    ]


def test_a_character_too_many_or_missing_at_the_end() -> None:
    (match,) = ask(make_matcher(make_list("30A1234")), "30A12345", doubt={7: ("", 0.3)})
    assert match.probability == pytest.approx(0.99 * 0.3 / 0.7, abs=1e-6)
    lattice = [*make_lattice("30A1234"), [("", 0.8), ("5", 0.2)]]
    (match,) = make_matcher(make_list("30A12345")).match(
        text="30A1234", raw="30A1234", alternatives=(("30A1234", 0.8),), lattice=lattice, seen_seconds=NOW
    )
    assert match.probability == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize(
    ("read", "listed", "reason"),
    [
        ("30A1245", "30A12345", "one character missing, 3 at position 6"),
        ("0A12345", "30A12345", "one character missing, 3 at position 1"),
        ("30A123945", "30A12345", "one character too many, 9 at position 7"),
        ("930A12345", "30A12345", "one character too many, 9 at position 1"),
        ("30A1245", "30A12346", "one character missing, 3 at position 6, 6 read as 5 at position 7"),
    ],
)
def test_a_character_too_many_or_missing_anywhere(read: str, listed: str, reason: str) -> None:
    costs = make_costs(("56", 0.5), missing=0.02, extra=0.03)
    matches = ask(make_matcher(make_list(listed), costs=costs), read, probability=1.0)
    assert [match.reason for match in matches] == [reason]
    expected = (0.02 if len(read) < len(listed) else 0.03) * (0.5 if "6 read" in reason else 1.0)
    assert matches[0].probability == pytest.approx(expected, rel=1e-3)
    assert matches[0].severity == "CHECK"


def test_near_matches_only_where_the_list_has_no_exact_one() -> None:
    matcher = make_matcher(make_list("30A12348", "30A12343", "30A*"), make_list("30A12343", name="other"))
    matches = ask(matcher, "30A12348")
    assert [(match.watch_list.name, match.reason) for match in matches] == [
        ("stolen", "exact"),
        ("stolen", "wildcard"),
        ("other", "3 read as 8 at position 8"),
    ]


def test_an_exact_entry_that_does_not_hold_hides_nothing() -> None:
    entries = (Entry("30A12348", valid_until_seconds=NOW), Entry("30A12343"))
    (match,) = ask(make_matcher(WatchList("x", "v", entries)), "30A12348")
    assert match.reason == "3 read as 8 at position 8"


def test_wildcards_are_checks_with_what_was_read_otherwise() -> None:
    patterns = [parse_pattern(text).text for text in ("30A-12?.45", "*A-123.4*", "30*", "20A*", "30B-123*")]
    matches = ask(make_matcher(make_list(*patterns)), "30A12345", doubt={2: ("B", 0.1)})
    assert {match.entry.plate: (match.reason, match.severity) for match in matches} == {
        "30A12?45": ("wildcard", "CHECK"),
        "*A1234*": ("wildcard", "CHECK"),
        "30*": ("wildcard", "CHECK"),
        "30B123*": ("wildcard, B read as A at position 3", "CHECK"),
    }
    assert {match.probability for match in matches if match.reason == "wildcard"} == {0.99}


def test_entries_hold_only_in_their_time() -> None:
    entries = (Entry("30A12345", valid_until_seconds=NOW), Entry("30A12345", "now", valid_from_seconds=NOW))
    (match,) = ask(make_matcher(WatchList("x", "v", entries)), "30A12345")
    assert match.entry.reason == "now"
    later = (Entry("30A12345", valid_from_seconds=NOW + 1),)
    assert ask(make_matcher(WatchList("x", "v", later)), "30A12345") == ()


def test_lists_hold_only_where_they_are_for() -> None:
    limits = Limits(sites=frozenset({"km12"}), directions=frozenset({"approaching"}))
    matcher = make_matcher(WatchList("x", "v", (Entry("30A12345"),), limits=limits))

    def found(site_id: str, direction: str) -> list[tuple[str, str]]:
        matches = matcher.match(
            text="30A12345",
            raw="30A12345",
            alternatives=(("30A12345", 0.99),),
            lattice=(),
            seen_seconds=NOW,
            site_id=site_id,
            direction=direction,
        )
        return [(match.severity, match.reason) for match in matches]

    assert found("km12", "approaching") == [("ALERT", "exact")]
    assert found("km12", "receding") == []
    assert found("km13", "approaching") == []
    assert found("km12", "unknown") == [("CHECK", "exact, but direction unknown")]


def test_an_unsettled_read_asks_with_its_raw_text() -> None:
    matcher = make_matcher(make_list("30A12345"))
    raw = "3OA12345"
    lattice = make_lattice(raw, {1: ("0", 0.4)})
    (match,) = matcher.match(text="", raw=raw, alternatives=(), lattice=lattice, seen_seconds=NOW)
    assert match.reason == "0 read as O at position 2"
    assert match.probability == pytest.approx(0.4, abs=1e-6)
    assert matcher.match(text="", raw="", alternatives=(), lattice=(), seen_seconds=NOW) == ()


@pytest.mark.parametrize("raw", ["30A1234567890", "30Ạ12345", "?0A12345", "\0", "3" * 500])
def test_what_can_be_no_plate_matches_nothing(raw: str) -> None:
    matcher = make_matcher(make_list("30A12345", "30*"))
    lattice = [[(character, 1.0)] for character in raw]
    assert matcher.match(text="", raw=raw, alternatives=(), lattice=lattice, seen_seconds=NOW) == ()


def test_what_was_not_settled_is_never_an_alert() -> None:
    """Reads of damaged pictures alone are sure of their text, and yet settle none."""
    matcher = make_matcher(make_list("30A12345"))
    (match,) = matcher.match(
        text="",
        raw="30A12345",
        alternatives=(("30A12345", 0.999),),
        lattice=make_lattice("30A12345"),
        seen_seconds=NOW,
    )
    assert (match.reason, match.severity, match.probability) == ("exact", "CHECK", 0.999)


def test_the_budget_of_a_list_sets_its_threshold() -> None:
    """8 is read as 3 with probability 0.01: told by a list that may err often, not by one that may never."""

    def found(false_hits_per_day: float, *, vehicles_per_day: float = 15_000.0) -> int:
        watch_list = WatchList("x", "v", (Entry("30A12348"),), false_hits_per_day=false_hits_per_day)
        return len(ask(Matcher((watch_list,), costs=ALIKE, vehicles_per_day=vehicles_per_day), "30A12343"))

    assert found(1.0) == 1
    assert found(1e-4) == 0
    assert found(1e-4, vehicles_per_day=15.0) == 1
    assert found(0.0) == 0
    assert len(ask(Matcher((WatchList("x", "v", (Entry("30A12348"),), false_hits_per_day=0.0),)), "30A12348")) == 1


def test_the_measured_table_is_the_default() -> None:
    pairs = [(read, *pair) for read in "0123456789" for pair in shipped().truths(read, max_cost=4.7)]
    for read, truth, cost in pairs:
        (match,) = ask(Matcher((make_list(f"30A1234{truth}"),)), f"30A1234{read}")
        assert match.reason == f"{truth} read as {read} at position 8"
        assert match.probability == pytest.approx(0.99 * np.exp(-cost), abs=1e-6)
    assert pairs


def test_lists_need_different_names() -> None:
    with pytest.raises(ValueError, match="different names, got stolen, stolen"):
        make_matcher(make_list("30A12345"), make_list("30A12346"))


def test_indexes_of_lists_that_stay_are_taken_over() -> None:
    stays, goes, comes = make_list("30A12345"), make_list("30A12346", name="goes"), make_list("29C55555", name="comes")
    costs = Costs()
    before = Matcher((goes, stays), costs=costs)
    after = Matcher((stays, comes), costs=costs, previous=before)
    assert after.indexes[0] is before.indexes[1]
    assert [match.watch_list.name for match in ask(after, "29C55555")] == ["comes"]
    other_traffic = Matcher((stays, comes), vehicles_per_day=1.0, costs=costs, previous=before)
    assert other_traffic.indexes[0] is not before.indexes[1]


def difference_of(one: str, other: str) -> list[int]:
    return [position for position in range(len(one)) if one[position] != other[position]]


DIGITS = st.text("0123456789", min_size=5, max_size=5)


@settings(deadline=None)
@given(
    numbers=st.lists(DIGITS, max_size=12, unique=True),
    read=DIGITS,
    costs=st.sampled_from([ALIKE, Costs()]),
    doubt=st.dictionaries(
        st.integers(3, 7), st.tuples(st.sampled_from("0123456789"), st.floats(0.01, 0.4)), max_size=3
    ),
)
def test_a_match_is_what_the_definition_says(
    numbers: list[str], read: str, costs: Costs, doubt: dict[int, tuple[str, float]]
) -> None:
    """Characters confused only: the tests of the index have the rest."""
    text = "30A" + read
    doubt = {position: value for position, value in doubt.items() if value[0] != text[position]}
    matcher = make_matcher(make_list(*("30A" + number for number in numbers)), costs=costs)
    expected: dict[str, float] = {}
    for plate in ("30A" + number for number in numbers):
        if plate == text:
            expected = {plate: 0.99}
            break
        probability = 0.99
        for position in difference_of(plate, text):
            other, its = doubt.get(position, ("", 0.0))
            ratio = np.exp(-costs.confusions.cost(text[position], plate[position]))
            if other == plate[position]:
                ratio = max(ratio, its / (1 - its))
            elif other:
                ratio = max(ratio, its / (1 - its) * np.exp(-costs.confusions.cost(other, plate[position])))
            probability *= ratio
        if probability >= 0.008:
            expected[plate] = probability
    found = {match.entry.plate: match.probability for match in ask(matcher, text, doubt=doubt)}
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("written", "seen_kind", "severity", "reason"),
    [
        ("29-H1 2345", "car", "CHECK", "exact, but listed as a motorbike, seen as a car"),
        ("29-H1 2345", "motorbike", "ALERT", "exact"),
        ("29H-123.45", "car", "ALERT", "exact"),
        ("29H-123.45", "motorbike", "CHECK", "exact, but listed as a car, seen as a motorbike"),
        ("29H12345", "motorbike", "ALERT", "exact"),
        ("30A-123.45", "car", "ALERT", "exact"),
    ],
)
def test_a_text_that_two_kinds_share_alerts_only_for_the_kind_that_was_listed(
    written: str, seen_kind: str, severity: str, reason: str
) -> None:
    entry, problems = read_entry({"plate": written}, line=2)
    assert entry is not None, problems
    matcher = make_matcher(WatchList("stolen", "v1", (entry,), severity="ALERT"))
    text = entry.plate
    (match,) = matcher.match(
        text=text, raw=text, alternatives=((text, 0.99),), lattice=(), seen_seconds=NOW, kind=seen_kind
    )
    assert (match.severity, match.reason) == (severity, reason)


TEXTS = st.one_of(
    st.from_regex(expression, fullmatch=True)
    for expression in (
        "[1-9][0-9][A-HK-NPS-VXYZ][0-9]{4,5}",
        "[1-9][0-9][A-HK-N][1-9][0-9]{4,5}",
        "[1-9][0-9]LD[0-9]{5}",
    )
).filter(parse)


@settings(deadline=None, max_examples=150)
@given(TEXTS, st.data())
def test_no_kind_that_a_text_may_have_loses_a_hit(text: str, data: st.DataObject) -> None:
    """Whatever kind the reader settled on, and whether the plate is listed itself or by a pattern."""
    kinds = sorted({reading.kind for reading in parse(text)})
    meant, seen = data.draw(st.sampled_from(kinds)), data.draw(st.sampled_from(kinds))
    hidden = data.draw(st.sets(st.integers(2, len(text) - 1), max_size=3))
    plate = "".join("?" if place in hidden else character for place, character in enumerate(text))
    listed = WatchList(
        "stolen", "1", (Entry(parse_pattern(plate).text if hidden else plate),), limits=Limits(kinds=frozenset({meant}))
    )
    (match,) = make_matcher(listed).match(
        text=text, raw=text, alternatives=((text, 0.99),), lattice=make_lattice(text), seen_seconds=NOW, kind=seen
    )
    assert ("listed as" in match.reason) is (meant != seen)
    assert (match.severity == "ALERT") is (meant == seen and not hidden)


def test_a_text_that_the_grammar_had_to_repair_is_no_alert() -> None:
    matcher = make_matcher(make_list("30A12345"))
    for raw, severity in (("30A12345", "ALERT"), ("30A1Z345", "CHECK")):
        (match,) = matcher.match(
            text="30A12345", raw=raw, alternatives=(("30A12345", 0.999),), lattice=(), seen_seconds=NOW
        )
        assert (match.severity, match.reason) == (severity, "exact")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["30A12345", "30A12845", "29A0001", "", "51F12345678901"]),
            st.lists(st.sampled_from([("30A12345", 0.2), ("29A00001", 0.1)]), unique=True),
        ),
        max_size=6,
    )
)
def test_many_at_once_match_as_one_by_one(asked: list[tuple[str, list[tuple[str, float]]]]) -> None:
    matcher = make_matcher(make_list("30A12345", "29A00001"), make_list("30A*", name="patterns"))
    questions = [
        Question(text, text, ((text, 0.7), *others), make_lattice(text, {5: ("3", 0.2)}), NOW) for text, others in asked
    ]
    assert matcher.match_all(questions) == [matcher.match(**question._asdict()) for question in questions]
