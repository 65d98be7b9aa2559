import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.plates.confusions import Confusions, shipped
from anpr.records import ALPHABET, Severity
from anpr.watch.entries import Entry, read_entry
from anpr.watch.lists import WatchList
from anpr.watch.matcher import Match, Matcher

NOW = 1_767_225_600.0


def make_confusions(*pairs: tuple[str, float]) -> Confusions:
    """Two characters that are taken for each other, with the probability; all other pairs have 0.0002."""
    probabilities = np.full((36, 36), 2e-4)
    for (one, other), probability in pairs:
        here, there = ALPHABET.index(one), ALPHABET.index(other)
        probabilities[here, there] = probabilities[there, here] = probability
    np.fill_diagonal(probabilities, 0.0)
    np.fill_diagonal(probabilities, 1.0 - probabilities.sum(axis=0))
    return Confusions(-np.log(probabilities))


ALIKE = make_confusions(("38", 0.01), ("8B", 0.02), ("0D", 0.02), ("56", 0.01), ("27", 0.009))


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
    (match,) = ask(Matcher((make_list("30A12345", "29A00001"),)), "30A12345")
    assert (match.entry.plate, match.reason, match.severity, match.probability) == ("30A12345", "exact", "ALERT", 0.99)


def test_an_uncertain_exact_match_is_a_check() -> None:
    (match,) = ask(Matcher((make_list("30A12345"),)), "30A12345", probability=0.9)
    assert (match.reason, match.severity) == ("exact", "CHECK")


def test_a_confusion_of_shapes_is_a_check_with_its_reason() -> None:
    (match,) = ask(Matcher((make_list("30A12348"),), confusions=ALIKE), "30A12343")
    assert (match.reason, match.severity) == ("8 read as 3 at position 8", "CHECK")
    assert match.probability == pytest.approx(0.99 * 0.01)


def test_the_entry_overrides_the_severity() -> None:
    watch_list = WatchList("x", "v", (Entry("30A12345", severity="INFO"),), severity="ALERT")
    assert ask(Matcher((watch_list,)), "30A12345")[0].severity == "INFO"


def test_shapes_that_differ_do_not_match_a_certain_read() -> None:
    assert ask(Matcher((make_list("30A12344"),)), "30A12348") == ()


def test_what_the_lattice_doubts_matches() -> None:
    (match,) = ask(Matcher((make_list("30A12344"),)), "30A12348", probability=0.9, doubt={7: ("4", 0.1)})
    assert match.reason == "4 read as 8 at position 8"
    assert match.probability == pytest.approx(0.9 * 0.1 / 0.9)


def test_alternatives_match_with_their_own_probability() -> None:
    matcher = Matcher((make_list("30A1234", "20B12345"),))
    matches = ask(matcher, "30A12345", probability=0.7, others=(("30A1234", 0.2), ("20B12345", 0.05)))
    assert [(match.reason, match.probability) for match in matches] == [
        ("30A1234 read as 30A12345", 0.2),
        ("2 read as 3 at position 1, B read as A at position 3", 0.05),
    ]


def test_a_character_too_many_or_missing_at_the_end() -> None:
    (match,) = ask(Matcher((make_list("30A1234"),)), "30A12345", doubt={7: ("", 0.3)})
    assert match.probability == pytest.approx(0.99 * 0.3 / 0.7)
    lattice = [*make_lattice("30A1234"), [("", 0.8), ("5", 0.2)]]
    (match,) = Matcher((make_list("30A12345"),)).match(
        text="30A1234", raw="30A1234", alternatives=(("30A1234", 0.8),), lattice=lattice, seen_seconds=NOW
    )
    assert match.probability == pytest.approx(0.2)


def test_near_matches_only_where_the_list_has_no_exact_one() -> None:
    matcher = Matcher((make_list("30A12348", "30A12343"), make_list("30A12343", name="other")), confusions=ALIKE)
    matches = ask(matcher, "30A12348")
    assert [(match.watch_list.name, match.reason) for match in matches] == [
        ("stolen", "exact"),
        ("other", "3 read as 8 at position 8"),
    ]


def test_entries_hold_only_in_their_time() -> None:
    entries = (Entry("30A12345", valid_until_seconds=NOW), Entry("30A12345", "now", valid_from_seconds=NOW))
    (match,) = ask(Matcher((WatchList("x", "v", entries),)), "30A12345")
    assert match.entry.reason == "now"
    later = (Entry("30A12345", valid_from_seconds=NOW + 1),)
    assert ask(Matcher((WatchList("x", "v", later),)), "30A12345") == ()


def test_an_unsettled_read_asks_with_its_raw_text() -> None:
    matcher = Matcher((make_list("30A12345"),))
    raw = "3OA12345"
    lattice = make_lattice(raw, {1: ("0", 0.4)})
    (match,) = matcher.match(text="", raw=raw, alternatives=(), lattice=lattice, seen_seconds=NOW)
    assert match.reason == "0 read as O at position 2"
    assert match.probability == pytest.approx(0.4)
    assert matcher.match(text="", raw="", alternatives=(), lattice=(), seen_seconds=NOW) == ()


def test_what_was_not_settled_is_never_an_alert() -> None:
    """Reads of damaged pictures alone are sure of their text, and yet settle none."""
    matcher = Matcher((make_list("30A12345"),))
    (match,) = matcher.match(
        text="",
        raw="30A12345",
        alternatives=(("30A12345", 0.999),),
        lattice=make_lattice("30A12345"),
        seen_seconds=NOW,
    )
    assert (match.reason, match.severity, match.probability) == ("exact", "CHECK", 0.999)


def test_the_minimum_is_a_parameter() -> None:
    lists = (make_list("30A12348"),)
    assert len(ask(Matcher(lists, confusions=ALIKE), "30A12343")) == 1
    assert ask(Matcher(lists, min_probability=0.5, confusions=ALIKE), "30A12343") == ()
    with pytest.raises(ValueError, match="min_probability"):
        Matcher(lists, min_probability=0.0)


def test_the_measured_table_is_the_default() -> None:
    pairs = [(read, *pair) for read in "0123456789" for pair in shipped().truths(read, max_cost=4.7)]
    for read, truth, cost in pairs:
        (match,) = ask(Matcher((make_list(f"30A1234{truth}"),)), f"30A1234{read}")
        assert match.reason == f"{truth} read as {read} at position 8"
        assert match.probability == pytest.approx(0.99 * np.exp(-cost))
    assert pairs


def test_lists_need_different_names() -> None:
    with pytest.raises(ValueError, match="different names, got stolen, stolen"):
        Matcher((make_list("30A12345"), make_list("30A12346")))


DOUBTS = st.tuples(st.sampled_from("0123456789"), st.floats(0.01, 0.4))
DIGITS = st.text("0123456789", min_size=5, max_size=5)


@given(
    numbers=st.lists(DIGITS, max_size=12, unique=True),
    read=DIGITS,
    confusions=st.sampled_from([ALIKE, shipped()]),
    doubt=st.dictionaries(
        st.integers(3, 7), st.tuples(st.sampled_from("0123456789"), st.floats(0.01, 0.4)), max_size=3
    ),
)
def test_the_index_equals_a_scan_of_all_entries(
    numbers: list[str], read: str, confusions: Confusions, doubt: dict[int, tuple[str, float]]
) -> None:
    text = "30A" + read
    doubt = {position: value for position, value in doubt.items() if value[0] != text[position]}
    matcher = Matcher((make_list(*("30A" + number for number in numbers)),), confusions=confusions)
    expected: dict[str, float] = {}
    for number in numbers:
        plate = "30A" + number
        differing = [position for position in range(8) if plate[position] != text[position]]
        if not differing:
            expected = {plate: 0.99}
            break
        if len(differing) == 1:
            (position,) = differing
            ratio = 2.718281828459045 ** -confusions.cost(text[position], plate[position])
            other, probability = doubt.get(position, ("", 0.0))
            if other == plate[position]:
                ratio = max(ratio, probability / (1 - probability))
            if 0.99 * ratio >= matcher.min_probability:
                expected[plate] = 0.99 * ratio
    found = {match.entry.plate: match.probability for match in ask(matcher, text, doubt=doubt)}
    assert found == pytest.approx(expected)


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
    matcher = Matcher((WatchList("stolen", "v1", (entry,), severity="ALERT"),))
    text = entry.plate
    (match,) = matcher.match(
        text=text, raw=text, alternatives=((text, 0.99),), lattice=(), seen_seconds=NOW, kind=seen_kind
    )
    assert (match.severity, match.reason) == (severity, reason)


def test_a_text_that_the_grammar_had_to_repair_is_no_alert() -> None:
    matcher = Matcher((make_list("30A12345"),))
    for raw, severity in (("30A12345", "ALERT"), ("30A1Z345", "CHECK")):
        (match,) = matcher.match(
            text="30A12345", raw=raw, alternatives=(("30A12345", 0.999),), lattice=(), seen_seconds=NOW
        )
        assert (match.severity, match.reason) == (severity, "exact")
