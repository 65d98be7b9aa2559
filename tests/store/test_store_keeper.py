"""What goes goes in time, what must stay stays, and nothing goes because a clock was wrong."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import structlog
from keeping import NO_RESERVE, QUICK, Box, policy

from anpr.clock import ManualClock
from anpr.errors import StoreError
from anpr.store import Query
from anpr.store.audit import Request
from anpr.store.checking import check
from anpr.store.holds import Hold, drop_hold, put_hold, read_holds
from anpr.store.keeper import Keeper
from anpr.store.migration import BACKUP
from anpr.store.purges import audit_begins
from anpr.store.retention import DAY_SECONDS, Retention, Watermarks


@pytest.fixture
def box(tmp_path: Path, clock: ManualClock) -> Box:
    return Box(tmp_path / "store", clock, policy())


def hold(box: Box, **what: object) -> None:
    with box.store.root.reading() as txn:
        number = len(read_holds(txn, box.store.root.holds)) + 1
    facts = {"id": f"H{number}", "at": "", "user": "u", "reason": "r", "case": "c"}
    with box.store.root.writing() as txn:
        put_hold(txn, box.store.root.holds, msgspec.convert({**facts, **what}, Hold))


def release(box: Box, name: str) -> None:
    with box.store.root.writing() as txn:
        drop_hold(txn, box.store.root.holds, name)


def test_passages_go_after_their_days_and_hits_after_theirs(box: Box) -> None:
    with box:
        box.see()
        box.see(hit=True)
        box.live(2.9)
        assert box.ids() == {"v1", "v2"}
        box.live(1.2)
        assert box.ids() == {"v2"}
        assert box.pictures() == 1
        assert box.store.search(Query()).sightings[0].id == "v2"
        assert [hit.id for hit in box.store.hits_since(0.0)] == ["h-v2"]
        assert [gap.id for gap in box.store.gaps()] == ["g-v2"]
        proved = box.store.evidence_of("v2")[1]
        assert proved.holds_for(box.store.evidence_of("v2")[0])
        box.live(5.5)
        assert box.ids() == {"v2"}
        box.live(1.6)
        assert box.ids() == set()
        assert box.pictures() == 0
        assert list(box.store.hits_since(0.0)) == []
        assert [(each.what, each.reason) for each in box.store.purges()] == [
            ("partition", "retention"),
            ("kept", "retention"),
        ]
        counts = box.store.counters.counts
        assert counts["events_purged", "retention"] == 7
        assert counts["events_kept", "retention"] == 3
        assert counts["pictures_purged", "retention"] == 2
    assert check(box.folder, clock=box.clock, pictures=True).problems == []


def test_pictures_may_go_before_their_passages(tmp_path: Path, clock: ManualClock) -> None:
    retention = Retention(passages_days=6, passage_pictures_days=2, hits_days=10)
    with Box(tmp_path / "store", clock, policy(retention=retention)) as box:
        box.see()
        box.see(hit=True)
        box.live(3.2)
        assert box.ids() == {"v1", "v2"}
        assert box.pictures() == 1
        assert box.store.evidence.has(box.store.hits_of("v2")[0].evidence[0].sha256)
        assert [each.what for each in box.store.purges()] == ["pictures"]
        box.live(1.0)
        assert len(box.store.purges()) == 1
    assert check(box.folder, clock=clock).problems == []


def test_a_picture_that_a_later_passage_shares_stays_as_long_as_that(box: Box) -> None:
    with box:
        shared = box.see("v1").evidence
        box.live(2.0)
        box.number = 1
        again = box.see("v2")
        box.store.append([msgspec.structs.replace(again, evidence=shared, revision=2)])
        box.live(2.2)
        assert box.ids() == {"v2"}
        assert box.store.evidence.has(shared[0].sha256)
        box.live(2.5)
        assert not box.store.evidence.has(shared[0].sha256)


def test_what_is_held_outlives_every_purge_until_it_is_released(box: Box) -> None:
    with box:
        box.see()
        box.see()
        box.see(text="51F67890")
        box.see(hit=True)
        hold(box, record="v2")
        hold(box, plate="51F*", from_seconds=box.clock.wall - 1.0)
        hold(box, record="h-v4")
        box.live(14.0)
        assert box.ids() == {"v2", "v3", "v4"}
        assert box.pictures() == 3
        assert [hit.id for hit in box.store.hits_since(0.0)] == ["h-v4"]
        release(box, "H1")
        box.live(0.5)
        assert box.ids() == {"v3", "v4"}
        release(box, "H3")
        box.live(0.5)
        assert box.ids() == {"v3"}
        assert box.pictures() == 1
    assert check(box.folder, clock=box.clock).problems == []


def test_a_hold_that_is_made_while_it_is_purged_still_holds(box: Box) -> None:
    with box:
        box.see()
        box.see()
        box.live(2.5)
        box.clock.advance(1.6 * DAY_SECONDS)
        box.keeper.note()
        box.keeper._job = box.keeper._plan()
        assert box.keeper.purging
        next(box.keeper._job.slices)
        hold(box, record="v2")
        box.work()
        assert box.ids() == {"v2"}


@pytest.mark.parametrize("jump", [2 * DAY_SECONDS, 400 * DAY_SECONDS, -400 * DAY_SECONDS])
def test_a_clock_that_jumps_purges_nothing_until_somebody_vouches(box: Box, jump: float) -> None:
    with box:
        box.right = False
        box.see()
        box.live(0.5)
        box.clock.wall += jump
        box.work()
        assert not box.keeper.trust.trusted
        assert "the clock is" in "\n".join(box.keeper.problems())
        box.live(9.0)
        assert box.ids() == {"v1"}
        assert box.store.counters.counts["clock_doubts", ""] == 1
        box.clock.wall -= jump
        box.right = True
        box.work()
        assert box.ids() == set()  # by now it truly is so old
        assert list(box.keeper.problems()) == []


def test_after_a_person_confirmed_the_clock_it_counts_from_then(box: Box) -> None:
    with box:
        box.right = False
        box.see()
        box.live(0.5)
        box.clock.wall += 400 * DAY_SECONDS
        box.work()
        box.keeper._notes.confirm(box.clock.wall)
        box.work()
        assert box.keeper.trust.trusted
        assert box.ids() == {"v1"}  # nobody knows how old it really is
        box.live(5.0)
        assert box.ids() == set()


def test_a_box_that_was_off_knows_its_age_again(box: Box) -> None:
    with box:
        box.see()
        box.live(1.1)
    box.clock.advance(5 * DAY_SECONDS)
    box.clock.monotonic = 0.0
    box.right = False
    with box:
        box.work()
        assert box.ids() == {"v1"}
        box.right = True
        box.work()
        assert box.ids() == set()


def test_an_idle_box_begins_a_new_day_so_that_the_last_one_may_go(box: Box) -> None:
    with box:
        box.see()
        box.live(6.0)
        assert box.ids() == set()
        assert box.store.last_seq == 1


def test_it_goes_on_after_any_slice(box: Box) -> None:
    """Whatever slice is the last of a life, the next one ends what was begun, and nothing that must stay is lost."""
    slices = 0
    while True:
        slices += 1
        folder = box.folder.with_name(f"store-{slices}")
        again = Box(folder, ManualClock(), policy())
        again.start()
        for number in range(6):
            again.see(hit=number % 3 == 0)
        again.live(2.5)
        again.see()
        again.clock.advance(1.3 * DAY_SECONDS)
        again.keeper.note()
        again.keeper._plan_due_seconds = 0.0
        ended = False
        for _ in range(slices):
            if again.keeper.turn(0.0) > 0.1 and not again.keeper.purging:
                ended = True
        again.keeper._drop_job()
        again.store.close()  # without a word
        again.start()
        again.work()
        assert again.ids() == {"v1", "v4", "v7"}
        assert again.pictures() == 3
        again.stop()
        assert check(folder, clock=again.clock, pictures=True).problems == []
        if ended:
            break
    assert slices > 5


def test_what_fails_is_counted_and_tried_again(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    with box:
        box.see()
        box.live(2.9)
        with monkeypatch.context() as patched:
            patched.setattr(box.store, "purge", refuse)
            box.clock.advance(2 * DAY_SECONDS)
            for _ in range(30):
                box.clock.advance(5.0)
                assert box.keeper.turn(0.01) > 0.0
            assert 3 <= box.store.counters.counts["keeping_failures", "store"] <= 20
            assert box.ids() == {"v1"}
            assert f"what is old cannot go (partition of {box.store.partitions.all[0].name}): the disk is full" in list(
                box.keeper.problems()
            )
        box.live(0.1)
        assert list(box.keeper.problems()) == []
        assert box.ids() == set()


def test_a_fault_of_the_program_does_not_end_the_box(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    with box:
        box.see()
        monkeypatch.setattr("anpr.store.keeper.all_due", None)
        with structlog.testing.capture_logs() as logs:
            box.live(0.5)
        assert box.store.counters.counts["keeping_failures", "TypeError"] >= 1
        assert next(each["event"] for each in logs if "exc_info" in each) == "keeping_failed"
        assert box.keeper.trust.trusted


def test_dry_run_says_what_would_go_next(box: Box) -> None:
    with box:
        box.see()
        box.live(1.0)
        box.see()
        assert list(box.keeper.due()) == []
        box.clock.advance(3.1 * DAY_SECONDS)
        box.store.roll()
        assert list(box.keeper.due()) == ["partition of 1 to 1: retention"]
        box.keeper.note()
        assert list(box.keeper.due()) == ["partition of 1 to 1: retention"]
        assert [each.what for each in box.keeper.run()] == ["partition"]
        assert list(box.keeper.due()) == []


def test_the_copy_of_an_older_store_goes_when_its_time_is_over(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anpr.store.durable._LET_GO_BYTES", 1000)
    with box:
        copy = box.folder / BACKUP
        copy.mkdir()
        (copy / "data.mdb").write_bytes(bytes(4500))
        box.live(2.9)
        assert (copy / "data.mdb").stat().st_size == 4500
        box.live(1.0)
        assert not copy.exists()
        assert box.store.counters.counts["store_copies_deleted", ""] == 1
        box.live(1.0)
        assert box.store.counters.counts["store_copies_deleted", ""] == 1


def test_ages_of_partitions_long_gone_are_forgotten(box: Box) -> None:
    with box:
        for _ in range(16):
            box.see()
            box.clock.advance(DAY_SECONDS)
            box.work()
        assert len(box.store.purges()) > 10
        assert len(box.keeper._state.ages) < 14


def test_a_policy_of_the_defaults_keeps_what_is_young(tmp_path: Path, clock: ManualClock) -> None:
    with Box(tmp_path / "store", clock, policy(retention=Retention(), disk=Watermarks(reserve_mib=1))) as box:
        box.see()
        box.clock.advance(28.9 * DAY_SECONDS)
        box.work()
        assert box.ids() == {"v1"}
        assert box.keeper.disk.reserve_held
        assert box.store.purges() == []
        assert QUICK.passages_days < Retention().passages_days
        assert NO_RESERVE.reserve_mib < Watermarks().reserve_mib


def test_lines_of_the_audit_log_go_when_their_time_is_over(tmp_path: Path, clock: ManualClock) -> None:
    rules = policy(retention=Retention(audit_days=40))
    with Box(tmp_path / "store", clock, rules) as box:

        def ask(lines: int) -> None:
            for _ in range(lines):
                box.store.audit.append(Request("search", "theft", "17/2026"), rows=1)

        def numbers() -> list[int]:
            return [line.number for line in box.store.audit.lines()]

        ask(3)
        box.work()
        clock.advance(35 * DAY_SECONDS)
        ask(2)
        box.work()
        clock.advance(4.5 * DAY_SECONDS)
        box.work()
        assert numbers() == [1, 2, 3, 4, 5]
        clock.advance(1.6 * DAY_SECONDS)
        box.work()
        assert numbers() == [4, 5]
        (purge,) = box.store.purges()
        assert (purge.what, purge.first_seq, purge.last_seq) == ("audit", 1, 3)
        begins = audit_begins(box.store.root)
        assert box.store.audit.verify(begins=begins).problems == ()
        assert box.store.audit.verify(begins[0], begins=begins).problems == ()
        assert box.store.audit.verify().problems != ()
        ask(1)
        assert numbers() == [4, 5, 6]
        clock.advance(80 * DAY_SECONDS)
        box.work()
        clock.advance(50 * DAY_SECONDS)
        box.work()
        assert numbers() == [6]  # the newest stays, so that the chain goes on
        ask(1)
    assert check(box.folder, clock=clock).problems == []
    log = box.folder / "audit/log.jsonl"
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[1])
    assert "entry" in check(box.folder, clock=clock).problems[0]


def test_what_cannot_be_done_keeps_nothing_else_from_going(tmp_path: Path, clock: ManualClock) -> None:
    rules = policy(retention=Retention(passages_days=3, passage_pictures_days=3, hits_days=4, audit_days=4))
    with Box(tmp_path / "store", clock, rules) as box:
        for _ in range(3):
            box.store.audit.append(Request("search", "theft", "17/2026"), rows=1)
        box.see()
        box.live(1.0)
        first, second, *rest = box.store.audit.file.read_bytes().splitlines(keepends=True)
        altered = b"".join((first, second.replace(b"theft", b"trust"), *rest))
        box.store.audit.file.write_bytes(altered)
        for _ in range(8):
            box.see()
            box.live(1.0)
        assert box.ids() == {"v7", "v8", "v9"}
        assert box.store.counters.counts["keeping_failures", "store"] > 1
        assert box.store.audit.file.read_bytes() == altered
        box.clock.advance(DAY_SECONDS)
        list(box.keeper.run())
        assert box.keeper.failed
        assert any("entry 2 was changed" in each for each in box.keeper.problems())
        assert box.ids() == {"v8", "v9"}


def test_what_cannot_even_be_begun_keeps_nothing_else_from_going(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Keeper) -> None:
        raise StoreError("its folder cannot be read", place="damaged", cure="chown it")

    monkeypatch.setattr(Keeper, "_aside_job", fail)
    with box:
        box.see()
        box.live(6.0)
        assert box.ids() == set()
        assert box.store.counters.counts["keeping_failures", "store"] > 0
