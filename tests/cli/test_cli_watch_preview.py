import json
from math import exp
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anpr.cli.watch import app
from anpr.plates.confusions import cost
from anpr.plates.forms import SERIES_LETTERS

RUNNER = CliRunner()


@pytest.fixture
def stolen(tmp_path: Path) -> Path:
    path = tmp_path / "stolen.csv"
    path.write_text("plate\n90H-272.68\n29C-550.18\n30A-12?.45\n")
    return path


def invoke(*arguments: object) -> str:
    result = RUNNER.invoke(app, ["preview", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_it_shows_what_each_entry_would_be_taken_for(stolen: Path) -> None:
    told = json.loads(invoke(stolen, "--json"))
    by_plate = {each["plate"]: each for each in told["entries"]}
    accepts = {near["plate"]: near["probability"] for near in by_plate["90H27268"]["accepts"]}
    beside = {f"90{read}27268": exp(-cost(read, "H")) for read in SERIES_LETTERS if read != "H"}
    expected = {plate: probability for plate, probability in beside.items() if probability >= told["plates_from"]}
    assert {plate: its for plate, its in accepts.items() if plate[2] != "H"} == pytest.approx(expected, abs=1e-5)
    assert by_plate["30A12?45"]["fitting_per_day"] == pytest.approx(10 * 15_000 / 6_800_000, abs=1e-4)
    assert by_plate["90H27268"]["fitting_per_day"] is None
    assert told["false_hits_per_day"] == pytest.approx(
        sum(each["false_hits_per_day"] for each in told["entries"]), abs=1e-5
    )
    assert 0 < told["false_hits_per_day"] <= told["budget_per_day"] == 1.0


def test_traffic_and_budget_are_what_if(stolen: Path) -> None:
    usual, less, none = (
        json.loads(invoke(stolen, "--json", *options))
        for options in ((), ("--traffic", 150_000_000, "--budget", 2), ("--budget", 0))
    )
    assert usual["plates_from"] < less["plates_from"] == 0.5
    assert [told["over_budget"] for told in (usual, less, none)] == [False, True, False]
    assert (none["plates_from"], none["patterns_from"]) == (None, None)
    assert all(each["accepts"] == [] for each in none["entries"])


def test_the_table_is_for_people(stolen: Path) -> None:
    output = invoke(stolen, "--limit", 2)
    assert "90H27268" in invoke(stolen)
    assert "30A12?45" in output
    assert "1 more entries: --limit shows them" in output
    assert "the list's budget is 1" in output
    assert "all that fit, up to" in output
    assert "plates match only as they were read" in invoke(stolen, "--budget", 0)
    assert "cannot be met" not in output
    assert "the budget cannot be met: 0.5 is the highest threshold" in invoke(stolen, "--traffic", 150_000_000)
