from pathlib import Path

import numpy as np
import pytest

from anpr.errors import PlateError
from anpr.plates.confusions import cost, load_confusions, shipped
from anpr.records import ALPHABET


def test_costs_are_probabilities() -> None:
    np.testing.assert_allclose(np.exp(-shipped().costs).sum(axis=0), 1.0)
    assert all(cost(c, c) < 0.2 for c in ALPHABET)


def test_alike_shapes_cost_less() -> None:
    assert cost("B", "8") < cost("3", "8") < cost("4", "8")
    assert cost("0", "D") < cost("0", "A")


def test_truths_are_the_likely_ones_cheapest_first() -> None:
    truths = shipped().truths("8", max_cost=6.0)
    assert truths[0][0] == "B"
    assert "8" not in dict(truths)
    assert [cost for _, cost in truths] == sorted(cost for _, cost in truths)


def test_a_measured_table_replaces_it_and_may_be_asymmetric(tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    path.write_text("truth,read,probability\n8,B,0.5\n")
    table = load_confusions(path)
    assert table.cost("B", "8") == pytest.approx(-np.log(0.5))
    assert table.cost("8", "B") > 8.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no table"),
        ("a,b,c\n", "no table"),
        ("truth,read,probability\n8,ß,0.1\n", "csv:2: no confusion"),
        ("truth,read,probability\n8,B\n", "csv:2: no confusion"),
        ("truth,read,probability\n8,8,0.1\n", "csv:2: 8 read as 8"),
        ("truth,read,probability\n8,B,nan\n", "csv:2: 8 read as B"),
        ("truth,read,probability\n8,B,0.6\n8,3,0.6\n", "confusions of 8 sum to"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(PlateError, match=message):
        load_confusions(path)
