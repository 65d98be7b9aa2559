"""Plates that gave way to pseudonyms: how they are found, exported, checked and told by the verbs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from making_records import make_hit, make_jpeg, make_sighting
from running_verbs import REASON, run

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.plates.pseudonym import is_pseudonym
from anpr.store import Store
from anpr.store.audit import AuditLog
from anpr.store.keeper import Keeper
from anpr.store.pseudonym_key import SECRET, all_keys
from anpr.store.retention import DAY_SECONDS, Policy, Watermarks

SITE = """
[box]
id = "box-1"
[site]
id = "s"
[store]
path = "{folder}"
[store.retention]
pseudonymise_after_days = 2
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
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Of a store with three passages, one with a hit, that are two and a half days old."""
    now = time.time()
    clock = ManualClock(wall=now - 2.5 * DAY_SECONDS)
    with Store.open(tmp_path / "store", clock=clock, box="box-1") as store:
        for number in range(3):
            picture = store.evidence.put("plate", make_jpeg(str(number)))
            seen = make_sighting(id=f"s{number}", text=f"30A0000{number}", evidence=(picture,), seen_seconds=clock.wall)
            store.append([seen], [make_hit(id="h1", sighting_id="s1", evidence=())] if number == 1 else [])
        keeper = Keeper(store, Policy(disk=Watermarks(reserve_mib=0)), clock=clock, synchronised=lambda: True)
        keeper.note()
        clock.advance(now - clock.wall)
        keeper.note()
        keeper.close()
    (tmp_path / "a.mp4").touch()
    (tmp_path / "site.toml").write_text(SITE.format(folder=tmp_path / "store"), encoding="utf-8")
    return tmp_path / "site.toml"


def test_what_is_due_is_told_and_done_and_told_again(site: Path) -> None:
    folder = site.parent / "store"
    assert run("store", "purge", site).stdout == "plates of 1 to 4: retention\n"
    assert not (folder / SECRET).exists()
    done = run("store", "purge", site, "--now")
    assert "retention  plates of 1 to 4: 2 records, 1 kept, 2 pictures" in done.stdout
    assert run("store", "purge", site).stdout == ""
    assert run("store", "purges", "--store", folder).stdout == done.stdout
    told = json.loads(run("store", "check", "--store", folder, "--pictures", "--json").stdout)
    assert (told["problems"], told["pseudonymised_checked"], told["pictures_missing"]) == (0, 2, 0)


def test_who_has_the_key_finds_a_plate_and_says_why(site: Path, tmp_path: Path) -> None:
    folder = site.parent / "store"
    run("store", "purge", site, "--now")
    ask = ("search", *REASON, "--store", folder, "--json")
    assert run(*ask, "--plate", "30A00000").exit_code == 1
    found = run(*ask, "--plate", "30A-000.00", "--pseudonyms")
    told = json.loads(found.stdout)
    assert (told["id"], told["text"]) == ("s0", all_keys(folder)[0].of("30A00000"))
    again = run("search", *REASON, "--store", folder, "--plate", told["text"])
    assert told["text"] in again.stdout
    last = list(AuditLog(folder, clock=ManualClock()).lines())[-2]
    used = {"plate": "30A-000.00", "pseudonyms": all_keys(folder)[0].fingerprint}
    assert (last.verb, last.rows, last.asked) == ("search", 1, used)
    exported = run(
        "store", "export", tmp_path / "a.csv", *REASON, "--store", folder, "--plate", "30A00000", "--pseudonyms"
    )
    assert exported.exit_code == 0
    assert told["text"] in (tmp_path / "a.csv").read_text(encoding="utf-8-sig")
    assert run("store", "export", tmp_path / "b.csv", *REASON, "--records", "hits", "--pseudonyms").exit_code == 2
    held = run("store", "hold", "--plate", told["text"], "--reason", "court", "--case", "1", "--store", folder)
    assert held.stdout == "H1: 1 records that are there now are held\n"


def test_without_the_key_it_is_told(site: Path) -> None:
    asked = run("search", *REASON, "--store", site.parent / "store", "--plate", "30A00000", "--pseudonyms")
    assert isinstance(asked.exception, StoreError)
    assert "no key of pseudonyms" in str(asked.exception)


def test_evidence_says_that_the_plate_is_gone(site: Path, tmp_path: Path) -> None:
    folder = site.parent / "store"
    run("store", "purge", site, "--now")
    run("evidence", "export", "s0", "--out", tmp_path / "b", *REASON, "--store", folder)
    verified = run("evidence", "verify", tmp_path / "b", "--key", folder / "evidence.key")
    assert verified.exit_code == 0
    assert "✔ unaltered: ~" in verified.stdout
    assert "its plate gave way to a pseudonym at 20" in verified.stdout
    told = json.loads(run("evidence", "verify", tmp_path / "b", "--json").stdout)
    assert told["problems"] == []
    assert told["pseudonymised_at"].startswith("20")
    assert is_pseudonym(told["event"]["record"]["text"])
