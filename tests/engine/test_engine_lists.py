"""The watch-lists of a running hub follow their files."""

import errno
import os
import threading
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from waiting import until

from anpr.clock import ManualClock
from anpr.config.site import Listed
from anpr.engine.box import load_lists
from anpr.engine.lists import THREAD_NAME, ListKeeper
from anpr.errors import WatchListError
from anpr.metrics import Counters
from anpr.watch.install import install
from anpr.watch.matcher import Matcher

NOW_SECONDS = 1_767_225_600.0
TEN = tuple(f"30A{number:05}" for number in range(1, 11))


class FakeHub:
    """What a keeper asks of a hub."""

    def __init__(self, matcher: Matcher) -> None:
        self.matcher = matcher
        self.counters = Counters()

    def replace_matcher(self, matcher: Matcher) -> None:
        self.matcher = matcher


class Box:
    """A keeper of two lists, `stolen` and `wanted`, and its clock."""

    def __init__(self, folder: Path) -> None:
        self.stolen, self.wanted = folder / "stolen.csv", folder / "wanted.csv"
        write(self.stolen, *TEN)
        write(self.wanted, "51D12345")
        listed = tuple(
            Listed.model_validate({"name": path.stem, "file": str(path)}) for path in (self.stolen, self.wanted)
        )
        self.hub = FakeHub(Matcher(load_lists(listed)))
        self.clock = ManualClock()
        self.keeper = ListKeeper(listed, self.hub, clock=self.clock)

    def run(self, looks: int = 4) -> None:
        """So many looks, each with the reading that it brings about."""
        for _ in range(looks):
            self.clock.advance(1.0)
            self.keeper.turn()
            until(lambda: not self.keeper.lookout.busy, meanwhile=self.keeper.turn)

    def plates(self, name: str = "stolen") -> tuple[str, ...]:
        (found,) = (each for each in self.hub.matcher.lists if each.name == name)
        return tuple(entry.plate for entry in found.entries)


def write(path: Path, *plates: str) -> None:
    """Replace a file in one step, as `anpr watch import` does."""
    fresh = path.with_suffix(".new")
    fresh.write_text("plate\n" + "\n".join(plates) + "\n")
    fresh.replace(path)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_an_unchanged_file_is_not_read_again(box: Box) -> None:
    before = box.hub.matcher
    box.run()
    assert box.hub.matcher is before
    assert not box.hub.counters.counts


def test_a_changed_file_is_taken_and_the_other_list_stays(box: Box) -> None:
    wanted = box.hub.matcher.lists[1]
    write(box.stolen, *TEN, "30A-999.99")
    with capture_logs() as logs:
        box.run()
    assert box.plates() == (*TEN, "30A99999")
    assert box.hub.matcher.lists[1] is wanted
    assert box.hub.counters.counts == {("lists_reloaded", ""): 1}
    (told,) = (each for each in logs if each["event"] == "list_reloaded")
    assert (told["list"], told["entries"], told["difference"]) == ("stolen", 11, "+1 −0 ~0")


def test_a_new_list_that_no_threshold_keeps_within_its_budget_is_told_of(box: Box) -> None:
    write(box.stolen, *TEN, "20*")
    with capture_logs() as logs:
        box.run()
    (told,) = (each for each in logs if each["event"] == "list_over_budget")
    assert (told["list"], told["budget_per_day"]) == ("stolen", 1.0)
    assert told["expected_per_day"] > 1.0
    write(box.wanted, "51D12345", "51D12346")
    with capture_logs() as logs:
        box.run()
    assert [each["event"] for each in logs] == ["list_reloaded"], "told of the lists that changed"


def test_the_same_content_written_anew_is_a_younger_list(box: Box) -> None:
    before = box.hub.matcher.lists[0]
    write(box.stolen, *TEN)
    os.utime(box.stolen, (before.loaded_seconds + 60, before.loaded_seconds + 60))
    box.run()
    after = box.hub.matcher.lists[0]
    assert (after.version, after.loaded_seconds) == (before.version, before.loaded_seconds + 60)


def test_a_file_is_read_only_when_it_is_at_rest(box: Box) -> None:
    box.run(1)
    with box.stolen.open("a") as file:
        for number in range(90_000, 90_003):
            file.write(f"30A{number}\n")
            file.flush()
            box.run(1)
            assert box.plates() == TEN
    box.run(2)
    assert len(box.plates()) == 13


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("plate\n" + "\n".join(TEN[:5]), "5 of 10 active plates would vanish"),
        ("plate\n" + "\n".join([*TEN, "nonsense"]), "1 of 11 rows are bad"),
        ("\0", "NUL"),
        ("", "empty"),
    ],
)
def test_a_refused_file_leaves_the_list_and_is_told_once(box: Box, content: str, why: str) -> None:
    before = box.hub.matcher
    box.stolen.write_text(content)
    with capture_logs() as logs:
        box.run(6)
    assert box.hub.matcher is before
    assert box.hub.counters.counts == {("watchlist_reload_failed", "file"): 1}
    (told,) = (each for each in logs if each["event"] == "list_refused")
    assert told["list"] == "stolen"
    assert why in told["problem"]
    assert "nonsense" not in box.keeper.refused["stolen"]
    write(box.stolen, *TEN)
    box.run()
    assert box.keeper.refused == {}


def test_a_missing_file_leaves_the_list(box: Box) -> None:
    box.stolen.unlink()
    box.run()
    assert box.plates() == TEN
    assert "No such file" in box.keeper.refused["stolen"]


def test_what_somebody_forced_is_taken(box: Box, tmp_path: Path) -> None:
    half = tmp_path / "half.csv"
    half.write_text("plate\n" + "\n".join(TEN[:3]))
    install(half, tmp_path, now_seconds=NOW_SECONDS, name="stolen", force=True)
    box.run()
    assert box.plates() == TEN[:3]
    write(box.stolen, TEN[0])  # only that content was forced
    box.run()
    assert box.plates() == TEN[:3]


def test_a_symbolic_link_may_be_turned_to_another_file(tmp_path: Path) -> None:
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    write(first, *TEN)
    write(second, *TEN, "30A99999")
    os.utime(second, (first.stat().st_mtime, first.stat().st_mtime))
    link = tmp_path / "stolen.csv"
    link.symlink_to(first)
    listed = (Listed.model_validate({"name": "stolen", "file": str(link)}),)
    hub, clock = FakeHub(Matcher(load_lists(listed))), ManualClock()
    keeper = ListKeeper(listed, hub, clock=clock)
    other = tmp_path / "link"
    other.symlink_to(second)
    other.replace(link)
    for _ in range(4):
        clock.advance(1.0)
        keeper.turn()
        while keeper.lookout.busy:
            keeper.turn()
    assert len(hub.matcher.lists[0].entries) == 11


def test_asking_reads_all_files_at_once(box: Box) -> None:
    before = box.hub.matcher
    box.keeper.lookout.ask()
    box.run(1)
    assert box.hub.matcher is not before
    assert box.hub.counters.counts[("lists_reloaded", "")] == 2


def test_the_thread_is_named_never_waited_for_and_gone_after_close(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def wait(*_: object, **__: object) -> None:
        assert go_on.wait(20.0)
        raise WatchListError("late")

    monkeypatch.setattr("anpr.engine.lists.load_list", wait)
    box.keeper.lookout.ask()
    for _ in range(3):
        box.clock.advance(1.0)
        box.keeper.turn()
        assert box.keeper.lookout.busy
    assert [thread.name for thread in threading.enumerate()].count(THREAD_NAME) == 1
    go_on.set()
    box.keeper.lookout.close()
    assert THREAD_NAME not in {thread.name for thread in threading.enumerate()}


def test_a_fault_of_ours_is_told_and_leaves_the_lists(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room")

    before = box.hub.matcher
    monkeypatch.setattr("anpr.engine.lists.load_list", fail)
    write(box.stolen, *TEN, "30A99999")
    with capture_logs() as logs:
        box.run()
    assert box.hub.matcher is before
    assert [each["event"] for each in logs] == ["lists_failed"]
    assert box.hub.counters.counts == {("watchlist_reload_failed", "failure"): 1}
    assert box.keeper.refused["stolen"] == "a fault of the program: MemoryError"


def test_new_content_with_the_old_time_and_size_is_taken(box: Box) -> None:
    box.run()
    before = box.stolen.stat()
    time.sleep(0.02)  # as coarse as the times of a file system
    box.stolen.write_text(box.stolen.read_text().replace(TEN[-1], "51D99999"))
    os.utime(box.stolen, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = box.stolen.stat()
    assert (after.st_mtime_ns, after.st_size, after.st_ino) == (before.st_mtime_ns, before.st_size, before.st_ino)
    box.run()
    assert box.plates() == (*TEN[:-1], "51D99999")


def test_a_file_that_may_be_read_again_is_taken(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    write(box.stolen, *TEN, "30A99999")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", _forbidden)
        box.run()
    assert "Permission denied" in box.keeper.refused["stolen"]
    time.sleep(0.02)
    box.stolen.chmod(0o640)
    box.run()
    assert (len(box.plates()), box.keeper.refused) == (11, {})


def _forbidden(*_: object, **__: object) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
