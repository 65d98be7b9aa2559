"""Who looks after a store while it is in use: how full its disk is, whether its clock is right, and what is to go.

It works in slices of some milliseconds, which the hub's loop gives it between commits; it may be cut short at any of
them, and goes on, or begins anew, after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from pathlib import Path

import msgspec
import structlog

from anpr.clock import Clock
from anpr.errors import StoreError
from anpr.store.aside import days_aside
from anpr.store.deleting import Progress
from anpr.store.disk import LOOK_SECONDS, DiskWatch
from anpr.store.due import Due, Shelf, all_due
from anpr.store.durable import delete_slowly
from anpr.store.holds import Holds, read_holds
from anpr.store.job import Job
from anpr.store.migration import BACKUP
from anpr.store.notes import Notes, State, newest_time
from anpr.store.outbox import Outbox
from anpr.store.pseudonym_key import present_key
from anpr.store.purges import Purge, lost_ranges
from anpr.store.retention import DAY_SECONDS, Policy
from anpr.store.setbacks import Setbacks
from anpr.store.staying import Staying
from anpr.store.store import Store
from anpr.store.tally import PictureTally
from anpr.store.told import tell_purge, tell_trust, tell_undelivered, telling_failures
from anpr.store.trust import MOST_JUMP_SECONDS, Age, TrustedClock

NOTE_SECONDS = 60.0
"""How often the time lived through is noted, and it is looked whether something is due."""
PAUSE_SECONDS = 0.03
"""Between two slices of work."""
RETRY_SECONDS = 10.0
"""After something failed."""
SETTLE_SECONDS = 6.0
"""What was deleted counts as free after so long at most: until then nothing more goes before its time."""
FINISH_SECONDS = 600.0
"""How often it is tried to finish what an earlier life has left."""
AUDIT_SECONDS = 30 * DAY_SECONDS
"""How often it is noted how old the audit log's lines are: so much longer they may stay."""

_FINISHING = "finishing"
"""Of the plans."""


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
        self._lost = lost_ranges(store.root)
        self._read_only = read_only
        self._notes = Notes(store.root, read_only=read_only)
        self._outbox = Outbox(store.root, store.partitions)
        lived_seconds, self._state = self._notes.read()
        self.trust = TrustedClock(clock, lived_seconds=lived_seconds or newest_time(store), synchronised=synchronised)
        self._doubted = False
        self._holds = self._read_holds()
        self._job: Job | None = None
        self._plan_name = ""
        """Of the plan, or of what is due, that was asked for, or is followed."""
        self._setbacks = Setbacks(clock=clock)
        """Plans, and what is due, by their names."""
        self._plans = {
            _FINISHING: self._finishing_job,
            "counting": self._counting_job,
            "kept": self._kept_job,
            "audit": self._audit_job,
            "copy": self._copy_job,
            "aside": self._aside_job,
            "due": self._due_job,
        }
        """What is asked for work, in this order; what failed is passed over for a while."""
        self._note_due_seconds = clock.monotonic_seconds()
        self._plan_due_seconds = clock.monotonic_seconds()
        self._finish_due_seconds = clock.monotonic_seconds()
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

    @property
    def failed(self) -> bool:
        """Whether something could not be done, and is not done yet."""
        return len(self._setbacks) > 0

    def problems(self) -> Iterator[str]:
        """What is wrong, for a person."""
        yield from self.disk.problems()
        if self.nothing_to_purge:
            yield "nothing more may be purged before its time: free some space, or shorten the retention"
        if not self._read_only:
            yield from map(str, self._store.purge_problems)
        for plan, problem in self._setbacks:
            yield f"what is old cannot go{f' ({plan})' if plan else ''}: {problem}"
        if not self.trust.trusted:
            yield f"{self.trust.doubt}: nothing is purged until a time service keeps it, or anpr store confirm-clock"

    # The loop

    def look(self) -> None:
        """Look at the disk now: something could not be written."""
        with telling_failures(self._store.counters, self._store.path):
            self.disk.look()

    def turn(self, most_seconds: float) -> float:
        """Do what is due for so long; returns in how many seconds it wants its next turn. Never raises."""
        now = self._clock.monotonic_seconds()
        self._plan_name = ""
        with telling_failures(self._store.counters, self._store.path) as failures:
            if self.disk.turn():
                self._plan_due_seconds = now
            if now >= self._note_due_seconds:
                self._note_due_seconds = now + NOTE_SECONDS
                self.note()
            self._setbacks.forget("")
            self._plan_name = self._job.plan if self._job is not None else ""
            return self._work(now + most_seconds / 4)
        self._setbacks.note(self._plan_name, failures[0])
        self._drop_job()
        self._plan_due_seconds = now + RETRY_SECONDS
        return LOOK_SECONDS

    def run(self) -> Iterator[Purge]:
        """Do all that is due now; tells each purge. What fails keeps nothing else from going: it is in `problems`, and
        `failed`. Raises StoreError if nothing can be begun."""
        self.disk.look()
        self.note()
        while True:
            try:
                job = self._plan()
                if job is None:
                    return
                for progress in job.slices:
                    purge = self._tell(progress)
                    if purge is not None:
                        yield purge
                if job.done is not None:
                    job.done()
                self.disk.look()
            except StoreError as error:
                self._setbacks.note(self._plan_name, str(error), for_good=True)
                self._log.error("keeping_failed", problem=str(error))

    def due(self) -> Iterator[str]:
        """What would go next, in words; nothing while the clock is in doubt. Raises StoreError."""
        if not self.trust.trusted:
            return
        shelves = self._shelves()
        while (due := next(self._all_due(shelves), None)) is not None:
            at = next(at for at, shelf in enumerate(shelves) if shelf.first_seq == due.first_seq)
            yield f"{due.what} of {shelves[at].first_seq:,} to {shelves[at].last_seq:,}: {due.reason}"
            if due.reason != "retention":
                return  # how much room that makes is not known before
            shelves[at : at + 1] = shelves[at].after(due.what)

    def close(self) -> None:
        """Leave off what is being done, and note what the next life must know. Closing twice does no harm."""
        self._drop_job()
        with telling_failures(self._store.counters, self._store.path):
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
            for name in days_aside(self._store.path):
                ages.setdefault(name.first_seq, Age(latest_seconds, 0, sure))
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
        if not self.trust.trusted and self._job is not None and self._job.plan != _FINISHING:
            self._drop_job()
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
                self._tell(next(job.slices))
            except StopIteration:
                self._job = None
                self._setbacks.forget(job.plan)
                if job.done is not None:
                    job.done()
                self.disk.look()
                crowded = job.reason == "disk"
                self._plan_due_seconds = self._clock.monotonic_seconds() + (SETTLE_SECONDS if crowded else 0.0)
            if self._clock.monotonic_seconds() >= until_seconds:
                break  # a slice may take as long as a whole turn
        return PAUSE_SECONDS

    def _plan(self) -> Job | None:
        """What is to be done next. Raises StoreError."""
        for name, plan in self._plans.items():
            if self._setbacks.wait(name) or not (self.trust.trusted or name == _FINISHING):
                continue
            self._plan_name = name
            job = plan()
            if job is not None:
                job.plan = self._plan_name
                return job
            self._setbacks.forget(name)
        return None

    def _finishing_job(self) -> Job | None:
        """Do what was decided and is not done: whatever the clock says, for it is decided."""
        now = self._clock.monotonic_seconds()
        if now < self._finish_due_seconds or not (self._store.unfinished or self._store.purge_problems):
            return None
        self._finish_due_seconds = now + FINISH_SECONDS

        def done() -> None:
            for problem in self._store.purge_problems:
                self._store.counters.add("purges_unfinished")
                self._log.error("purge_unfinished", problem=str(problem))

        slices = self._store.finish(choose=self._staying().choose)
        return Job("what was decided earlier", slices, done=done)

    def _counting_job(self) -> Job | None:
        counting = self._tally.counting()
        return Job("counting pictures", counting) if counting is not None else None

    def _due_job(self) -> Job | None:
        dues = {self._name_of(due): due for due in self._all_due(self._shelves())}
        self._setbacks.forget_others([*self._plans, *dues])
        name = next((name for name in dues if not self._setbacks.wait(name)), None)
        self.nothing_to_purge = name is None and self.disk.is_at_least("early")
        if name is None:
            return None
        self._plan_name = name
        return self._job_of(dues[name])

    def _name_of(self, due: Due) -> str:
        partition = self._store.partitions.of_seq(due.first_seq)
        return f"{due.what} of {partition.name if partition is not None else due.first_seq}"

    def _all_due(self, shelves: list[Shelf]) -> Iterator[Due]:
        return all_due(
            shelves,
            self.policy,
            now_seconds=self.trust.now_seconds,
            acknowledged_seq=self._outbox.acknowledged_seq(self._consumers),
            crowded=self.disk.is_at_least("early"),
            too_many_pictures=self._tally.passages_exceed,
        )

    def _job_of(self, due: Due) -> Job:
        partition = self._store.partitions.of_seq(due.first_seq)
        assert partition is not None
        choose, digest = self._staying().choose, self._holds.digest
        if due.what == "partition":
            self._tell_undelivered(due.first_seq)
            slices = self._store.purge(partition, choose=choose, reason=due.reason)
            return Job(f"{partition.name}, {due.reason}", slices, due.reason, self._tally.forget_kept)

        def done() -> None:
            self._tally.forget(due.first_seq)
            noted = "pseudonymised" if due.what == "plates" else "thinned"
            self._change(**{noted: {**getattr(self._state, noted), due.first_seq: digest}})

        if due.what == "plates":
            key = present_key(self._store.path)
            slices = self._store.pseudonymise(partition, choose=choose, reason=due.reason, pseudonyms=key)
        else:
            slices = self._store.thin(partition, choose=choose, reason=due.reason)
        return Job(f"{due.what} of {partition.name}, {due.reason}", slices, due.reason, done)

    def _kept_job(self) -> Job | None:
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
        return Job(f"records that were kept, {reason}", slices, reason, done)

    def _audit_job(self) -> Job | None:
        """Take away what of the audit log is too old."""
        seconds = self.policy.retention.audit_days * DAY_SECONDS
        over = [age for age in self._state.audit if age.latest_seconds + seconds <= self.trust.now_seconds]
        if not over:
            return None

        def cut() -> Iterator[Progress]:
            yield Progress("decided", self._store.cut_audit(over[-1].last_seq, reason="retention"))

        def done() -> None:
            self._change(audit=self._state.audit[len(over) :])

        return Job("lines of the audit log, retention", cut(), "retention", done)

    def _copy_job(self) -> Job | None:
        """Delete the copy of the store in an older schema, once it has served: it holds what was purged since."""
        seconds, age = self.policy.retention.plates_days * DAY_SECONDS, self._state.copy
        if age is None or age.latest_seconds + seconds > self.trust.now_seconds:
            return None

        def done() -> None:
            self._store.counters.add("store_copies_deleted")
            self._log.info("store_copy_deleted", copy=str(self._copy))
            self._change(copy=None)

        return Job(f"{self._copy.name}, retention", delete_slowly(self._copy), "retention", done)

    def _aside_job(self) -> Job | None:
        """Delete a day that was set aside, with its pictures, once its time is over; none while anything is held, for
        nobody can tell what is in it."""
        retention, ages = self.policy.retention, self._state.ages
        for name, folder in days_aside(self._store.path).items() if not len(self._holds) else ():
            age, days = ages.get(name.first_seq), retention.passages_days if name.version else retention.plates_days
            if age is not None and age.latest_seconds + days * DAY_SECONDS <= self.trust.now_seconds:
                self._store.partitions.let_go(folder)
                self._store.counters.add("damaged_days_deleted")
                self._log.info("damaged_day_deleted", day=folder.name)
                self._finish_due_seconds = self._clock.monotonic_seconds()
                return self._finishing_job()
        return None

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
        return [self._state.shelf(first, last, self._holds.digest) for first, last in self._numbers()[:-1]]

    def _numbers(self) -> list[tuple[int, int]]:
        """First and last number of each partition, oldest first."""
        partitions = self._store.partitions.all
        firsts = [partition.first_seq for partition in partitions]
        ends = (*(first - 1 for first in firsts[1:]), self._store.last_seq)
        return [(first, max(first - 1, self._lost.get(end, end))) for first, end in zip(firsts, ends)]

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

    def _read_holds(self) -> Holds:
        if self._store.root.kept is None:
            return Holds(())
        with self._store.root.reading() as txn:
            return read_holds(txn, self._store.root.holds)

    def _tell(self, progress: Progress | None) -> Purge | None:
        """Count and log what was decided; it comes a second time when it is done."""
        purge = progress.purge if progress is not None and progress.doing == "decided" else None
        if purge is not None:
            tell_purge(purge, self._store.counters)
        return purge

    def _tell_undelivered(self, first_seq: int) -> None:
        """Count what consumers have not had of a partition that goes."""
        last_seq = next(last for first, last in self._numbers() if first == first_seq)
        positions, counters = self._outbox.positions(), self._store.counters
        tell_undelivered(counters, positions, self._consumers, first_seq=first_seq, last_seq=last_seq)

    def _tell_doubt(self) -> None:
        if self.trust.trusted == self._doubted:
            self._doubted = not self.trust.trusted
            tell_trust(self._store.counters, self.trust)
