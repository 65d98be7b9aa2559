"""Who looks after a store while it is in use: how full its disk is, whether its clock is right, and what is to go.

It works in slices of some milliseconds, which the hub's loop gives it between commits; it may be cut short at any of
them, and goes on, or begins anew, after a restart.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.store.deleting import Progress
from anpr.store.disk import LOOK_SECONDS, DiskWatch
from anpr.store.due import Due, Shelf, next_due
from anpr.store.durable import delete_slowly
from anpr.store.faults import told_as_store_errors
from anpr.store.holds import Holds, read_holds
from anpr.store.migration import BACKUP
from anpr.store.notes import Notes, State
from anpr.store.outbox import Outbox
from anpr.store.purges import Purge
from anpr.store.retention import DAY_SECONDS, Policy
from anpr.store.staying import Staying
from anpr.store.store import Store
from anpr.store.tally import PictureTally
from anpr.store.trust import MOST_JUMP_SECONDS, Age, TrustedClock

NOTE_SECONDS = 60.0
"""How often the time lived through is noted, and it is looked whether something is due."""
PAUSE_SECONDS = 0.03
"""Between two slices of work."""
RETRY_SECONDS = 10.0
"""After something failed."""
SETTLE_SECONDS = 6.0
"""What was deleted counts as free after so long at most: until then nothing more goes before its time."""
AUDIT_SECONDS = 30 * DAY_SECONDS
"""How often it is noted how old the audit log's lines are: so much longer they may stay."""


@dataclass(slots=True)
class _Job:
    """Something that is being done."""

    what: str
    """For a person."""
    slices: Iterator[Progress | None]
    reason: str = ""
    done: Callable[[], None] | None = None
    plan: str = ""
    """Which of `_plans` it is of."""


class Keeper:
    """Of a store that is open for writing; use from the same thread."""

    def __init__(
        self,
        store: Store,
        policy: Policy,
        *,
        clock: Clock,
        consumers: Collection[str] = (),
        synchronised: Callable[[], bool] | None = None,
        read_only: bool = False,
    ) -> None:
        """`consumers`: who must have had what goes before its time. `synchronised`: whether a time service says that
        the clock is right; None asks the kernel. `read_only`: only ask it what is `due`. Raises StoreError."""
        self.policy = policy
        self.disk = DiskWatch(store.path, policy.disk, clock=clock, counters=store.counters)
        self.nothing_to_purge = False
        """The disk is filling, and nothing may be purged before its time."""
        self._store = store
        self._clock = clock
        self._consumers = tuple(consumers)
        self._notes = Notes(store.root, read_only=read_only)
        self._outbox = Outbox(store.root, store.partitions)
        lived_seconds, self._state = self._notes.read()
        self.trust = TrustedClock(clock, lived_seconds=lived_seconds or _newest_time(store), synchronised=synchronised)
        self._doubted = False
        self._holds = self._read_holds()
        self._job: _Job | None = None
        self._plans = {
            "counting": self._counting_job,
            "kept": self._kept_job,
            "audit": self._audit_job,
            "copy": self._copy_job,
            "due": self._due_job,
        }
        """What is asked for work, in this order; what failed is asked last: it keeps nothing else from going."""
        self._note_due_seconds = clock.monotonic_seconds()
        self._plan_due_seconds = clock.monotonic_seconds()
        self._tally = PictureTally(store, policy.quota, clock=clock)
        self._log = structlog.get_logger()
        if read_only:
            self.disk.measure()
            self.trust.turn()

    # What others ask

    @property
    def sparing(self) -> bool:
        """Whether pictures of passages without a hit are not to be stored."""
        return self.disk.is_at_least("sparing")

    @property
    def holds(self) -> int:
        """How many legal holds there are."""
        return len(self._holds)

    @property
    def purging(self) -> str:
        """What is being purged, for a person; empty: nothing."""
        return self._job.what if self._job is not None else ""

    @property
    def oldest_seconds(self) -> float | None:
        """Until when the oldest partition was written; None: not known yet."""
        oldest = next(iter(self._store.partitions.all), None)
        age = self._state.ages.get(oldest.first_seq) if oldest is not None else None
        return age.until_seconds if age is not None else None

    def problems(self) -> Iterator[str]:
        """What is wrong, for a person."""
        yield from self.disk.problems()
        if self.nothing_to_purge:
            yield "nothing more may be purged before its time: free some space, or shorten the retention"
        if not self.trust.trusted:
            yield f"{self.trust.doubt}: nothing is purged until a time service keeps it, or anpr store confirm-clock"

    # The loop

    def look(self) -> None:
        """Look at the disk now: something could not be written."""
        with self._told():
            self.disk.look()

    def turn(self, most_seconds: float) -> float:
        """Do what is due for so long; returns in how many seconds it wants its next turn. Never raises."""
        now = self._clock.monotonic_seconds()
        with self._told():
            if self.disk.turn():
                self._plan_due_seconds = now
            if now >= self._note_due_seconds:
                self._note_due_seconds = now + NOTE_SECONDS
                self.note()
            return self._work(now + most_seconds / 4)
        if self._job is not None:
            self._ask_last(self._job.plan)
        self._drop_job()
        self._plan_due_seconds = now + RETRY_SECONDS
        return LOOK_SECONDS

    def run(self) -> Iterator[Purge]:
        """Do all that is due now; tells each purge. Raises StoreError; what failed keeps nothing else from going."""
        failed: dict[str, StoreError] = {}
        self.disk.look()
        self.note()
        while self.trust.trusted and (job := self._plan()) is not None and job.plan not in failed:
            try:
                for progress in job.slices:
                    purge = self._tell(job, progress)
                    if purge is not None:
                        yield purge
                if job.done is not None:
                    job.done()
                self.disk.look()
            except StoreError as error:
                failed[job.plan] = error
                self._ask_last(job.plan)
        for problem in failed.values():
            raise problem

    def due(self) -> Iterator[str]:
        """What would go next, in words; nothing while the clock is in doubt. Raises StoreError."""
        if not self.trust.trusted:
            return
        shelves = self._shelves()
        while (due := self._next_due(shelves)) is not None:
            at = next(at for at, shelf in enumerate(shelves) if shelf.first_seq == due.first_seq)
            yield f"{due.what} of {shelves[at].first_seq:,} to {shelves[at].last_seq:,}: {due.reason}"
            if due.reason != "retention":
                return  # how much room that makes is not known before
            shelves[at : at + 1] = [] if due.what == "partition" else [shelves[at]._replace(thinned=True)]

    def close(self) -> None:
        """Leave off what is being done, and note what the next life must know. Closing twice does no harm."""
        self._drop_job()
        with self._told():
            self.note()

    def note(self) -> None:
        """Ask whether the clock is right, begin a new day, and note how old everything is. Raises StoreError."""
        moved_seconds = self._vouched()
        self._tell_doubt()
        self._holds = self._read_holds()
        if self.trust.trusted:
            self._store.roll()
        state = self._aged(self._state, moved_seconds)
        self._notes.write(self.trust.lived_seconds, state if state != self._state else None)
        self._state = state

    def _vouched(self) -> float | None:
        """If a time service, or a person just now, vouches for the clock: how far the time lived through was behind."""
        moved_seconds = self.trust.turn()
        confirmed_seconds = self._notes.confirmed_seconds()
        if confirmed_seconds is not None:
            if moved_seconds is None and abs(self._clock.wall_seconds() - confirmed_seconds) < MOST_JUMP_SECONDS:
                moved_seconds = self.trust.confirm()
            self._notes.confirm(None)
        return moved_seconds

    def _aged(self, state: State, moved_seconds: float | None) -> State:
        """With how old everything is by now."""
        latest_seconds, sure = self.trust.latest_seconds, self.trust.sure
        ages, audit, copy = dict(state.ages), state.audit, state.copy
        if moved_seconds is not None:
            ages = {first_seq: age.after_doubt(latest_seconds, moved_seconds) for first_seq, age in ages.items()}
            audit = tuple(age.after_doubt(latest_seconds, moved_seconds) for age in audit)
            copy = copy.after_doubt(latest_seconds, moved_seconds) if copy is not None else None
        if self.trust.trusted:
            for first_seq, last_seq in self._numbers():
                age = ages.get(first_seq)
                if age is None or age.last_seq < last_seq:
                    ages[first_seq] = Age(latest_seconds, last_seq, sure)
            if copy is None and self._copy.is_dir():
                copy = Age(latest_seconds, 0, sure)
            lines = Age(latest_seconds, self._store.audit.head.number, sure)
            before = audit[-1] if audit else Age(-AUDIT_SECONDS, 0, sure=True)
            if lines.last_seq > before.last_seq and lines.until_seconds - before.until_seconds >= AUDIT_SECONDS:
                audit = (*audit, lines)
        present = {partition.first_seq for partition in self._store.partitions.all}
        over_seconds = self.trust.now_seconds - self.policy.retention.hits_days * DAY_SECONDS
        return msgspec.structs.replace(state, ages=ages, audit=audit, copy=copy).shortened(present, over_seconds)

    # Work

    def _work(self, until_seconds: float) -> float:
        now = self._clock.monotonic_seconds()
        if not self.trust.trusted:
            self._drop_job()
            return LOOK_SECONDS
        if self._job is None:
            if now < self._plan_due_seconds:
                return min(LOOK_SECONDS, self._plan_due_seconds - now)
            self._job = self._plan()
            if self._job is None:
                self._plan_due_seconds = now + NOTE_SECONDS
                return LOOK_SECONDS
        while self._job is not None:
            job = self._job
            try:
                self._tell(job, next(job.slices))
            except StopIteration:
                self._job = None
                if job.done is not None:
                    job.done()
                self.disk.look()
                crowded = job.reason == "disk"
                self._plan_due_seconds = self._clock.monotonic_seconds() + (SETTLE_SECONDS if crowded else 0.0)
            if self._clock.monotonic_seconds() >= until_seconds:
                break  # a slice may take as long as a whole turn
        return PAUSE_SECONDS

    def _plan(self) -> _Job | None:
        """What is to be done next. Raises StoreError."""
        for name, plan in self._plans.items():
            if (job := plan()) is not None:
                job.plan = name
                return job
        return None

    def _ask_last(self, plan: str) -> None:
        self._plans[plan] = self._plans.pop(plan)

    def _counting_job(self) -> _Job | None:
        counting = self._tally.counting()
        return _Job("counting pictures", counting) if counting is not None else None

    def _due_job(self) -> _Job | None:
        due = self._next_due(self._shelves())
        self.nothing_to_purge = due is None and self.disk.is_at_least("early")
        return self._job_of(due) if due is not None else None

    def _next_due(self, shelves: list[Shelf]) -> Due | None:
        return next_due(
            shelves,
            self.policy,
            now_seconds=self.trust.now_seconds,
            acknowledged_seq=self._acknowledged_seq(),
            crowded=self.disk.is_at_least("early"),
            too_many_pictures=self._tally.passages_exceed,
        )

    def _job_of(self, due: Due) -> _Job:
        partition = self._store.partitions.of_seq(due.first_seq)
        assert partition is not None
        choose, digest = self._staying().choose, self._holds.digest
        if due.what == "partition":
            self._tell_undelivered(due.first_seq)
            slices = self._store.purge(partition, choose=choose, reason=due.reason)
            return _Job(f"{partition.name}, {due.reason}", slices, due.reason, self._tally.forget_kept)

        def done() -> None:
            self._tally.forget(due.first_seq)
            self._change(thinned={**self._state.thinned, due.first_seq: digest})

        slices = self._store.thin(partition, choose=choose, reason=due.reason)
        return _Job(f"pictures of {partition.name}, {due.reason}", slices, due.reason, done)

    def _kept_job(self) -> _Job | None:
        """Look through what has outlived its partition, if something of it may go now."""
        first_seq = self._first_seq()
        over_seconds = self.trust.now_seconds - self.policy.retention.hits_days * DAY_SECONDS
        gone = {first: age for first, age in self._state.ages.items() if first < first_seq}
        over = [first for first, age in gone.items() if age.latest_seconds <= over_seconds]
        kept_from, reason = self._state.kept_from, "retention"
        if self._tally.kept_exceed:
            left = sorted(first for first in (*gone, first_seq) if first > max((kept_from, *over)))
            kept_from, reason = (left[0], "quota") if left and gone else (kept_from, reason)
        until_seconds = max((gone[first].latest_seconds for first in over), default=0.0)
        looked = f"{self._holds.digest}:{until_seconds:.0f}:{first_seq if over else 0}:{kept_from}"
        if looked == self._state.kept_looked:
            return None
        self._change(kept_from=kept_from)

        def done() -> None:
            self._tally.forget_kept()
            self._change(kept_looked=looked)

        slices = self._store.purge_kept(choose=self._staying().choose, reason=reason)
        return _Job(f"records that were kept, {reason}", slices, reason, done)

    def _audit_job(self) -> _Job | None:
        """Take away what of the audit log is too old."""
        seconds = self.policy.retention.audit_days * DAY_SECONDS
        over = [age for age in self._state.audit if age.latest_seconds + seconds <= self.trust.now_seconds]
        if not over:
            return None

        def cut() -> Iterator[Progress]:
            yield Progress("decided", self._store.cut_audit(over[-1].last_seq, reason="retention"))

        def done() -> None:
            self._change(audit=self._state.audit[len(over) :])

        return _Job("lines of the audit log, retention", cut(), "retention", done)

    def _copy_job(self) -> _Job | None:
        """Delete the copy of the store in an older schema, once it has served: it holds what was purged since."""
        seconds, age = self.policy.retention.passages_days * DAY_SECONDS, self._state.copy
        if age is None or age.latest_seconds + seconds > self.trust.now_seconds:
            return None

        def done() -> None:
            self._store.counters.add("store_copies_deleted")
            self._log.info("store_copy_deleted", copy=str(self._copy))
            self._change(copy=None)

        return _Job(f"{self._copy.name}, retention", delete_slowly(self._copy), "retention", done)

    @property
    def _copy(self) -> Path:
        return self._store.path / BACKUP

    def _drop_job(self) -> None:
        """Leave it off; it will be begun anew."""
        if self._job is not None:
            if isinstance(self._job.slices, Generator):
                self._job.slices.close()
            self._job = None

    def _change(self, **changes: object) -> None:
        """Note it durably."""
        changed = msgspec.structs.replace(self._state, **changes)
        if changed != self._state:
            self._notes.write(self.trust.lived_seconds, changed)
            self._state = changed

    # What is there

    def _shelves(self) -> list[Shelf]:
        """The partitions that are not written to any more."""
        ages, thinned, digest = self._state.ages, self._state.thinned, self._holds.digest
        return [
            Shelf(first_seq, last_seq, ages.get(first_seq), thinned.get(first_seq) == digest)
            for first_seq, last_seq in self._numbers()[:-1]
        ]

    def _numbers(self) -> list[tuple[int, int]]:
        """First and last number of each partition, oldest first."""
        partitions = self._store.partitions.all
        firsts = [partition.first_seq for partition in partitions]
        return list(zip(firsts, (*(first - 1 for first in firsts[1:]), self._store.last_seq)))

    def _first_seq(self) -> int:
        oldest = next(iter(self._store.partitions.all), None)
        return oldest.first_seq if oldest is not None else 0

    def _staying(self) -> Staying:
        return Staying(
            self._store.root,
            self._state,
            self.policy.retention,
            now_seconds=self.trust.now_seconds,
            first_seq=self._first_seq(),
        )

    def _acknowledged_seq(self) -> int:
        """Up to here every consumer has had all."""
        positions = self._outbox.positions() if self._consumers else {}
        had = (min(positions.get(name, (0, 0))) for name in self._consumers)
        return min(had, default=self._store.last_seq)

    def _read_holds(self) -> Holds:
        if self._store.root.kept is None:
            return Holds(())
        with self._store.root.reading() as txn:
            return read_holds(txn, self._store.root.holds)

    # What is told

    def _tell(self, job: _Job, progress: Progress | None) -> Purge | None:
        """Count and log what was decided; it comes a second time when it is done."""
        purge = progress.purge if progress is not None and progress.doing == "decided" else None
        if purge is None:
            return None
        counters = self._store.counters
        counters.add("purges", reason=purge.reason)
        counters.add("events_purged", purge.sightings + purge.hits + purge.gaps, reason=purge.reason)
        counters.add("events_kept", purge.kept, reason=purge.reason)
        counters.add("pictures_purged", purge.pictures, reason=purge.reason)
        self._log.info(
            "purged",
            what=purge.what,
            reason=purge.reason,
            number=purge.number,
            partition=purge.partition,
            first_seq=purge.first_seq,
            last_seq=purge.last_seq,
            events=purge.sightings + purge.hits + purge.gaps,
            kept=purge.kept,
            pictures=purge.pictures,
            bytes=purge.bytes + purge.picture_bytes,
        )
        return purge

    def _tell_undelivered(self, first_seq: int) -> None:
        """Count what consumers have not had of a partition that goes."""
        last_seq = next(last for first, last in self._numbers() if first == first_seq)
        positions = self._outbox.positions()
        for name in self._consumers:
            lacking = last_seq - max(first_seq - 1, min(positions.get(name, (0, 0))))
            if lacking > 0:
                self._store.counters.add("events_purged_undelivered", lacking, reason=name)
                self._log.warning("purged_undelivered", consumer=name, events=lacking, last_seq=last_seq)

    def _tell_doubt(self) -> None:
        if self.trust.trusted == self._doubted:
            self._doubted = not self.trust.trusted
            if self._doubted:
                self._store.counters.add("clock_doubts")
                self._log.error("clock_in_doubt", problem=self.trust.doubt)
            else:
                self._log.info("clock_trusted", by="time service" if self.trust.sure else "time lived through")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What fails in the block is counted and logged: it is tried again, and the box goes on."""
        try:
            with told_as_store_errors(self._store.path):
                yield
        except StoreError as error:
            self._store.counters.add("keeping_failures", reason="store")
            self._log.error("keeping_failed", problem=str(error))
        except Exception as error:  # noqa: BLE001  # to store and to tell goes before to delete
            self._store.counters.add("keeping_failures", reason=type(error).__name__)
            self._log.error("keeping_failed", problem="a fault of the program", exc_info=error)


def _newest_time(store: Store) -> float:
    """The newest wall time that a store knows; 0: none."""
    newest = store.events(after_seq=store.last_seq - 1, limit=1)
    return max(store.alive_seconds or 0.0, *(event.committed_seconds for event in newest), 0.0)
