"""The one writer of a box: evidence on disk, then the record with its hits, then the world.

A sighting waits at most a blink for others to share its commit. What the store refuses is kept and tried again; while
too much waits, nothing more is taken, the workers wait on their pipes, and live cameras drop pictures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from math import inf

import msgspec
import structlog

from anpr.bus import Bus, Publisher, Standing
from anpr.clock import Clock
from anpr.engine.judge import Judge
from anpr.engine.left_open import left_open
from anpr.engine.messages import Passage
from anpr.engine.volatile import VolatileHits
from anpr.errors import BusError, StoreError
from anpr.metrics import Counters, Histogram
from anpr.records import CoverageGap, Event, Hit, Sighting
from anpr.store import GroupCommit, Store
from anpr.store.evidence import describe
from anpr.store.keeper import Keeper
from anpr.store.rows import kind_of
from anpr.watch.hits import find_matches, raise_hit, withdraw_hit
from anpr.watch.matcher import Match, Matcher

MOST_WAITING = 256
"""Passages with their pictures, some 30 MB at most."""
MOST_WAITING_BARE = 8192
"""While the store fails: most of them without their pictures, some 60 MB. Beyond it only what continues one of them is
taken, and what is on a list, up to twice as many."""
MOST_WAITING_LISTED = 1024
"""Of those beyond MOST_WAITING, the ones on a list that keep their pictures, some 120 MB: a list may be of all."""
MATCHED_AT_ONCE = 32
"""Passages that the lists are asked about with one question, which costs half as much as one for each."""
MOST_GAPS_WAITING = 10_000
"""Coverage gaps; the oldest are dropped beyond it."""
RETRY_SECONDS = 1.0
"""After the store failed."""
TICK_SECONDS = 1.0
"""How long one `tick` may work: the loop it is called in has a watchdog."""
HEARTBEAT_CHECK_SECONDS = 0.2
KEPT_LATENCIES = 10_000
FAULT_TOLD_SECONDS = 600.0
"""How long a fault of the program, while rules judged, is a problem of the box."""
KEEPING_SECONDS = 0.010
"""How long old things may be purged at a stretch. A commit that waits for others waits as much longer: with
`MAX_WAIT_SECONDS`, 15 ms at most."""
KEEPING_PAUSE_SECONDS = 0.2
"""Between such stretches, while there is other work."""


class Hub:
    """Stores, matches and publishes. Use from one thread."""

    def __init__(
        self,
        store: Store,
        matcher: Matcher,
        publisher: Bus | Publisher | None,
        *,
        clock: Clock,
        judge: Judge | None = None,
        keeper: Keeper | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        """`publisher` None: nobody is told. `judge` None: there are no rules. `keeper` None: nothing is ever purged,
        and nobody looks at the disk. `on_event` is called with each event once it is committed and published."""
        self.counters = Counters()
        self.latency_seconds: deque[float] = deque(maxlen=KEPT_LATENCIES)
        """From the arrival of a frame to the publication of the sighting it brought about, the newest of them."""
        self.failing = False
        """True while the store refuses what it is given."""
        self.latencies = Histogram()
        """The same, of all."""
        self.store = store
        self.matcher = matcher
        self.judge = judge
        self.keeper = keeper
        self._publisher = publisher
        self._clock = clock
        self._on_event = on_event
        self._group = GroupCommit(store, clock=clock)
        self._volatile = VolatileHits(publisher, self.counters)
        self._foretold = 0
        """Of those that wait, the first so many have been looked through for hits that cannot wait."""
        self._spared = 0
        """So many of them keep their pictures though they are beyond MOST_WAITING."""
        self._turned_away: set[str] = set()
        """Ids of passages that were not taken and are not over."""
        self._waiting: deque[Passage] = deque()
        self._matches: deque[tuple[Match, ...]] = deque()
        """What the lists say of the first of them."""
        self._gaps: dict[tuple[str, int], CoverageGap] = {}
        """Coverage gaps not yet in the group, by id and revision."""
        self._uncommitted: set[str] = set()
        """Ids of sightings that, or hits on which, are in the group."""
        self._previews: dict[str, Sighting] = {}
        """What has been told of passages that are not settled yet, by id."""
        self._arrivals: dict[tuple[str, int], float] = {}
        store.evidence.awaited = self._awaited_pictures
        self._retry_at_seconds = 0.0
        self._keeping_due_seconds = 0.0
        self._fault: tuple[str, float] | None = None
        """The newest fault while rules judged: its type, and when (monotonic)."""
        self._following: Iterator[None] | None = None
        """How the rules follow a clock that was set."""
        self._log = structlog.get_logger()

    @property
    def full(self) -> bool:
        """True while nothing more can be taken; not while the store fails: hits must be told all the same."""
        return not self.failing and len(self._waiting) >= MOST_WAITING

    @property
    def backlog(self) -> int:
        """Records that are not committed yet."""
        return len(self._waiting) + len(self._gaps) + self._group.pending

    @property
    def files(self) -> Sequence[int]:
        """Descriptors that become readable when the bus has something to do in the next `tick`."""
        return self._publisher.files() if self._publisher is not None else ()

    @property
    def consumers(self) -> Sequence[Standing]:
        """How each consumer of the bus fares."""
        return self._publisher.standings if isinstance(self._publisher, Bus) else ()

    @property
    def hit_latencies(self) -> Mapping[str, Histogram]:
        """By consumer of the bus, from the arrival of a picture to the acknowledgement of the hit it brought about."""
        return self._publisher.hit_latencies if isinstance(self._publisher, Bus) else {}

    @property
    def judging_fault(self) -> str:
        """The type of a fault of the program for which passages were lately not judged by rules; empty: none."""
        if self._fault is None or self._clock.monotonic_seconds() - self._fault[1] > FAULT_TOLD_SECONDS:
            return ""
        return self._fault[0]

    def totals(self) -> Counters:
        """What the hub, its store and its publisher have counted."""
        total = Counters()
        for counters in (self.counters, self.store.counters, self._publisher and self._publisher.counters):
            total.merge(counters.counts if counters else {})
        if self.judge is not None:
            total.merge(self.judge.totals().counts)
        return total

    def replace_matcher(self, matcher: Matcher) -> None:
        """Ask other lists from the next sighting on, also of those that wait."""
        self.matcher = matcher
        self._matches.clear()
        self._foretold = self._spared = 0

    def commit(self) -> None:
        """Commit and publish what was judged, now. Raises StoreError; then it is tried again with the next `tick`."""
        self._publish(self._group.flush())

    def take(self, passage: Passage) -> None:
        """Have a sighting stored, matched and published by the next `tick`s; or, if the store fails and too much waits
        for it, only have its hits told, and count it."""
        if self.failing and len(self._waiting) >= MOST_WAITING_BARE and self._turn_away(passage):
            return
        self._waiting.append(passage)
        self.counters.add("passages_taken", reason=passage.sighting.state)

    def take_gap(self, gap: CoverageGap) -> None:
        """Have a coverage gap stored and published by the next `tick`s."""
        if len(self._gaps) >= MOST_GAPS_WAITING:
            del self._gaps[next(iter(self._gaps))]
            self.counters.add("gaps_dropped", reason="store")
        self._gaps[gap.id, gap.revision] = gap
        self.counters.add("gaps_taken", reason=gap.reason)

    def mark_alive(self) -> None:
        """Note durably that the box lives; a store that refuses is counted, and noticed elsewhere.

        Raises StoreError if only a new start helps.
        """
        try:
            self.store.mark_alive()
        except StoreError:
            self.counters.add("store_failures")
            if self.store.stuck:
                raise

    def settle(self, camera_ids: Collection[str]) -> None:
        """Make final what was last told of these cameras' passages: who followed them has died and will not."""
        unsettled = {preview.id: Passage(preview, (), 0.0) for preview in self._previews.values()}
        for passage in self._waiting:
            if passage.sighting.state == "preview":
                unsettled[passage.sighting.id] = passage
            else:
                unsettled.pop(passage.sighting.id, None)
        for passage in unsettled.values():
            if passage.sighting.camera_id in camera_ids:
                self._settle(passage)

    def recover(self) -> None:
        """The same for what an earlier run of this box left open: it was ended before it could settle it."""
        for preview in left_open(self.store, self._clock):
            self._settle(Passage(preview, (), 0.0))

    def _settle(self, preview: Passage) -> None:
        told = preview.sighting
        final = msgspec.structs.replace(told, state="final", revision=told.revision + 1)
        self.counters.add("passages_settled_after_a_death")
        self.take(Passage(final, preview.pictures, self._clock.monotonic_seconds()))

    def tick(self) -> float:
        """Do what is due; returns how many seconds it may wait until the next time.

        A disk that fails is told, and tried again. Raises StoreError only if nothing but a new start helps.
        """
        more = self._serve()
        now = self._clock.monotonic_seconds()
        if now < self._retry_at_seconds:
            self._tell_volatile()
            wait_seconds = min(self._retry_at_seconds - now, self._keep_house())
            return 0.0 if more else min(wait_seconds, HEARTBEAT_CHECK_SECONDS)
        try:
            self._work(now + TICK_SECONDS)
            self._recovered()
        except StoreError as error:
            self.counters.add("store_failures")
            self.failing = True
            self._retry_at_seconds = now + RETRY_SECONDS
            self._log.error("store_failed", problem=str(error), waiting=self.backlog, retry_in_seconds=RETRY_SECONDS)
            self._tell_volatile()
            if self.keeper is not None:
                self.keeper.look()  # the disk may be full
            if self.store.stuck:
                raise
        keeping_in_seconds = self._keep_house()
        if self._serve() or (not self.failing and (self._waiting or self._gaps)):
            return 0.0
        due_in_seconds = self._group.due_in_seconds
        wait_seconds = HEARTBEAT_CHECK_SECONDS if due_in_seconds is None else due_in_seconds
        return min(wait_seconds, keeping_in_seconds, HEARTBEAT_CHECK_SECONDS)

    def _tell_volatile(self) -> None:
        """Tell the hits among what waits for a store that fails; if too much waits, let go of others' pictures."""
        until_seconds = self._clock.monotonic_seconds() + TICK_SECONDS
        self._volatile.tell(self._group.hits)
        while self._foretold < len(self._waiting) and self._clock.monotonic_seconds() < until_seconds:
            passages = list(islice(self._waiting, self._foretold, self._foretold + MATCHED_AT_ONCE))
            found = find_matches(self.matcher, [passage.sighting for passage in passages])
            for passage, matches in zip(passages, found, strict=True):
                self._volatile.tell_of(passage.sighting, [raise_hit(passage.sighting, match) for match in matches])
                if passage.pictures and self._foretold >= MOST_WAITING:
                    if matches and self._spared < MOST_WAITING_LISTED:
                        self._spared += 1
                    else:
                        self._waiting[self._foretold] = msgspec.structs.replace(passage, pictures=())
                        self.counters.add("pictures_not_stored", len(passage.pictures), reason="store failed")
                self._foretold += 1

    def _turn_away(self, passage: Passage) -> bool:
        """Tell the hits of a passage for which there is no room; False if it must be taken all the same."""
        sighting = passage.sighting
        if sighting.revision > 0 and sighting.id not in self._turned_away:
            return False  # its beginning waits
        (matches,) = find_matches(self.matcher, [sighting])
        self._volatile.tell_of(sighting, [raise_hit(sighting, match) for match in matches])
        if matches and len(self._waiting) < 2 * MOST_WAITING_BARE:
            self._turned_away.discard(sighting.id)
            return False
        if not self.counters.total("passages_turned_away"):
            self._log.error("passages_turned_away", waiting=self.backlog)
        self.counters.add("passages_turned_away", reason="store failed")
        if sighting.state == "preview":
            self._turned_away.add(sighting.id)
        else:
            self._turned_away.discard(sighting.id)
        return True

    def _recovered(self) -> None:
        self.failing = False
        if not self.backlog:  # else it may fail again, and what was told would be told twice
            self._spared = 0
            self._volatile.forget()

    def _awaited_pictures(self) -> set[str]:
        """Those that are named by what is not committed yet: none of them may be deleted."""
        waiting = (picture.sha256 for passage in self._waiting for picture in passage.sighting.evidence)
        return self._group.pictures().union(waiting)

    def _keep_house(self) -> float:
        """Let the keeper purge for a moment, unless a commit is due; in how many seconds it wants the next one."""
        if self.keeper is None:
            return HEARTBEAT_CHECK_SECONDS
        now, due_in_seconds = self._clock.monotonic_seconds(), self._group.due_in_seconds
        if due_in_seconds is not None and due_in_seconds <= 0.0 and not self.failing:
            return 0.0
        if now >= self._keeping_due_seconds:
            wait_seconds = self.keeper.turn(KEEPING_SECONDS)
            busy = bool(self._waiting or self._gaps)
            self._keeping_due_seconds = now + (max(wait_seconds, KEEPING_PAUSE_SECONDS) if busy else wait_seconds)
        return max(0.0, self._keeping_due_seconds - now)

    def finish(self) -> None:
        """Store and publish all that waits, now. Raises StoreError, with how much is lost, if the store refuses."""
        try:
            self._work()
            self._publish(self._group.flush())
        except StoreError as error:
            self._tell_volatile()  # now or never
            lost = self.backlog
            self.counters.add("store_failures")
            problem = f"{lost} records could not be stored and are lost: {error.problem}"
            raise StoreError(problem, place=error.place, cure=error.cure) from error
        self._beat()

    def _work(self, until_seconds: float = inf) -> None:
        """Group what waits and commit what is due, until the monotonic time `until_seconds`."""
        self._publish(self._group.flush_if_due())  # a group that is full makes no room by itself
        while self._gaps and self._clock.monotonic_seconds() < until_seconds:
            key, gap = next(iter(self._gaps.items()))
            self._group.add_gap(gap)
            del self._gaps[key]
            self._publish(self._group.flush_if_due())
        while self._waiting and self._clock.monotonic_seconds() < until_seconds and self._follow_clock(until_seconds):
            if not self._matches:
                group = islice(self._waiting, MATCHED_AT_ONCE)
                self._matches.extend(find_matches(self.matcher, [passage.sighting for passage in group]))
            self._add(self._waiting[0], self._matches[0])
            self._waiting.popleft()
            self._matches.popleft()
            self._foretold = max(0, self._foretold - 1)
            self._publish(self._group.flush_if_due())
        if not self._waiting and self._follow_clock(until_seconds):
            self._judge_due(until_seconds)

    def _add(self, passage: Passage, matches: Sequence[Match]) -> None:
        """Put one passage into the group: its pictures first, so that no record points at a missing one."""
        sparing = self.keeper is not None and self.keeper.sparing
        keep = describe if sparing else self.store.evidence.put
        pictures = tuple(keep(picture.kind, picture.jpeg) for picture in passage.pictures)
        sighting = msgspec.structs.replace(passage.sighting, evidence=pictures or passage.sighting.evidence)
        if sighting.id in self._uncommitted:
            self._publish(self._group.flush())
        self._group.make_room()  # what has been judged must be taken
        listed = self._hits(sighting, matches)
        ruled = self._judge(sighting, [hit for hit in listed if hit.state != "withdrawn"])
        hits = (*listed, *ruled)
        if sparing and pictures and not self._keep_pictures(passage, hits):
            sighting = msgspec.structs.replace(sighting, evidence=())
            hits = tuple(msgspec.structs.replace(h, evidence=()) if h.evidence == pictures else h for h in hits)
        self._group.add(sighting, hits)
        self._uncommitted.update((sighting.id, *(hit.sighting_id for hit in ruled)))
        if sighting.state == "preview":
            self._previews[sighting.id] = sighting
        else:
            self._previews.pop(sighting.id, None)
        self._arrivals[sighting.id, sighting.revision] = passage.arrival_seconds

    def _keep_pictures(self, passage: Passage, hits: Sequence[Hit]) -> bool:
        """While the disk is nearly full: keep them if the passage has a hit and they can be kept; else count them."""
        assert self.keeper is not None
        reason = "no hit"
        if any(hit.state != "withdrawn" for hit in hits):
            reason = "reserve"
            if self.keeper.disk.hits_keep_pictures:
                try:
                    for picture in passage.pictures:
                        self.store.evidence.put(picture.kind, picture.jpeg)
                except StoreError:
                    reason = "disk full"
                else:
                    return True
        self.counters.add("pictures_not_stored", len(passage.pictures), reason=reason)
        return False

    def _hits(self, sighting: Sighting, matches: Sequence[Match]) -> tuple[Hit, ...]:
        """What the lists say of this revision, and the withdrawals of what they said of an earlier one."""
        hits = {hit.id: hit for hit in (raise_hit(sighting, match) for match in matches)}
        withdrawn = [
            withdraw_hit(hit, revision=sighting.revision)
            for hit in (self.store.hits_of(sighting.id) if sighting.revision > 0 else ())
            if not hit.rule and hit.id not in hits and hit.state != "withdrawn" and hit.revision < sighting.revision
        ]
        known = {*hits, *(hit.id for hit in withdrawn)}
        withdrawn += [
            withdraw_hit(hit, revision=max(sighting.revision, hit.revision + 1))
            for hit in self._volatile.standing(sighting)  # told before it could be stored, and by other lists
            if hit.id not in known
        ]
        return (*hits.values(), *withdrawn)

    def _judge(self, sighting: Sighting, listed: Sequence[Hit]) -> tuple[Hit, ...]:
        """What the rules say, also of other passages. A fault there costs neither the sighting nor its list hits."""
        if self.judge is None:
            return ()
        try:
            return self.judge.judge(sighting, listed)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  # rules must not end the box
            self._tell_fault(error)
            return ()

    def _follow_clock(self, until_seconds: float) -> bool:
        """Have the rules follow a clock that was set; False if they are not yet done with it and nothing may be judged.
        They ask for what is committed."""
        if self.judge is None or (self._following is None and not self.judge.clock_was_set):
            return True
        try:
            if self._following is None:
                self._publish(self._group.flush())
                self._following = self.judge.follow_clock()
            for _ in self._following:
                if self._clock.monotonic_seconds() >= until_seconds:
                    return False
        except StoreError:
            self._following = None  # from the beginning, when the store works again
            raise
        self._following = None
        return True

    def _judge_due(self, until_seconds: float) -> None:
        """Have the rules that wait judge what is due; they ask for what is committed."""
        while self.judge is not None and self.judge.is_due and self._clock.monotonic_seconds() < until_seconds:
            self._publish(self._group.flush())
            try:
                hits = self.judge.judge_due()
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001  # as above
                self._tell_fault(error)
                return
            self._group.add_hits(hits)

    def _tell_fault(self, error: Exception) -> None:
        self._fault = (type(error).__name__, self._clock.monotonic_seconds())
        self.counters.add("judgements_failed")
        self._log.error("judgement_failed", exc_info=error)

    def _publish(self, events: tuple[Event, ...]) -> None:
        if not events:
            return
        self._uncommitted.clear()
        for event in events:
            self.counters.add("events_committed", reason=kind_of(event.record))
            if isinstance(event.record, Hit):
                self._begin_hit(event.seq, event.record)
            try:
                if self._publisher is not None:
                    self._publisher.publish(event)
            except BusError as error:
                self.counters.add("events_unpublished")
                self._log.error("publish_failed", seq=event.seq, problem=str(error))
            if isinstance(event.record, Sighting):
                self._measure(event.record)
            if self._on_event is not None:
                self._on_event(event)
        self._arrivals.clear()

    def _begin_hit(self, seq: int, hit: Hit) -> None:
        arrival_seconds = self._arrivals.get((hit.sighting_id, hit.revision))
        if arrival_seconds is not None and isinstance(self._publisher, Bus):
            self._publisher.begin_hit(seq, arrival_seconds)

    def _measure(self, sighting: Sighting) -> None:
        arrival_seconds = self._arrivals.get((sighting.id, sighting.revision))
        if arrival_seconds is not None:
            latency_seconds = self._clock.monotonic_seconds() - arrival_seconds
            self.latency_seconds.append(latency_seconds)
            self.latencies.add(latency_seconds)

    def _serve(self) -> bool:
        """Let the bus have its turn; True if it has more to do right away."""
        try:
            return self._publisher is not None and self._publisher.turn()
        except BusError as error:
            self._tell_no_heartbeat(error)
            return False

    def _beat(self) -> None:
        """Tell the newest number: nothing may follow for long, or ever."""
        try:
            if self._publisher is not None:
                self._publisher.turn()
                self._publisher.heartbeat()
        except BusError as error:
            self._tell_no_heartbeat(error)

    def _tell_no_heartbeat(self, error: BusError) -> None:
        self.counters.add("heartbeats_failed")
        self._log.error("heartbeat_failed", problem=str(error))
