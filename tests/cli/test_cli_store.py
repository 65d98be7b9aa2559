from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import msgspec
import pytest
from filling import fill
from making_records import make_sighting
from running_verbs import REASON, run

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.store import Store
from anpr.store.audit import AuditLog


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Store.open(tmp_path / "store", clock=ManualClock(), box="box-1") as store:
        fill(store)
    return tmp_path / "store"


def asked(folder: Path) -> list[tuple[str, int | None]]:
    return [(line.verb, line.rows) for line in AuditLog(folder, clock=ManualClock()).lines()]


def test_check_counts_and_tells(folder: Path) -> None:
    result = run("store", "check", "--store", folder, "--pictures", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert (told["events_checked"], told["links_checked"], told["problems"], told["file_checked"]) == (6, 3, 0, True)
    assert "6 events checked, 3 links checked" in run("store", "check", "--store", folder).stdout
    next(folder.glob("evidence/??/*.jpg")).write_bytes(b"x")
    result = run("store", "check", "--store", folder, "--pictures")
    assert result.exit_code == 1
    assert "✖" in result.stdout
    assert isinstance(run("store", "check", "--store", folder / "absent").exception, StoreError)


def test_upgrade_makes_an_old_store_new_once(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "store" / "golden" / "schema-4.mdb.gz"
    (tmp_path / "data.mdb").write_bytes(gzip.decompress(golden.read_bytes()))
    told = json.loads(run("store", "upgrade", "--store", tmp_path, "--json").stdout)
    assert (told["schema_before"], told["days"]) == (4, 5)
    assert run("store", "upgrade", "--store", tmp_path).stdout == "nothing to be done\n"
    assert isinstance(run("store", "upgrade", "--store", tmp_path / "absent").exception, StoreError)


def test_a_damaged_day_is_set_aside_if_somebody_asks_for_it(folder: Path) -> None:
    why = ("--reason", "the disk failed", "--case", "17/2026", "--store", folder)
    result = run("store", "set-aside", *why)
    assert (result.exit_code, result.stdout) == (1, "")
    with Store.open(folder, clock=ManualClock(), box="box-1") as store:
        store.outbox.save_positions({"ioc": (2, 6)})
    (day,) = folder.glob("days/2*")
    (day / "data.mdb").write_bytes(b"no store")
    assert "set-aside" in str(run("search", *REASON, "--store", folder).exception)
    assert run("store", "set-aside", "--store", folder).exit_code == 2
    result = run("store", "set-aside", *why)
    assert result.exit_code == 0
    assert f"events from 1 to 6 are not found any more; it lies in {folder / 'damaged' / day.name}" in result.stdout
    assert "0 of them can be read, at least 6 cannot" in result.stdout
    assert "4 of them were not acknowledged by ioc" in result.stdout
    assert asked(folder) == [("set-aside", 0)]
    with Store.open(folder, clock=ManualClock(), box="box-1") as store:
        (event,) = store.append([make_sighting(id="new", evidence=())])
        assert event.seq > 6
    assert run("store", "check", "--store", folder).exit_code == 0
    assert "are lost" in run("store", "purges", "--store", folder).stdout
    (day,) = folder.glob("days/2*")
    (day / "data.mdb").unlink()
    (told,) = json.loads(run("store", "set-aside", *why, "--json").stdout)
    assert (told["day"], told["folder"]) == (day.name, str(folder / "damaged" / day.name))


def test_backup_and_compact(folder: Path, tmp_path: Path) -> None:
    result = run("store", "backup", tmp_path / "copy", *REASON, "--store", folder, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["last_seq"] == 6
    assert run("store", "check", "--store", tmp_path / "copy").exit_code == 0
    lines = list(AuditLog(folder, clock=ManualClock()).lines())
    assert [(line.verb, line.rows) for line in lines] == [("backup", None), ("backup", 6)]
    assert lines[0].asked == {"folder": str(tmp_path / "copy")}
    assert run("store", "backup", tmp_path / "other", "--store", folder).exit_code == 2
    assert not (tmp_path / "other").exists()
    result = run("store", "compact", "--store", folder, "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert 0 < told["after_bytes"] <= told["before_bytes"]
    assert "bytes before" in run("store", "compact", "--store", folder).stdout
    assert isinstance(run("store", "backup", tmp_path / "copy", *REASON, "--store", folder).exception, StoreError)


def test_export_is_written_to_the_audit_log(folder: Path, tmp_path: Path) -> None:
    result = run("store", "export", tmp_path / "a.csv", *REASON, "--store", folder, "--from", "1970-01-01T00:16:41Z")
    assert (result.exit_code, result.stdout) == (0, f"2 sightings in {tmp_path / 'a.csv'}\n")
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["s2", "s1"]
    assert asked(folder) == [("export", None), ("export", 2)]
    before = ("--to", "1970-01-01T00:16:42Z")
    result = run("store", "export", tmp_path / "h.jsonl", *REASON, "--store", folder, "--records", "hits", *before)
    assert result.exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "h.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == ["h0", "h1"]
    result = run("store", "export", tmp_path / "n.csv", *REASON, "--store", folder, "--plate", "99Z*", "--json")
    assert (result.exit_code, json.loads(result.stdout)["rows"]) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (["--plate", "30A12346", "--one-off", "--province", "Hà Nội"], 3),
        (["--plate", "31A12346", "--edits", "2", "--province", "Hà Nội"], 3),
        (["--plate", "30A12845", "--alike", "--colour", "white"], 3),
        (["--list", "stolen", "--kind", "car", "--direction", "approaching"], 3),
        (["--list", "lost"], 0),
        (["--records", "hits", "--list", "stolen", "--severity", "ALERT"], 3),
        (["--records", "hits", "--severity", "INFO"], 0),
        (["--records", "hits", "--rule", "night"], 0),
    ],
)
def test_export_takes_the_conditions_of_a_search(folder: Path, tmp_path: Path, arguments: list[str], rows: int) -> None:
    result = run("store", "export", tmp_path / "a.csv", *REASON, "--store", folder, "--json", *arguments)
    assert json.loads(result.stdout)["rows"] == rows


def test_columns_are_made_for_the_days_that_are_over(tmp_path: Path) -> None:
    clock = ManualClock()
    with Store.open(tmp_path, clock=clock) as store:
        for day in range(3):
            store.append([make_sighting(id=f"s{day}")])
            clock.advance(86_400.0)
    result = run("store", "columns", "--store", tmp_path, "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"made": 2})
    assert run("store", "columns", "--store", tmp_path).stdout == "0 made\n"


def test_export_without_reason_or_format_gives_nothing(folder: Path, tmp_path: Path) -> None:
    assert run("store", "export", tmp_path / "a.csv", "--store", folder, "--purpose", "x").exit_code == 2
    assert run("store", "export", tmp_path / "a.csv", "--store", folder, "--case", "x").exit_code == 2
    result = run(
        "store", "export", tmp_path / "a.csv", *REASON, "--store", folder, "--records", "hits", "--plate", "3*"
    )
    assert result.exit_code == 2
    assert isinstance(run("store", "export", tmp_path / "a.txt", *REASON, "--store", folder).exception, StoreError)
    assert asked(folder) == []
    (folder / "audit" / "log.jsonl").mkdir()
    assert isinstance(run("store", "export", tmp_path / "a.csv", *REASON, "--store", folder).exception, StoreError)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_evidence_leaves_the_box_and_is_verified(folder: Path, tmp_path: Path) -> None:
    result = run("evidence", "export", "s1", "--out", tmp_path / "bundle", *REASON, "--store", folder)
    assert result.exit_code == 0
    assert asked(folder) == [("evidence", 1)]
    pem, fingerprint = run("evidence", "key", "--store", folder).stdout.split("fingerprint ")
    (tmp_path / "box.key").write_text(pem, encoding="ascii")
    result = run("evidence", "verify", tmp_path / "bundle", "--key", tmp_path / "box.key")
    assert result.exit_code == 0
    assert "✔ unaltered: 30A-123.45 at gate-1 of box box-1, event 3" in result.stdout
    assert fingerprint.strip() in result.stdout
    assert "compare it" in run("evidence", "verify", tmp_path / "bundle").stdout
    told = json.loads(run("evidence", "verify", tmp_path / "bundle", "--json").stdout)
    assert (told["problems"], told["event"]["record"]["id"]) == ([], "s1")
    next((tmp_path / "bundle").glob("plate-*.jpg")).write_bytes(b"x")
    result = run("evidence", "verify", tmp_path / "bundle")
    assert result.exit_code == 1
    assert "the picture was altered" in result.stdout
    strange = msgspec.msgpack.encode(["sighting", "box-1", 1, 2.0, {"id": b"bytes", "camera_id": "x"}])
    (tmp_path / "bundle" / "record.msgpack").write_bytes(strange)
    result = run("evidence", "verify", tmp_path / "bundle", "--json")
    assert (result.exit_code, json.loads(result.stdout)["event"]["record"]["camera_id"]) == (1, "x")
    for arguments in (("evidence", "export", "s1"), ("evidence", "export", "s1", "--out", tmp_path / "b")):
        assert run(*arguments, "--store", folder).exit_code == 2
    absent = run("evidence", "export", "x", "--out", tmp_path / "b", *REASON, "--store", folder)
    assert isinstance(absent.exception, StoreError)
    assert isinstance(run("evidence", "key", "--store", tmp_path).exception, StoreError)


def test_audit_is_shown_and_verified(folder: Path) -> None:
    for _ in range(3):
        assert run("search", *REASON, "--store", folder, "--plate", "30A*").exit_code == 0
    shown = run("audit", "show", *REASON, "--store", folder, "--last", "2").stdout.splitlines()
    assert len(shown) == 2
    assert "search  3 rows  17/2026: a theft  plate=30A*" in shown[1]
    first, *_, newest = run("audit", "show", *REASON, "--store", folder, "--json").stdout.splitlines()
    assert json.loads(first)["number"] == 1
    assert [json.loads(newest)[name] for name in ("verb", "rows", "asked")] == ["audit", 2, {"last": 2}]
    assert asked(folder)[3:] == [("audit", 2), ("audit", 4)]
    assert run("audit", "show", "--store", folder).exit_code == 2
    for verb in (("show", *REASON), ("verify",)):  # who mistypes the folder is not told that all is well
        absent = run("audit", *verb, "--store", folder / "absent")
        assert (type(absent.exception), absent.stdout) == (StoreError, "")
    assert not (folder / "absent").exists()
    result = run("audit", "verify", "--store", folder, "--json")
    assert result.exit_code == 0
    head = json.loads(result.stdout)["head"]
    assert run("audit", "verify", "--store", folder, "--head", head).exit_code == 0
    assert run("audit", "verify", "--store", folder, "--head", head.replace("5:", "2:")).exit_code == 1
    assert run("audit", "verify", "--store", folder, "--head", "x").exit_code == 2
    log = folder / "audit" / "log.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"rows":3', b'"rows":1', 1))
    result = run("audit", "verify", "--store", folder)
    assert result.exit_code == 1
    assert "log.jsonl:1: entry 1 was changed" in result.stdout
