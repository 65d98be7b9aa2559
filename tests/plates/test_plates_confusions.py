from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from anpr.errors import PlateError
from anpr.plates.confusions import UNLISTED, cost, load_confusions, shipped
from anpr.records import ALPHABET


def test_costs_are_probabilities() -> None:
    np.testing.assert_allclose(np.exp(-shipped().costs).sum(axis=0), 1.0)
    assert all(cost(c, c) < 0.2 for c in ALPHABET)


def test_alike_shapes_cost_less() -> None:
    assert cost("9", "8") < cost("4", "8")
    assert cost("8", "B") < cost("4", "B")
    assert cost("F", "E") < cost("A", "E")
    assert cost("0", "D") < cost("0", "A")


def test_a_likelier_confusion_costs_less(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("truth,read,probability\n8,B,0.03\n8,3,0.01\n")
    table = load_confusions(path)
    assert table.cost("B", "8") < table.cost("3", "8") < table.cost("4", "8")
    assert table.cost("8", "8") == pytest.approx(-np.log(1 - 0.04 - 33 * UNLISTED))


def test_the_shipped_table_says_how_it_was_measured() -> None:
    text = resources.files("anpr.plates").joinpath("confusions.csv").read_text(encoding="utf-8")
    assert text.startswith("# measured of reader@")
    assert "python -m scripts.confusions" in text.splitlines()[0]


def test_remarks_before_the_table_are_skipped_and_counted_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("# measured of a reader\n# somehow\ntruth,read,probability\n8,B,0.5\n8,ß,0.1\n")
    with pytest.raises(PlateError, match="csv:5: no confusion"):
        load_confusions(path)
    path.write_text("# only a remark\n")
    with pytest.raises(PlateError, match="no table"):
        load_confusions(path)


def test_truths_are_the_likely_ones_cheapest_first() -> None:
    truths = shipped().truths("8", max_cost=8.0)
    assert len(truths) >= 3
    assert "8" not in dict(truths)
    assert [cost for _, cost in truths] == sorted(cost for _, cost in truths)


def test_a_measured_table_replaces_it_and_may_be_asymmetric(tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    path.write_text("truth,read,probability\n8,B,0.5\n")
    table = load_confusions(path)
    assert table.cost("B", "8") == pytest.approx(-np.log(0.5))
    assert table.cost("8", "B") > 8.0


def test_a_table_tells_of_characters_left_out_and_added(tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    path.write_text("truth,read,probability\n,*,0.0003\n*,,0.0001\n8,B,0.5\n")
    table = load_confusions(path)
    assert (table.left_out, table.added) == (0.0001, 0.0003)
    assert table.cost("B", "8") == pytest.approx(-np.log(0.5))
    path.write_text("truth,read,probability\n8,B,0.5\n")
    assert (load_confusions(path).left_out, load_confusions(path).added) == (UNLISTED, UNLISTED)
    assert 0.0 < shipped().left_out < 0.001
    assert 0.0 < shipped().added < 0.001


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no table"),
        ("a,b,c\n", "no table"),
        ("truth,read,probability\n8,ß,0.1\n", "csv:2: no confusion"),
        ("truth,read,probability\n8,B\n", "csv:2: no confusion"),
        ("truth,read,probability\n8,8,0.1\n", "csv:2: 8 read as 8"),
        ("truth,read,probability\n8,,0.1\n", "csv:2: no confusion: '' is not one character"),
        ("truth,read,probability\n*,*,0.1\n", "csv:2: no confusion"),
        ("truth,read,probability\n*,,1.5\n", "csv:2: [*] read as  with probability 1.5"),
        ("truth,read,probability\n8,B,nan\n", "csv:2: 8 read as B"),
        ("truth,read,probability\n8,B,0.6\n8,3,0.6\n", "confusions of 8 sum to"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(PlateError, match=message):
        load_confusions(path)
