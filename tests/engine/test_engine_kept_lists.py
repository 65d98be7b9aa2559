"""A box starts with the last good copy of a list whose file is bad or gone, and says so."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from anpr.clock import ManualClock
from anpr.config.site import Listed
from anpr.engine.box import load_lists, open_hub
from anpr.engine.hub import Hub
from anpr.engine.kept_lists import KeptLists
from anpr.engine.lists import ListKeeper
from anpr.errors import StoreError, WatchListError
from anpr.watch.install import install

TEN = tuple(f"30A-{number:03}.45" for number in range(1, 11))
BAD = "plate\n30A-1O3.45\n30A-1O4.45\n"


class Box:
    """A store, a list file, and a hub that is opened with them again and again."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "store"
        self.file = folder / "stolen.csv"
        self.listed = Listed.model_validate({"name": "stolen", "file": str(self.file), "authority": "PC08"})
        self.logs: list[dict[str, object]] = []
        self.write(*TEN)

    def write(self, *plates: str, content: str = "", seconds: float = 0.0) -> None:
        self.file.write_text(content or "plate\n" + "\n".join(plates) + "\n")
        if seconds:
            os.utime(self.file, (seconds, seconds))

    def start(self, *, run: int = 0) -> tuple[tuple[str, ...], dict[str, str]]:
        """Open the hub, let the keeper look `run` times; the list's plates then, and what is refused."""
        clock = ManualClock()
        with capture_logs() as self.logs:  # type: ignore[assignment]
            with open_hub(box="b", store=self.store, endpoint=None, lists=[self.listed], clock=clock) as hub:
                keeper = ListKeeper([self.listed], hub, clock=clock, kept=KeptLists.of_store(self.store))
                for _ in range(run):
                    clock.advance(1.0)
                    keeper.turn()
                    while keeper.lookout.busy:
                        keeper.turn()
                return self.plates(hub), dict(keeper.refused)

    def plates(self, hub: Hub) -> tuple[str, ...]:
        (only,) = hub.matcher.lists
        assert only.authority == "PC08"
        return tuple(entry.plate for entry in only.entries)

    def events(self) -> set[object]:
        return {each["event"] for each in self.logs}


TEN_PLATES = tuple(plate.replace("-", "").replace(".", "") for plate in TEN)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_a_good_list_is_kept_for_its_owner_alone_with_its_time(box: Box) -> None:
    box.write(*TEN, seconds=1_767_000_000.0)
    assert box.start() == (TEN_PLATES, {})
    copy = box.store / "lists" / "stolen.csv"
    assert copy.read_bytes() == box.file.read_bytes()
    assert copy.stat().st_mtime == 1_767_000_000.0
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    assert [each.name for each in copy.parent.iterdir()] == ["stolen.csv"]


def test_without_a_copy_a_bad_list_stops_the_start(box: Box) -> None:
    box.write(content=BAD)
    with pytest.raises(WatchListError, match="problems in the watch-lists"):
        box.start()
    box.file.unlink()
    with pytest.raises(WatchListError):
        box.start()


@pytest.mark.parametrize("content", [BAD, "plate\n", "", "\0\0\0", None])
def test_a_bad_list_is_replaced_by_its_copy_and_told(box: Box, content: str | None) -> None:
    before = box.start()
    if content is None:
        box.file.unlink()
    else:
        box.write(content=content or "\n")
    plates, refused = box.start()
    assert plates == before[0]
    assert set(refused) == {"stolen"}
    assert "30A" not in refused["stolen"]
    (told,) = (each for each in box.logs if each["event"] == "list_stands_in")
    assert (told["log_level"], told["list"], told["entries"]) == ("error", "stolen", 10)
    assert (box.store / "lists" / "stolen.csv").stat().st_size == len("plate\n") + 11 * 10, "the copy stays"


def test_half_a_list_is_replaced_by_its_copy_unless_it_is_forced(box: Box, tmp_path: Path) -> None:
    box.start()
    box.write(*TEN[:5])
    plates, refused = box.start()
    assert plates == TEN_PLATES
    assert refused == {"stolen": "5 of 10 active plates would vanish"}
    (tmp_path / "half.csv").write_text("plate\n" + "\n".join(TEN[:4]) + "\n")
    install(tmp_path / "half.csv", tmp_path, now_seconds=1_767_000_000.0, name="stolen", force=True)
    assert box.start() == (TEN_PLATES[:4], {})
    box.file.unlink()
    assert box.start()[0] == TEN_PLATES[:4], "the forced one is the last good copy now"


def test_a_list_that_is_bad_at_the_start_is_taken_once_it_is_corrected(box: Box) -> None:
    box.start()
    box.write(content=BAD)
    plates, refused = box.start(run=4)
    assert plates == TEN_PLATES
    assert refused == {"stolen": "2 problems, 2 of 2 rows are bad, more than 1 %"}
    assert "list_refused" in box.events()
    box.write(*TEN, "30A-999.99")
    assert box.start() == ((*TEN_PLATES, "30A99999"), {})


def test_a_list_that_is_taken_while_it_runs_is_the_copy_from_then_on(tmp_path: Path) -> None:
    box = Box(tmp_path)
    clock = ManualClock()
    with open_hub(box="b", store=box.store, endpoint=None, lists=[box.listed], clock=clock) as hub:
        keeper = ListKeeper([box.listed], hub, clock=clock, kept=KeptLists.of_store(box.store))
        box.write(*TEN, "30A-888.88", seconds=1_767_000_000.0)
        for _ in range(3):
            clock.advance(1.0)
            keeper.turn()
            while keeper.lookout.busy:
                keeper.turn()
        assert len(box.plates(hub)) == 11
    box.write(content=BAD)
    assert len(box.start()[0]) == 11


@pytest.mark.parametrize("running", [False, True])
def test_new_content_with_the_old_time_and_size_is_the_copy_from_then_on(box: Box, running: bool) -> None:
    box.write(*TEN, seconds=1_767_000_000.0)
    box.start()
    other = (*TEN[:-1], TEN[-1][:-1] + str((int(TEN[-1][-1]) + 1) % 10))
    clock = ManualClock()
    if running:
        with open_hub(box="b", store=box.store, endpoint=None, lists=[box.listed], clock=clock) as hub:
            keeper = ListKeeper([box.listed], hub, clock=clock, kept=KeptLists.of_store(box.store))
            box.write(*other, seconds=1_767_000_000.0)
            for _ in range(3):
                clock.advance(1.0)
                keeper.turn()
                while keeper.lookout.busy:
                    keeper.turn()
            taken = box.plates(hub)
    else:
        box.write(*other, seconds=1_767_000_000.0)
        taken, _ = box.start()
    assert taken != TEN_PLATES
    box.write(content=BAD)
    assert box.start()[0] == taken


def test_a_copy_that_the_disk_has_changed_is_written_anew(box: Box) -> None:
    box.start()
    copy = box.store / "lists" / "stolen.csv"
    status = copy.stat()
    copy.write_bytes(copy.read_bytes().replace(b"30A", b"31A", 1))
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    box.start()
    assert copy.read_bytes() == box.file.read_bytes()


def test_copies_of_lists_that_the_site_does_not_name_any_more_go(box: Box) -> None:
    box.start()
    clock = ManualClock()
    with open_hub(box="b", store=box.store, endpoint=None, lists=[], clock=clock):
        assert list((box.store / "lists").iterdir()) == []


def test_a_damaged_copy_is_no_copy(box: Box) -> None:
    box.start()
    (box.store / "lists" / "stolen.csv").write_text(BAD)
    assert box.start() == (TEN_PLATES, {}), "the good file is taken, and kept again"
    (box.store / "lists" / "stolen.csv").write_text(BAD)
    box.write(content=BAD)
    with pytest.raises(WatchListError):
        box.start()


def test_a_file_that_changed_after_it_was_read_is_not_kept(box: Box) -> None:
    (watch_list,) = load_lists([box.listed])
    box.write(content=BAD, seconds=watch_list.loaded_seconds + 1)
    box.store.mkdir()
    assert not KeptLists.of_store(box.store).keep(box.listed, watch_list)
    assert not (box.store / "lists" / "stolen.csv").exists()


def test_a_copy_that_cannot_be_written_stops_nothing(box: Box) -> None:
    box.start()
    folder = box.store / "lists"
    (folder / "stolen.csv").unlink()
    folder.rmdir()
    folder.write_text("in the way")
    (watch_list,) = load_lists([box.listed])
    with pytest.raises(StoreError):
        KeptLists(folder).keep(box.listed, watch_list)
    assert box.start() == (TEN_PLATES, {})
    assert "list_not_kept" in box.events()
