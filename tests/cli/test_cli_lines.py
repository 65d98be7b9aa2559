import pytest

from anpr.cli.lines import figure


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (1e6, "1,000,000"),
        (13_537.2, "13,537"),
        (186.0, "186"),
        (90.9, "90.9"),
        (12.0, "12"),
        (4.72162, "4.7"),
        (0.4, "0.4"),
        (0.0638, "0.064"),
        (3e-7, "0.0000003"),
        (-2.5, "-2.5"),
    ],
)
def test_figures_have_no_exponent(value: float, written: str) -> None:
    assert figure(value) == written
