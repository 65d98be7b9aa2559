from pathlib import Path

import pytest

from anpr.errors import WatchListError
from anpr.watch.install import install
from anpr.watch.lists import load_csv

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
    loaded = load_csv(active / "stolen.csv")
    assert (loaded.version, loaded.loaded_seconds) == (new.version, NOW + 10)
    assert [path.name for path in active.iterdir()] == ["stolen.csv"]


def test_a_bad_file_leaves_the_active_list(tmp_path: Path) -> None:
    active = tmp_path / "active"
    source = write(tmp_path / "stolen.csv", "30A12345")
    install(source, active, now_seconds=NOW)
    write(source, "30A12345", "13A12345")
    with pytest.raises(WatchListError, match="never assigned"):
        install(source, active, now_seconds=NOW)
    assert [entry.plate for entry in load_csv(active / "stolen.csv").entries] == ["30A12345"]


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
