import json
import os
from pathlib import Path

import pytest

from anpr.errors import WatchListError
from anpr.watch.install import install, is_forced
from anpr.watch.lists import load_list

NOW = 1_767_225_600.0


def write(path: Path, *plates: str) -> Path:
    path.write_text("plate\n" + "\n".join(plates))
    return path


def test_the_first_import_and_an_update(tmp_path: Path) -> None:
    active = tmp_path / "active"
    source = write(tmp_path / "stolen.csv", "30A12345", "30A12346")
    _, difference = install(source, active, now_seconds=NOW)
    assert str(difference) == "+2 −0 ~0"
    write(source, "30A12345", "30A12346", "30A12347")
    new, difference = install(source, active, now_seconds=NOW + 10)
    assert difference.added == ("30A12347",)
    loaded = load_list(active / "stolen.csv")
    assert (loaded.version, loaded.loaded_seconds) == (new.version, NOW + 10)
    assert [path.name for path in active.iterdir()] == ["stolen.csv"]


def test_a_bad_file_leaves_the_active_list(tmp_path: Path) -> None:
    active = tmp_path / "active"
    source = write(tmp_path / "stolen.csv", "30A12345")
    install(source, active, now_seconds=NOW)
    write(source, "30A12345", "13A12345")
    with pytest.raises(WatchListError, match="never assigned"):
        install(source, active, now_seconds=NOW)
    assert [entry.plate for entry in load_list(active / "stolen.csv").entries] == ["30A12345"]


def test_half_a_file_is_refused_unless_forced(tmp_path: Path) -> None:
    active = tmp_path / "active"
    plates = [f"30A{number:05}" for number in range(1, 11)]
    install(write(tmp_path / "stolen.csv", *plates), active, now_seconds=NOW)
    half = write(tmp_path / "half.csv", *plates[:5])
    with pytest.raises(WatchListError, match="5 of 10 active plates would vanish"):
        install(half, active, now_seconds=NOW, name="stolen")
    install(write(tmp_path / "most.csv", *plates[:8]), active, now_seconds=NOW, name="stolen")
    _, difference = install(half, active, now_seconds=NOW, name="stolen", force=True)
    assert len(difference.removed) == 3


def test_a_damaged_active_list_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "stolen.csv").write_bytes(b"\0")
    _, difference = install(write(tmp_path / "new.csv", "30A12345"), tmp_path, now_seconds=NOW, name="stolen")
    assert str(difference) == "+1 −0 ~0"


@pytest.mark.parametrize("name", ["../stolen", ".hidden", ""])
def test_names_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(WatchListError, match="no name for a list"):
        install(write(tmp_path / "stolen.csv", "30A12345"), tmp_path / "active", now_seconds=NOW, name=name)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "active").write_text("a file, no folder")
    with pytest.raises(WatchListError, match="cannot be written"):
        install(write(tmp_path / "stolen.csv", "30A12345"), tmp_path / "active", now_seconds=NOW)


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    active = tmp_path / "active"
    source = write(tmp_path / "stolen.csv", "30A12345")
    new, difference = install(source, active, now_seconds=NOW, dry_run=True)
    assert (len(new.entries), str(difference)) == (1, "+1 −0 ~0")
    assert not active.exists()


def test_bad_rows_are_left_out_of_the_active_list(tmp_path: Path) -> None:
    active = tmp_path / "active"
    source = write(tmp_path / "stolen.csv", *(f"30A{number:05}" for number in range(1, 151)), "nonsense")
    new, _ = install(source, active, now_seconds=NOW)
    assert (new.bad_rows, len(new.problems)) == (1, 1)
    loaded = load_list(active / "stolen.csv")
    assert (loaded.version, loaded.bad_rows, len(loaded.entries)) == (new.version, 0, 150)


def test_many_bad_rows_can_be_forced_but_no_wrong_file(tmp_path: Path) -> None:
    active = tmp_path / "active"
    source = write(tmp_path / "stolen.csv", "30A12345", "nonsense")
    with pytest.raises(WatchListError, match="1 of 2 rows are bad"):
        install(source, active, now_seconds=NOW)
    new, _ = install(source, active, now_seconds=NOW, force=True)
    assert load_list(active / "stolen.csv").version == new.version
    assert is_forced(active / "stolen.csv")
    source.write_bytes("plate\n30A12345".encode("utf-16"))
    with pytest.raises(WatchListError, match="UTF-16"):
        install(source, active, now_seconds=NOW, force=True)


def test_only_the_content_that_was_forced_is_forced(tmp_path: Path) -> None:
    active = tmp_path / "stolen.csv"
    assert not is_forced(active)
    source = write(tmp_path / "new.csv", "30A12345")
    install(source, tmp_path, now_seconds=NOW, name="stolen", force=True)
    assert is_forced(active)
    write(active, "30A12346")
    assert not is_forced(active)


def test_a_json_list_keeps_its_head(tmp_path: Path) -> None:
    active = tmp_path / "active"
    source = tmp_path / "night.json"
    rows = [{"plate": f"30A{number:05}"} for number in range(1, 151)]
    for bad in ([], [{"plate": "nonsense"}]):
        source.write_text(json.dumps({"purpose": "theft", "hours": ["22:00-05:00"], "entries": rows + bad}))
        new, _ = install(source, active, now_seconds=NOW)
        loaded = load_list(active / "night.json")
        assert (loaded.purpose, loaded.limits, loaded.version) == ("theft", new.limits, new.version)
        assert loaded.bad_rows == 0


def test_one_list_has_one_format(tmp_path: Path) -> None:
    active = tmp_path / "active"
    install(write(tmp_path / "stolen.csv", "30A12345"), active, now_seconds=NOW)
    (tmp_path / "stolen.json").write_text('[{"plate": "30A12345"}]')
    with pytest.raises(WatchListError, match="the active list is"):
        install(tmp_path / "stolen.json", active, now_seconds=NOW)


def test_what_root_imports_can_be_read_by_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _, user, group: given.append((user, group)))
    source, owner = write(tmp_path / "new.csv", "30A12345"), tmp_path.stat()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    install(source, tmp_path, now_seconds=NOW, name="stolen")
    assert given == []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    install(source, tmp_path, now_seconds=NOW, name="stolen")
    install(source, tmp_path, now_seconds=NOW, name="wanted")
    assert given == [(owner.st_uid, owner.st_gid)] * 2
