"""What must stay, what goes, and what has gone: the verbs, beside a running box too."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filling import fill
from making_records import make_sighting
from running_verbs import run

from anpr.clock import ManualClock
from anpr.errors import PlateError, StoreError
from anpr.store import Store
from anpr.store.audit import AuditLog, Request
from anpr.store.holding import all_holds
from anpr.store.holds import read_holds
from anpr.store.keeper import Keeper
from anpr.store.notes import Notes
from anpr.store.retention import DAY_SECONDS, Policy, Retention, Watermarks

WHY = ("--reason", "an accident", "--case", "17/2026")
ASKED = ("--purpose", "review", "--case", "2026-05")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Store.open(tmp_path / "store", clock=ManualClock(), box="box-1") as store:
        fill(store, hits=(1,))
    return tmp_path / "store"


def asked(folder: Path) -> list[tuple[str, str, int | None]]:
    return [(line.verb, line.case, line.rows) for line in AuditLog(folder, clock=ManualClock()).lines()]


def test_hold_release_and_holds(folder: Path) -> None:
    result = run("store", "hold", "s1", *WHY, "--store", folder)
    assert (result.exit_code, result.stdout) == (0, "H1: 1 records that are there now are held\n")
    result = run("store", "hold", "--plate", "30a-12*", "--from", "1970-01-01", *WHY, "--store", folder, "--json")
    told = json.loads(result.stdout)
    assert (told["id"], told["plate"], told["found"], told["case"]) == ("H2", "30A12*", 3, "17/2026")
    result = run("store", "hold", "--plate", "99Z99999", *WHY, "--store", folder)
    assert result.exit_code == 1  # nothing yet, but what comes will be held
    assert "H3: 0 records" in result.stdout
    shown = run("store", "holds", *ASKED, "--store", folder).stdout
    assert [line.split()[0] for line in shown.splitlines()] == ["H1", "H2", "H3"]
    assert "17/2026: an accident" in shown
    assert run("store", "release", "H3", *WHY, "--store", folder).stdout == "H3 is released\n"
    assert isinstance(run("store", "release", "H3", *WHY, "--store", folder).exception, StoreError)
    assert [each["id"] for each in json.loads(run("store", "holds", *ASKED, "--store", folder, "--json").stdout)] == [
        "H1",
        "H2",
    ]
    run("store", "hold", "h1", *WHY, "--store", folder)
    assert [hold.id for hold in all_holds(folder).holds] == ["H1", "H2", "H4"]  # a name is not given twice
    assert [verb for verb, _, _ in asked(folder)] == ["hold", "hold", "hold", "holds", "release", "holds", "hold"]
    assert asked(folder)[1] == ("hold", "17/2026", 3)
    assert asked(folder)[3] == ("holds", "2026-05", 3)
    assert run("store", "holds", "--store", folder).exit_code == 2


def test_a_hold_names_what_is_there_and_says_why(folder: Path) -> None:
    assert isinstance(run("store", "hold", "nobody", *WHY, "--store", folder).exception, StoreError)
    assert isinstance(run("store", "hold", "--plate", "??-//", *WHY, "--store", folder).exception, PlateError)
    assert run("store", "hold", "s1", "--store", folder).exit_code == 2
    assert run("store", "hold", *WHY, "--store", folder).exit_code == 2
    assert run("store", "hold", "s1", "--plate", "30A", *WHY, "--store", folder).exit_code == 2
    assert run("store", "hold", "s1", "--from", "2h", *WHY, "--store", folder).exit_code == 2
    period = ("--from", "2026-02-01", "--until", "2026-01-01")
    assert run("store", "hold", "--plate", "30A*", *period, *WHY, "--store", folder).exit_code == 2
    assert isinstance(run("store", "hold", "s1", *WHY, "--store", folder / "no").exception, StoreError)
    assert all_holds(folder).holds == ()
    assert asked(folder) == []


def test_a_hold_that_comes_too_late_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it named was purged between the look and the hold."""
    append = AuditLog.append

    def purge_first(self: AuditLog, request: Request, *, rows: int | None) -> object:
        with Store.open(folder, clock=ManualClock(wall=2e9), box="box-1") as store:
            store.append([make_sighting(id="new", evidence=())])
            for _ in store.purge(store.partitions.all[0], choose=lambda _: lambda _: False, reason="retention"):
                pass
        return append(self, request, rows=rows)

    monkeypatch.setattr(AuditLog, "append", purge_first)
    result = run("store", "hold", "s1", *WHY, "--store", folder)
    assert (result.exit_code, result.stdout) == (1, "H1: 0 records that are there now are held\n")


def test_a_hold_is_made_and_the_clock_confirmed_while_the_box_runs(folder: Path) -> None:
    with Store.open(folder, clock=ManualClock(), box="box-1") as store:
        for verb in (("hold", "s1"), ("confirm-clock",)):
            command = [sys.executable, "-m", "anpr", "store", *verb, *WHY, "--store", str(folder)]
            subprocess.run(command, check=True, timeout=60, capture_output=True)
        with store.root.reading() as txn:
            assert len(read_holds(txn, store.root.holds)) == 1
        noted = Notes(store.root).confirmed_seconds()
        assert noted is not None
        assert abs(noted - time.time()) < 60.0
        store.append([make_sighting(id="s9", evidence=())])
    assert [verb for verb, _, _ in asked(folder)] == ["hold", "confirm-clock"]


def site_file(folder: Path) -> Path:
    (folder.parent / "a.mp4").touch()
    path = folder.parent / "site.toml"
    path.write_text(
        f"""
        [box]
        id = "box-1"
        [site]
        id = "s"
        [store]
        path = "{folder}"
        [store.retention]
        passages_days = 2
        passage_pictures_days = 2
        [store.disk]
        early_percent = 99.7
        sparing_percent = 99.8
        reserve_percent = 99.9
        reserve_mib = 0
        [bus]
        endpoint = "ipc:///tmp/none"
        [[cameras]]
        id = "a"
        file = "a.mp4"
        """,
        encoding="utf-8",
    )
    return path


def test_purge_says_what_is_due_and_does_it(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    now = time.time()
    clock = ManualClock(wall=now - 2.5 * DAY_SECONDS)
    policy = Policy(retention=Retention(passages_days=2, passage_pictures_days=2), disk=Watermarks(reserve_mib=0))
    with Store.open(folder, clock=clock, box="box-1") as store:
        fill(store, hits=(1,))
        keeper = Keeper(store, policy, clock=clock, synchronised=lambda: True)
        keeper.note()
        clock.advance(now - clock.wall)
        keeper.note()
        keeper.close()
    site = site_file(folder)
    result = run("store", "purge", site)
    assert (result.exit_code, result.stdout) == (0, "partition of 1 to 4: retention\n")
    assert json.loads(run("store", "purge", site, "--dry-run", "--json").stdout)["due"] == result.stdout.splitlines()
    with Store.open(folder, clock=clock, read_only=True) as store:
        assert store.sighting("s0") is not None
    result = run("store", "purge", site, "--now")
    assert result.exit_code == 0
    assert "retention  all of 1 to 4: 4 records, 2 kept, 2 pictures" in result.stdout
    with Store.open(folder, clock=clock, read_only=True) as store:
        assert store.sighting("s0") is None
        assert store.sighting("s1") is not None
    assert run("store", "purge", site, "--now").stdout == ""
    shown = run("store", "purges", "--store", folder)
    assert shown.stdout == result.stdout
    assert json.loads(run("store", "purges", "--store", folder, "--json").stdout)["what"] == "partition"
    assert run("store", "check", "--store", folder).exit_code == 0


def test_what_was_purged_is_told_also_if_something_fails_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Store, *_: object, **__: object) -> None:
        raise StoreError("the audit log is damaged", cure="keep it")

    folder, now = tmp_path / "store", time.time()
    clock = ManualClock(wall=now - 800.5 * DAY_SECONDS)
    rules = Policy(retention=Retention(passages_days=2, passage_pictures_days=2), disk=Watermarks(reserve_mib=0))
    with Store.open(folder, clock=clock, box="box-1") as store:
        fill(store, hits=(1,))
        for case in ("1", "2"):
            store.audit.append(Request("search", "a purpose", case), rows=0)
        keeper = Keeper(store, rules, clock=clock, synchronised=lambda: True)
        keeper.note()
        clock.advance(now - clock.wall)
        keeper.note()
        keeper.close()
    monkeypatch.setattr(Store, "cut_audit", fail)
    result = run("store", "purge", site_file(folder), "--now", "--json")
    assert result.exit_code == 74
    told = json.loads(result.stdout[result.stdout.index("{") :])
    assert [line.split()[2] for line in told["due"]] == ["retention"] * len(told["due"])
    assert any("all of 1 to 4" in line for line in told["due"])
    assert ["audit log is damaged" in problem for problem in told["problems"]] == [True]


def test_nothing_is_purged_by_a_clock_in_doubt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anpr.store.trust.kernel_says_right", lambda _: False)
    result = run("store", "purge", site_file(folder), "--now")  # stored by a clock that stands in the past
    assert result.exit_code == 1
    assert "the clock is" in result.stdout
    assert "confirm-clock" in result.stdout


def test_nothing_is_made_where_there_is_no_store(tmp_path: Path) -> None:
    error = run("store", "purge", site_file(tmp_path / "store"), "--now").exception
    assert isinstance(error, StoreError)
    assert "no store here" in str(error)
    assert not (tmp_path / "store").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("verb", ["purge", "upgrade"])
def test_what_root_makes_belongs_to_the_box(folder: Path, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anpr.store.trust.kernel_says_right", lambda _: True)
    site = site_file(folder)
    for each in (folder, *folder.rglob("*")):
        os.chown(each, 4711, 4712)
    days = len(list(folder.glob("days/*")))
    if verb == "purge":
        assert run("store", "purge", site, "--now").exit_code == 0
        assert len(list(folder.glob("days/*"))) == days + 1  # today's is begun
    else:
        golden = Path(__file__).parents[1] / "store/golden/schema-4.mdb.gz"
        (folder / "data.mdb").write_bytes(gzip.decompress(golden.read_bytes()))
        shutil.rmtree(folder / "days")
        assert run("store", "upgrade", "--store", folder).exit_code == 0
    assert {(each.stat().st_uid, each.stat().st_gid) for each in folder.rglob("*")} == {(4711, 4712)}


def test_a_running_box_purges_by_itself(folder: Path) -> None:
    with Store.open(folder, clock=ManualClock(), box="box-1"):
        error = run("store", "purge", site_file(folder), "--now").exception
    assert isinstance(error, StoreError)
    assert "purges within a minute" in str(error)


def test_a_store_of_an_older_anpr_is_left_alone_until_this_one_has_run_on_it(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    golden = Path(__file__).parents[1] / "store/golden/schema-4.mdb.gz"
    (folder / "data.mdb").write_bytes(gzip.decompress(golden.read_bytes()))
    for verb in (("hold", "--plate", "30A*"), ("confirm-clock",)):
        error = run("store", *verb, *WHY, "--store", folder).exception
        assert isinstance(error, StoreError)
        assert "old anpr" in str(error)
    result = run("store", "purge", site_file(folder))
    assert result.exit_code == 1
    assert "old anpr" in result.stdout
    assert run("store", "holds", *ASKED, "--store", folder).exit_code == 0
    assert run("store", "purges", "--store", folder).stdout == ""
    assert asked(folder) == [("holds", "2026-05", 0)]
