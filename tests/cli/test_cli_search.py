from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from making_records import make_hit, make_sighting
from running_verbs import REASON
from typer.testing import CliRunner, Result

from anpr.cli.asking import parse_time
from anpr.cli.lines import sighting_line
from anpr.cli.search import search
from anpr.clock import ManualClock
from anpr.errors import PlateError, StoreError
from anpr.store import Store
from anpr.store.audit import AuditLog

APP = typer.Typer()
APP.command()(search)
NEW_YEAR = 1_767_200_400.0
"""2026-01-01 00:00 in Viet Nam."""


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(APP, ["--store", str(folder), *REASON, *arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("store")
    with Store.open(path, clock=ManualClock()) as store:
        store.append(
            [
                make_sighting(id="a", seen_seconds=NEW_YEAR - 1),
                make_sighting(id="b", seen_seconds=NEW_YEAR, camera_id="gate-2"),
                make_sighting(
                    id="c",
                    seen_seconds=NEW_YEAR + 3600,
                    text="51F99945",
                    display="51F-999.45",
                    province_code="51",
                    kind="military",
                    colour="red",
                    direction="receding",
                ),
                make_sighting(id="d", seen_seconds=NEW_YEAR + 7200, text="", province_code="", unreadable="blurred"),
            ],
            [
                make_hit(id="h1", sighting_id="a", list_name="stolen", severity="ALERT"),
                make_hit(id="h2", sighting_id="c", list_name="", rule="night", severity="CHECK"),
            ],
        )
    return path


def test_lines_for_people_newest_first(folder: Path) -> None:
    result = run(folder)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 4
    assert lines[0].split() == ["2026-01-01", "02:00:00", "gate-1", "unreadable", "blurred"]
    assert lines[2].split() == ["2026-01-01", "00:00:00", "gate-2", "30A-123.45", "97.0%", "white", "Hà", "Nội"]


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["--plate", "30a-123.45"], "ba"),
        (["--plate", "30A*"], "ba"),
        (["--plate", "*9.45"], "c"),
        (["--camera", "gate-2"], "b"),
        (["--from", "2026-01-01"], "dcb"),
        (["--to", "2026-01-01"], "a"),
        (["--from", "2025-12-31T17:00:00Z", "--to", "2026-01-01T01:30"], "cb"),
        (["--limit", "1", "--plate", "51*"], "c"),
        (["--plate", "30A-123.4", "--one-off"], "ba"),
        (["--plate", "30A-128.45", "--alike"], "ba"),
        (["--plate", "30A-123.4", "--edits", "1"], "ba"),
        (["--plate", "31A-123.4", "--edits", "2", "--camera", "gate-2"], "b"),
        (["--plate", "51f-988.5", "--edits", "3"], "c"),
        (["--province", "ha noi"], "ba"),
        (["--province", "51", "--kind", "military", "--colour", "red", "--direction", "receding"], "c"),
        (["--list", "stolen"], "a"),
        (["--rule", "night", "--severity", "CHECK"], "c"),
        (["--severity", "ALERT", "--plate", "30*"], "a"),
    ],
)
def test_conditions(folder: Path, arguments: list[str], ids: str) -> None:
    result = run(folder, "--json", *arguments)
    assert result.exit_code == 0
    assert "".join(json.loads(line)["id"] for line in result.stdout.splitlines()) == ids


def test_how_many_edits_away_each_is(folder: Path) -> None:
    lines = run(folder, "--plate", "30A-12346", "--edits", "2").stdout.splitlines()
    assert [line.split()[-2:] for line in lines] == [["1", "edit"]] * 2
    assert run(folder, "--plate", "31A-12346", "--edits", "2").stdout.splitlines()[0].endswith("2 edits")
    for arguments in (["--edits", "2"], ["--one-off"]):
        found = run(folder, "--json", "--plate", "30A12345", *arguments).stdout.splitlines()
        assert [json.loads(line)["edits"] for line in found] == [0, 0]
    assert "edits" not in json.loads(run(folder, "--json", "--plate", "30A12345").stdout.splitlines()[0])


def test_pages_go_on_by_cursor(folder: Path) -> None:
    first = [json.loads(line) for line in run(folder, "--json", "--limit", "3").stdout.splitlines()]
    assert [found.get("id") for found in first] == ["d", "c", "b", None]
    rest = run(folder, "--json", "--limit", "3", "--cursor", first[-1]["cursor"])
    assert [json.loads(line)["id"] for line in rest.stdout.splitlines()] == ["a"]
    assert "there is more: --cursor " in run(folder, "--limit", "3").stderr


def test_nothing_found_is_exit_code_1(folder: Path) -> None:
    result = run(folder, "--plate", "99Z*")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "nothing found\n")
    assert run(folder, "--from", "1m").exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--from", "yesterday"],
        ["--to", "2026-13-01"],
        ["--limit", "0"],
        ["--plate", "30A12345", "--one-off", "--alike"],
        ["--plate", "30A12345", "--one-off", "--edits", "2"],
        ["--plate", "30A12345", "--alike", "--edits", "2"],
        ["--plate", "30A12345", "--edits", "4"],
        ["--plate", "30A12345", "--edits", "0"],
        ["--from", "2026-01-02", "--to", "2026-01-01"],
        ["--from", "2026-01-01", "--to", "2026-01-01"],
        ["--plate", ""],
        ["--plate", "30A12345", "--list", ""],
    ],
)
def test_wrong_usage_is_exit_code_2(folder: Path, arguments: list[str]) -> None:
    assert run(folder, *arguments).exit_code == 2


def test_wrong_patterns_and_places_are_told(folder: Path, tmp_path: Path) -> None:
    assert isinstance(run(folder, "--plate", "30A%").exception, PlateError)
    assert isinstance(run(folder, "--cursor", "x").exception, StoreError)
    assert isinstance(run(folder, "--kind", "lorry").exception, StoreError)
    assert isinstance(run(folder, "--province", "Sài Gòn").exception, PlateError)
    assert isinstance(run(folder, "--plate", "30*", "--alike").exception, PlateError)
    assert isinstance(run(folder, "--plate", "30?1", "--edits", "2").exception, PlateError)
    assert isinstance(run(folder, "--edits", "2").exception, PlateError)
    assert isinstance(run(tmp_path / "absent").exception, StoreError)


def test_times_ago() -> None:
    assert 7190 <= parse_time("1s").timestamp() - parse_time("2h").timestamp() <= 7201


def test_a_line_cannot_steer_the_terminal() -> None:
    line = sighting_line(make_sighting(camera_id="\x1b[2Jgate\n", display="30A\r"))
    assert line.plain.isprintable()


def test_every_answer_is_in_the_audit_log_first(folder: Path) -> None:
    log = AuditLog(folder, clock=ManualClock())
    before = len(list(log.lines()))
    result = run(folder, "--plate", "30a-1*", "--from", "2025-12-31T00:00+07:00", "--limit", "1")
    assert result.exit_code == 0
    *_, line = log.lines()
    assert line.number == before + 1
    assert (line.verb, line.purpose, line.case, line.rows) == ("search", "a theft", "17/2026", 1)
    assert line.asked == {"plate": "30a-1*", "from_seconds": 1_767_114_000.0}
    run(folder, "--list", "stolen", "--plate", "30A12345", "--one-off", "--severity", "INFO")
    *_, line = log.lines()
    assert line.asked == {"plate": "30A12345", "edits": 1, "list_name": "stolen", "severity": "INFO"}
    assert line.user_id == os.getuid()
    assert log.verify().problems == ()


def test_without_purpose_and_case_or_log_there_is_no_answer(folder: Path, tmp_path: Path) -> None:
    for words in ([], ["--purpose", "x"], ["--case", "x"], ["--purpose", " ", "--case", "x"]):
        result = CliRunner().invoke(APP, ["--store", str(folder), *words])
        assert (result.exit_code, result.stdout) == (2, "")
    with Store.open(tmp_path, clock=ManualClock()) as store:
        store.append([make_sighting()])
    (tmp_path / "audit" / "log.jsonl").mkdir()
    result = run(tmp_path)
    assert isinstance(result.exception, StoreError)
    assert result.stdout == ""
