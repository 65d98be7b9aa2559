import json
from pathlib import Path

from making_sites import write_site
from typer.testing import CliRunner

from anpr.cli.watch import app

RUNNER = CliRunner()
TWO_HUNDRED = "\n".join(f"30A{number:05}" for number in range(1, 201))


def invoke(*arguments: object) -> tuple[int, str]:
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_check_tells_every_problem_and_exits_with_1(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("plate\n13A12345\n30A12345\n30O12345\n")
    code, output = invoke("check", path)
    assert code == 1
    assert [line.split(": ")[1] for line in output.splitlines()] == ["line 2", "line 4"]


def test_check_as_json(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("plate,severity\n30A12345,loud\n")
    told = json.loads(invoke("check", path, "--json")[1])
    (problem,) = told["problems"]
    assert (problem["line"], problem["column"], problem["value"]) == (2, "severity", "loud")
    assert "INFO, CHECK, ALERT" in problem["cure"]
    assert (told["rows"], told["bad_rows"], told["entries"]) == (1, 1, 0)


def test_check_of_a_json_list_looks_at_its_head(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text('{"severity": "loud", "entries": [{"plate": "30A12345"}]}')
    code, output = invoke("check", path)
    assert code == 1
    assert "line 1: severity" in output


def test_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("plate\n30A12345\n")
    code, output = invoke("check", path)
    assert (code, "1 entries, no problems" in output) == (0, True)


def test_check_says_what_an_import_would_leave_out(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"plate\n{TWO_HUNDRED}\nnonsense\n")
    code, output = invoke("check", path)
    assert (code, "an import would leave 1 bad rows out" in output) == (1, True)


def test_import_prints_the_difference(tmp_path: Path) -> None:
    path, active = tmp_path / "stolen.csv", tmp_path / "active"
    path.write_text("plate\n30A12345\n30A12346\n")
    code, output = invoke("import", path, "--into", active)
    assert code == 0
    assert "stolen: 2 entries, +2 −0 ~0, version " in output
    told = json.loads(invoke("import", path, "--into", active, "--json")[1])
    assert (told["list"], told["entries"], told["added"]) == ("stolen", 2, [])


def test_import_tells_each_row_that_it_leaves_out(tmp_path: Path) -> None:
    path, active = tmp_path / "stolen.csv", tmp_path / "active"
    path.write_text(f"plate\nnonsense\n{TWO_HUNDRED}\n")
    code, output = invoke("import", path, "--into", active)
    first, last = output.splitlines()
    assert code == 0
    assert f"{path}: line 2: plate: " in first
    assert last.endswith(", 1 bad rows left out")
    told = json.loads(invoke("import", path, "--into", active, "--json")[1])
    assert (told["bad_rows"], told["problems"][0]["line"]) == (1, 2)


def test_a_dry_run_names_the_plates_and_changes_nothing(tmp_path: Path) -> None:
    path, active = tmp_path / "stolen.csv", tmp_path / "active"
    path.write_text(f"plate\n{TWO_HUNDRED}\n")
    invoke("import", path, "--into", active)
    before = (active / "stolen.csv").read_bytes()
    path.write_text(
        "plate,reason\n" + "\n".join(f"{each}," for each in TWO_HUNDRED.split()[2:]) + "\n30A00002,x\n51D1234,\n"
    )
    code, output = invoke("import", path, "--into", active, "--dry-run", "--diff")
    assert code == 0
    assert output.splitlines()[:3] == ["+ 51D1234", "- 30A00001", "~ 30A00002"]
    assert "+1 −1 ~1" in output
    assert output.endswith("nothing was changed\n")
    assert (active / "stolen.csv").read_bytes() == before


def test_a_refused_import_says_why_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "stolen.csv"
    path.write_text(f"plate\n{TWO_HUNDRED}\n13A-123.45\nnonsense\n30A-12O4\n")
    arguments = ["import", str(path), "--into", str(tmp_path / "active"), "--name", "seized"]
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 78
    assert not (tmp_path / "active").exists()
    checked = invoke("check", path)[1].splitlines()
    assert result.stdout.splitlines() == checked
    assert checked[0].startswith(f"{path}: line 202: plate: '13A12345' is no Vietnamese plate")
    assert result.stderr == (
        f"anpr: {path}: 3 problems, 3 of 203 rows are bad, more than 1 % "
        "(correct them, or import it with --force, which leaves them out)\n"
    )
    told = json.loads(RUNNER.invoke(app, [*arguments, "--json"]).stdout)
    assert told["list"] == "seized"
    assert "3 of 203 rows are bad, more than 1 % (correct them, or import it with --force" in told["refused"]
    assert [problem["line"] for problem in told["problems"]] == [202, 203, 204]
    assert invoke(*arguments, "--force")[0] == 0


def test_an_import_that_nothing_can_force_does_not_offer_it(tmp_path: Path) -> None:
    path = tmp_path / "stolen.csv"
    path.write_bytes(b"\xff\xfep\0l\0")
    result = RUNNER.invoke(app, ["import", str(path), "--into", str(tmp_path)])
    assert result.exit_code == 78
    assert "the file is UTF-16" in result.stdout
    assert "--force" not in result.output


def test_a_refused_import_without_bad_rows_is_json_too(tmp_path: Path) -> None:
    path, active = tmp_path / "stolen.csv", tmp_path / "active"
    path.write_text(f"plate\n{TWO_HUNDRED}\n")
    invoke("import", path, "--into", active)
    path.write_text("plate\n30A00001\n")
    result = RUNNER.invoke(app, ["import", str(path), "--into", str(active), "--json"])
    told = json.loads(result.stdout)
    assert (result.exit_code, told["problems"]) == (78, [])
    assert told["refused"].endswith(
        "199 of 200 active plates would vanish (check that the file is whole, or import it with --force)"
    )


def test_an_entry_of_a_json_list_on_one_line_has_a_place(tmp_path: Path) -> None:
    path = tmp_path / "stolen.json"
    entries = [{"plate": "30A-123.45"}, {"plate": "30A-123.46", "severity": "loud"}, {"plate": True}]
    path.write_text(json.dumps(entries))
    assert invoke("check", path)[1].splitlines() == [
        f"{path}: line 1, {problem}"
        for problem in (
            "entry 2 (30A-123.46): severity: unknown severity 'loud' (one of INFO, CHECK, ALERT, or empty)",
            "entry 3: plate: should be a text (put it in quotes)",
        )
    ]
    first, second = json.loads(invoke("check", path, "--json")[1])["problems"]
    assert (first["entry"], first["plate"], second["entry"], second["plate"]) == (2, "30A-123.46", 3, "")


def test_diff_of_two_files(tmp_path: Path) -> None:
    old, new = tmp_path / "old.csv", tmp_path / "new.json"
    old.write_text("plate\n30A12345\n30A12346\n")
    new.write_text('[{"plate": "30A12345"}, {"plate": "30A12347"}]')
    assert invoke("diff", old, new) == (1, "+ 30A12347\n- 30A12346\n+1 −1 ~0\n")
    told = json.loads(invoke("diff", old, new, "--json")[1])
    assert told == {"added": ["30A12347"], "removed": ["30A12346"], "changed": []}
    assert invoke("diff", old, old) == (0, "+0 −0 ~0\n")


def test_list_shows_the_lists_of_a_site(tmp_path: Path) -> None:
    path = tmp_path / "stolen.csv"
    path.write_text("plate\n30A12345\n20*\n")
    lists = f'[[lists]]\nname = "stolen"\nfile = "{path}"\npurpose = "theft"\nhours = ["22:00-05:00"]\n'
    site = write_site(tmp_path, lists)
    code, output = invoke("list", site)
    assert code == 0
    assert all(word in output for word in ("stolen", "theft", "22:00-05:00", "ALERT"))
    (told,) = json.loads(invoke("list", site, "--json")[1])["lists"]
    assert (told["entries"], told["patterns"], told["purpose"], told["limits"]) == (2, 1, "theft", "22:00-05:00")
    path.write_text("nonsense")
    code, output = invoke("list", site)
    assert code == 1
    assert "header is missing" in output


def test_list_tells_of_a_list_that_raises_nothing(tmp_path: Path) -> None:
    path = tmp_path / "stolen.csv"
    path.write_text("plate,valid_until\n30A12345,2020-01-01\n20*,\n")
    listed = f'[[lists]]\nname = "stolen"\nfile = "{path}"\n'
    for limit, why in (
        ("", ""),
        ('sites = ["elsewhere"]', "it is not for the site"),
        ("valid_until = 2020-01-01", "it is no longer valid"),
        ("valid_from = 2999-01-01", "it is not valid yet"),
    ):
        site = write_site(tmp_path, listed + limit)
        (told,) = json.loads(invoke("list", site, "--json")[1])["lists"]
        assert told["expired"] == 1
        assert told["raises_nothing"].startswith(why)
        assert bool(told["raises_nothing"]) == bool(why)
        output = invoke("list", site)[1]
        assert "1 expired" in output
        assert f"raises nothing: {why}" in output if why else "raises nothing" not in output


def test_list_tells_of_a_budget_that_cannot_be_met(tmp_path: Path) -> None:
    path = tmp_path / "stolen.csv"
    path.write_text("plate\n20*\n")
    listed = f'[[lists]]\nname = "stolen"\nfile = "{path}"\n'
    for budget, over in ((1, True), (1e6, False), (0, False)):
        site = write_site(tmp_path, f"{listed}false_hits_per_day = {budget}\n")
        code, output = invoke("list", site, "--json")
        (told,) = json.loads(output)["lists"]
        assert (code, bool(told["over_budget"])) == (0, over)
        assert ("false hits a day are to be expected, its budget is 1" in invoke("list", site)[1]) is over
