from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import duckdb
import pytest
from making_records import make_hit, make_sighting
from pyarrow import parquet

from anpr.errors import StoreError
from anpr.records import Hit, Sighting
from anpr.store import Query, Store
from anpr.store.export import defused, export, find_all

DANGEROUS = ("=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\uff1d1")


def nothing(rows: int) -> None:
    pass


def test_csv_opens_in_a_spreadsheet_and_runs_nothing(tmp_path: Path) -> None:
    records = [make_sighting(id=text, lane=text, unreadable=text, camera_id=text) for text in (*DANGEROUS, 'a"b,c')]
    assert export(records, tmp_path / "a.csv", of=Sighting, before_given=nothing) == len(records)
    written = (tmp_path / "a.csv").read_bytes()
    assert written.startswith(b"\xef\xbb\xbfseen,")
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, text in zip(rows, DANGEROUS):
        assert row["id"] == row["lane"] == row["camera_id"]
        assert row["id"].replace("'", "") == text
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d")) for row in rows for cell in row.values())
    assert rows[-1]["id"] == 'a"b,c'
    assert rows[-1]["province"] == "Hà Nội"
    assert rows[-1]["seen"] == "2026-01-01T00:00:00.500+00:00"
    assert (rows[-1]["probability"], rows[-1]["tainted"], rows[-1]["speed_kmh"]) == ("0.97", "false", "")
    assert rows[-1]["plate_sha256"] == "0" * 64


@pytest.mark.parametrize("separator", [";", "\t"])
def test_no_cell_is_run_where_lines_are_divided_elsewhere(tmp_path: Path, separator: str) -> None:
    texts = [f"stolen{separator}=cmd|' /C calc'!A0{separator}", f"a,b\n=1{separator}+2", f"{separator}\uff1d1"]
    export([make_hit(entry_reason=text) for text in texts], tmp_path / "a.csv", of=Hit, before_given=nothing)
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = [cell for row in csv.reader(file, delimiter=separator) for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@", "\uff1d")) for cell in cells), cells
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["entry_reason"].replace("'", "") for row in csv.DictReader(file)] == [
            text.replace("'", "") for text in texts
        ]


@pytest.mark.parametrize("text", ["", "30A12345", " =1", "Hà Nội", "a; b-c=d"])
def test_harmless_cells_stay_as_they_are(text: str) -> None:
    assert defused(text) == text


def test_json_lines_are_the_whole_records(tmp_path: Path) -> None:
    export([make_hit(id="a"), make_hit(id="b")], tmp_path / "a.jsonl", of=Hit, before_given=nothing)
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == ["a", "b"]
    assert lines[0]["evidence"] == []
    assert lines[0]["entry_reason"] == "stolen 2025-12-30"


def test_parquet_has_types_and_is_asked_by_duckdb(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    records = [make_sighting(id=str(number), speed_kmh=None if number else 81.5) for number in range(12)]
    assert export(records, path, of=Sighting, before_given=nothing) == 12
    assert str(parquet.read_schema(path).field("seen").type) == "timestamp[ms, tz=UTC]"
    answer = duckdb.sql(f"select camera_id, count(*), max(speed_kmh) from '{path}' group by camera_id").fetchall()
    assert answer == [("gate-1", 12, 81.5)]
    assert export([make_hit()], tmp_path / "h.parquet", of=Hit, before_given=nothing) == 1
    assert export([], tmp_path / "none.parquet", of=Hit, before_given=nothing) == 0
    assert parquet.read_table(tmp_path / "none.parquet").num_rows == 0


def test_the_example_of_the_documentation_finds_who_was_out_at_night(tmp_path: Path) -> None:
    docs = (Path(__file__).parents[2] / "docs/operate.md").read_text(encoding="utf-8")
    (sql,) = re.findall(r"^```sql\n(.*?)^```$", docs, re.MULTILINE | re.DOTALL)
    path, one_o_clock = tmp_path / "a.parquet", 1_767_204_000.0  # in Viet Nam, on 2026-01-01
    passages = [
        ("30A-123.45", "north", one_o_clock),
        ("30A-123.45", "south", one_o_clock + 3600.0),
        ("51F-999.45", "north", one_o_clock),
        ("51F-999.45", "north", one_o_clock + 60.0),
        ("29A-111.11", "north", one_o_clock + 12 * 3600.0),
        ("29A-111.11", "south", one_o_clock + 13 * 3600.0),
    ]
    records = [make_sighting(display=plate, camera_id=camera, seen_seconds=at) for plate, camera, at in passages]
    export(records, path, of=Sighting, before_given=nothing)
    night = sql.replace("january.parquet", str(path))
    found = duckdb.sql(f"select display, passages, cameras from ({night})").fetchall()
    assert found == [("30A-123.45", 2, ["north", "south"])]


def test_without_pyarrow_the_cure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        StoreError, match=r"a.parquet: Parquet needs the package pyarrow \(pip install 'anpr\[export\]'"
    ):
        export([make_hit()], tmp_path / "a.parquet", of=Hit, before_given=nothing)
    assert list(tmp_path.iterdir()) == []


def test_the_file_has_its_name_only_once_its_rows_are_noted(tmp_path: Path) -> None:
    path, noted = tmp_path / "a.csv", []

    def note(rows: int) -> None:
        assert not path.exists()
        noted.append(rows)

    export([make_hit()], path, of=Hit, before_given=note)
    assert noted == [1]
    with pytest.raises(StoreError, match="is there already"):
        export([], path, of=Hit, before_given=note)

    def refuse(rows: int) -> None:
        raise StoreError("the log cannot be written")

    with pytest.raises(StoreError, match="the log cannot"):
        export([make_hit()], tmp_path / "b.csv", of=Hit, before_given=refuse)
    assert list(tmp_path.iterdir()) == [path]


def test_an_ending_that_is_no_format_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"end it with \.csv"):
        export([], tmp_path / "a.xlsx", of=Hit, before_given=nothing)


def test_all_pages_are_found(store: Store) -> None:
    store.append([make_sighting(id=str(number), seen_seconds=float(number)) for number in range(25)])
    assert [int(each.id) for each in find_all(store, Query(limit=10))] == list(range(24, -1, -1))
