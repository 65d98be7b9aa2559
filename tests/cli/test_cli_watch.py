import json
from pathlib import Path

from typer.testing import CliRunner

from anpr.cli.watch import app
from anpr.errors import WatchListError

RUNNER = CliRunner()


def test_check_tells_every_problem_and_exits_with_1(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("plate\n13A12345\n30A12345\n30O12345\n")
    result = RUNNER.invoke(app, ["check", str(path)])
    assert result.exit_code == 1
    assert [line.split(": ")[1] for line in result.output.splitlines()] == ["line 2", "line 4"]


def test_check_as_json(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("plate,severity\n30A12345,loud\n")
    told = json.loads(RUNNER.invoke(app, ["check", str(path), "--json"]).output)
    (problem,) = told["problems"]
    assert (problem["line"], problem["column"], problem["value"]) == (2, "severity", "loud")
    assert "INFO, CHECK, ALERT" in problem["cure"]


def test_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("plate\n30A12345\n")
    result = RUNNER.invoke(app, ["check", str(path)])
    assert (result.exit_code, "1 entries, no problems" in result.output) == (0, True)


def test_import_prints_the_difference(tmp_path: Path) -> None:
    path, active = tmp_path / "stolen.csv", tmp_path / "active"
    path.write_text("plate\n30A12345\n30A12346\n")
    result = RUNNER.invoke(app, ["import", str(path), "--into", str(active)])
    assert result.exit_code == 0
    assert "stolen: 2 entries, +2 −0 ~0, version " in result.output
    told = json.loads(RUNNER.invoke(app, ["import", str(path), "--into", str(active), "--json"]).output)
    assert (told["list"], told["entries"], told["added"]) == ("stolen", 2, [])


def test_import_of_a_bad_file_raises_for_main_to_tell(tmp_path: Path) -> None:
    path = tmp_path / "stolen.csv"
    path.write_text("plate\nnonsense\n")
    result = RUNNER.invoke(app, ["import", str(path), "--into", str(tmp_path / "active")])
    assert isinstance(result.exception, WatchListError)
    assert not (tmp_path / "active").exists()
