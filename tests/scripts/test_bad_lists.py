from pathlib import Path

import pytest

from scripts.bad_lists import PLATES, Case, cases, main, run

CASES = tuple(cases())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_list_never_harms_the_active_one(case: Case, tmp_path: Path) -> None:
    outcome = run(case, tmp_path / "case")
    assert not outcome.harmed, outcome
    assert (outcome.import_, outcome.reload) == (("taken", "taken") if case.taken else ("refused", "refused"))
    assert bool(outcome.left_out) == (case.taken and bool(case.told))


def test_harm_is_noticed(tmp_path: Path) -> None:
    """The run itself would tell if a file did more than it should."""

    def one_plate_more(path: Path) -> None:
        path.write_text("plate\n" + "\n".join((*PLATES, "30A99999")))

    assert run(Case("harmful", one_plate_more, "", taken=True), tmp_path / "a").harmed
    assert run(Case("not refused", one_plate_more, "refused"), tmp_path / "b").harmed


def test_the_corpus_prints_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    few = [case for case in CASES if case.name in ("byte order mark", "stray quote", "empty file")]
    monkeypatch.setattr("scripts.bad_lists.cases", lambda: few)
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[-1] == "3 bad files, 0 harmed the active list"
    assert main(["--json"]) == 0
    assert '"harmed": 0' in capsys.readouterr().out


def test_a_list_that_was_never_read_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.bad_lists.ListKeeper.turn", lambda _: None)
    (case,) = (case for case in CASES if case.name == "byte order mark")
    outcome = run(case, tmp_path / "case")
    assert (outcome.reload, outcome.harmed) == ("nothing", True)
