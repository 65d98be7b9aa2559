"""Where a row plays: two cameras, the daemon that watches them, and the ledger; all ends with the block.

Between `fault_begins` and `healed` the first camera is not held to anything. `close_books` then compares what was told
with what passed.
"""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts.fault_matrix.cameras import Camera
from scripts.fault_matrix.control_group import ControlGroup
from scripts.fault_matrix.daemon import Daemon, balance_of, write_site
from scripts.fault_matrix.fault import Fault
from scripts.fault_matrix.health import Health
from scripts.fault_matrix.listener import Listener
from scripts.fault_matrix.name_server import ZONE, NameServer
from scripts.fault_matrix.play import LOOK_SECONDS, SLACK_SECONDS, Play
from scripts.fault_matrix.processes import is_alive
from scripts.fault_matrix.proxy import Proxy
from scripts.fault_matrix.records import stored_events
from scripts.fault_matrix.sockets import free_port
from scripts.fault_matrix.verdict import Passage, Told, judge, last_words, missing_numbers
from scripts.fault_matrix.world import passages, round_seconds, vehicles

FIRST, SECOND = "first", "second"
USER = "guard"
START_SECONDS = 60.0
"""For a daemon to take the first pictures of both cameras, on a machine that is busy with other things."""
STOP_SECONDS = 40.0
LATE_SECONDS = 60.0
"""How long a camera that is watched again too late is waited for, to tell how late."""
MOST_FPS_FALL = 0.01
SEE_SECONDS = 1.5
"""From the first key frame that was taken until the camera counts as whole: a new connection hands out what it has
gathered at once, and the loop then goes on with the newest picture."""
MOST_GAP_ERROR_SECONDS = 2.0
PICTURES_IN_WORK = 2
"""What a worker that is killed takes with it, per camera: the picture in work and the one that waits."""
OVERLOAD = "overload"
"""The reason of gaps that are this machine's doing, not the fault's."""
NEIGHBOUR_SECONDS = 3.0
"""A shorter stretch than this says nothing about a rate."""
INFERRED_SECONDS = 15.0
"""The same of the daemon's own count, which it brings up to date once a second."""


class Stage(Play):
    """Real cameras and a real daemon."""

    def __init__(self, fault: Fault, *, folder: Path, pictures: Path, times: int, quick: bool) -> None:
        super().__init__(fault, folder=folder, times=times, quick=quick)
        self.t0 = time.monotonic()
        self.wall_offset = time.time() - time.monotonic()
        options = {"user": USER, "password": fault.password} if fault.password else {}
        self.first = Camera(FIRST, folder=folder, pictures=pictures, t0=self.t0, **options, **fault.first_options)
        self.second = Camera(SECOND, folder=folder, pictures=pictures, t0=self.t0 - round_seconds() / 2, **options)
        self.endpoint = f"tcp://127.0.0.1:{free_port()}"
        self.reliable_endpoint = f"tcp://127.0.0.1:{free_port()}"
        self.health = Health(free_port())
        self.listener = Listener(self.endpoint)
        self.site = folder / "site.toml"
        self.daemon = Daemon(self.site, password=fault.password)
        self.proxy: Proxy | None = None
        self.names: NameServer | None = None
        self.may_end = False
        """Whether the daemon may end by itself just now."""
        self.clock_offsets = [0.0]
        """Seconds by which the daemon's wall clock has been wrong at some time."""
        self._whole: dict[str, list[tuple[float, float]]] = {FIRST: [], SECOND: []}
        """Monotonic."""
        self._whole_since: dict[str, float | None] = {FIRST: None, SECOND: None}
        self._second_share: list[tuple[str, float, int]] = []
        """(`before` or `during`, share of pictures taken, pictures)."""
        self._second_inferred: list[tuple[str, float, float]] = []
        """(`before` or `during`, pictures that went through the whole loop, seconds): the daemon's own count."""
        self._inferred: tuple[float, float] | None = None
        self._calm_since = 0.0
        self._fault_since = 0.0
        self._closed = False

    def _set_up(self) -> None:
        self._stack.callback(self.first.kill)
        self._stack.callback(self.second.kill)
        self._stack.callback(self.daemon.kill)
        self.first.start()
        self.second.start()
        port = self.first.port
        if self._fault.proxied:
            self.proxy = self._stack.enter_context(Proxy(self.first.port))
            port = self.proxy.port
        if self._fault.named:
            self.names = self._stack.enter_context(NameServer(self.folder))
            self.daemon.room = self.names.room
        write_site(
            self.site,
            endpoint=self.endpoint,
            reliable_endpoint=self.reliable_endpoint,
            health_port=self.health.port,
            ports={FIRST: port, SECOND: self.second.port},
            workers=self._fault.workers,
            user=USER if self._fault.password else "",
            zone=ZONE if self._fault.named else "",
            store_keys=self._fault.store_keys,
        )
        self._stack.enter_context(self.listener)

    def start_daemon(self, *cameras: str, group: ControlGroup | None = None) -> None:
        """Start the daemon, in `group` if there is one, and wait until it watches `cameras` (default: both)."""
        began = time.monotonic()
        self.daemon.start()
        if group is not None:
            group.add(self.daemon.pid)
        for name in cameras or (FIRST, SECOND):
            self.watched_again(name, since=began, within=START_SECONDS)
        self._calm_since = time.monotonic()
        self._measure_second("", self._calm_since, self._calm_since)

    def wait(self, seconds: float) -> None:
        """Let time pass; a daemon that ends meanwhile is told at once."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._unexpectedly_gone():
                raise RuntimeError(f"the daemon ended with {self.daemon.exit_code}")
            time.sleep(min(LOOK_SECONDS, max(0.0, until - time.monotonic())))

    def require_state(self, states: set[str], *, within: float, since: float, camera: str = FIRST) -> None:
        """The daemon must say within `within` seconds of the monotonic time `since` that it is in such a state."""
        wall = since + self.wall_offset

        def said() -> list[str]:
            return [event["state"] for event in self.daemon.log("camera_state", camera=camera, since=wall)]

        left = max(0.0, since + within - time.monotonic())
        seconds = self.until(lambda: states & set(said()), left)
        self.require(
            seconds is not None, f"{camera} to be called {' or '.join(sorted(states))} within {within:g} s", said()
        )

    def require_reason(self, words: str, *, since: float, within: float) -> None:
        """The daemon must give these words as the reason for the first camera's state."""

        def said() -> list[str]:
            log = self.daemon.log("camera_state", camera=FIRST, since=since + self.wall_offset)
            return [event.get("reason", "") for event in log]

        seconds = self.until(lambda: any(words in reason for reason in said()), within)
        self.require(seconds is not None, f"the reason {words!r}", said())

    def require_gap(
        self, began: float, *, camera: str = FIRST, reasons: set[str] | None = None, late: float = 0.0
    ) -> None:
        """The bus must have told when the camera was not watched: from `began` until now, when it is watched again.

        Several gaps that follow one another count as one. `late` allows a later beginning and end.
        """
        told_within = 3.0
        since = self._whole_since[camera]
        if since is None:
            return  # it never came back, which has been told
        again = since - SEE_SECONDS + self.wall_offset

        def over() -> list[dict[str, Any]]:
            return [gap for gap in self._gaps(camera, began) if gap["state"] == "final" and gap["reason"] != OVERLOAD]

        self.until(lambda: any(gap["until_seconds"] > again - MOST_GAP_ERROR_SECONDS for gap in over()), told_within)
        gaps = over()
        self.require(gaps, f"the gap of {camera} told within {told_within:g} s of its end", self._gaps(camera, began))
        if not gaps:
            return
        begins = min(gap["from_seconds"] for gap in gaps)
        busy = any(
            gap["reason"] == OVERLOAD and gap["from_seconds"] < begins <= gap["until_seconds"] + 1.0
            for gap in self._gaps(camera, began)
        )
        early = 0.0 if busy else begins - self.wall_offset - began  # else told already, for another reason
        late_by = max(gap["until_seconds"] for gap in gaps) - again
        most = MOST_GAP_ERROR_SECONDS + late
        self.require(
            abs(early) <= most and abs(late_by) <= most,
            f"the gap of {camera} to be told to ±{most:g} s",
            f"begins {early:+.1f} s, ends {late_by:+.1f} s off",
        )
        self.outcome.notes["gap_error_s"] = [round(early, 2), round(late_by, 2)]
        seen = {gap["reason"] for gap in gaps}
        self.require(reasons is None or seen & reasons, f"a gap for {reasons}", seen)

    def open_gap_reason(self, camera: str) -> str:
        """Why the camera is not watched now, by the newest gap told; empty if it is."""
        gaps = self._gaps(camera, 0.0)
        return str(gaps[-1]["reason"]) if gaps and gaps[-1]["state"] == "preview" else ""

    def _gaps(self, camera: str, began: float) -> list[dict[str, Any]]:
        """The newest revision of each gap that was not over before the monotonic time `began`."""
        newest: dict[str, dict[str, Any]] = {}
        for _, event in self.listener.messages("coverage."):
            data = event["data"]
            if data["camera_id"] == camera:
                newest[data["id"]] = data
        earliest = began + self.wall_offset
        return [gap for gap in newest.values() if gap["state"] == "preview" or gap["until_seconds"] > earliest]

    def heard_text(self, camera: str, *, since: float) -> bool:
        """Whether a plate of the clip was told of that camera after the monotonic time `since`."""
        known = {vehicle.text for vehicle in vehicles()}
        messages = self.listener.messages("sighting.")
        return any(
            at >= since and e["data"]["camera_id"] == camera and e["data"]["text"] in known for at, e in messages
        )

    def events_heard(self, *, since: float) -> list[dict[str, Any]]:
        """All events that came after the monotonic time `since`."""
        return [event for at, event in self.listener.numbered() if at >= since]

    def require_times(self) -> None:
        """No sighting may end before it begins, or last longer than a vehicle can."""
        for _, event in self.listener.messages("sighting."):
            data = event["data"]
            order = data["first_seconds"] <= data["last_seconds"] <= data["first_seconds"] + round_seconds()
            self.require(order, "times in order", [data[f"{name}_seconds"] for name in ("first", "seen", "last")])

    def require_stored(self, numbers: set[int]) -> None:
        """What was told under `numbers` must be in the store."""
        missing = numbers - set(stored_events(self.folder / "store"))
        self.require(not missing, "all that was told to be stored", sorted(missing)[:5])

    def fault_begins(self, *cameras: str) -> float:
        """Now something is done to `cameras` (default: the first); returns the monotonic time."""
        now = time.monotonic()
        self._measure_second("before", self._calm_since, now)
        for name in cameras or (FIRST,):
            self._end_whole(name, now)
        self.outcome.times += 1
        self._fault_since = now
        return now

    def healed(self, *, within: float, cameras: tuple[str, ...] = (FIRST,), reconnects: bool = True) -> float | None:
        """What was done has been undone just now: wait until `cameras` are watched again, and note how long it took.

        It must not take more than `within` seconds. With `reconnects`, only a connection made since the fault began
        counts: the kernel takes pictures for a process that hangs, too.
        """
        since = time.monotonic()
        longest: float | None = 0.0
        for name in cameras:
            if self._whole_since[name] is None:
                anew_since = self._fault_since if reconnects else None
                seconds = self.watched_again(name, since=since, within=within, anew_since=anew_since)
                longest = None if seconds is None or longest is None else max(longest, seconds)
        self.recovered_in(longest)
        now = time.monotonic()
        if SECOND not in cameras:
            self._measure_second("during", self._fault_since, now)
        self._calm_since = now
        return longest

    def watched_again(
        self, camera: str, *, since: float, within: float, anew_since: float | None = None
    ) -> float | None:
        """Wait until somebody has taken a key frame of `camera` after `since`, over a connection made after
        `anew_since`; the camera is whole from then on.

        Returns the seconds from `since`; a problem is noted if that is more than `within` and the slack. None: never.
        """
        each = self.first if camera == FIRST else self.second
        left = max(0.0, since + max(within, LATE_SECONDS) - time.monotonic())

        def taken() -> float | None:
            played = [0.0] if anew_since is None else [entry["at"] for entry in each.book("played", since=anew_since)]
            return each.first_key_taken(max(since, played[0])) if played else None

        self.until(taken, left)
        at = taken()
        self.require(
            at is not None and at - since <= within + SLACK_SECONDS,
            f"{camera} to be watched again within {within:g} s",
            "never" if at is None else f"{at - since:.1f} s",
        )
        if at is None:
            return None
        self._whole_since[camera] = at + SEE_SECONDS
        return at - since

    def still_whole(self, camera: str) -> None:
        """The fault is over and did not interrupt `camera`: it is held to everything from now on."""
        self._whole_since[camera] = time.monotonic()

    def close_books(self, *, restarted: bool = False) -> None:
        """Stop the daemon as an operator does, then judge all that it told.

        The live feed does not send again what it told nobody while the daemon was `restarted`: docs/events.md says
        that this is in the store, and that a heartbeat shows it.
        """
        now = time.monotonic()
        for name in (FIRST, SECOND):
            self._end_whole(name, now)
        self.daemon.children()
        self._closed = True
        self.daemon.signal(signal.SIGTERM)
        code = self.daemon.wait(STOP_SECONDS)
        self.require(code == 0, f"exit code 0 within {STOP_SECONDS:g} s of SIGTERM", code)
        self.until(lambda: not any(map(is_alive, self.daemon.children_seen)), 1.0)
        left = [pid for pid in self.daemon.children_seen if is_alive(pid)]
        self.require(not left, "no process left behind", left)
        self._judge(self._told(restarted=restarted))
        self._check_numbers(restarted=restarted)
        self._check_counts()

    def _judge(self, told: list[Told]) -> None:
        outcome = self.outcome
        for name in (FIRST, SECOND):
            whole = [(begin + self.wall_offset, end + self.wall_offset) for begin, end in self._whole[name]]
            verdict = judge(
                self._passages(name),
                [each for each in told if each.camera == name],
                whole,
                at_any_time=self._fault.other_world and name == FIRST,
            )
            outcome.expected += verdict.expected
            outcome.lost += len(verdict.lost)
            outcome.duplicated += len(verdict.duplicated)
            outcome.wrong += len(verdict.wrong)
            if name == FIRST:
                outcome.in_fault, outcome.in_fault_told = verdict.in_fault, verdict.in_fault_told
                outcome.in_fault_duplicated = len(verdict.in_fault_duplicated)
            else:
                outcome.neighbour_lost = len(verdict.lost)
            self.require(verdict.expected > 0, f"vehicles to pass {name} in the time it was whole", "none: wait longer")
            self.require(not verdict.lost, f"no vehicle lost at {name} while it was whole", verdict.lost)
            self.require(
                not verdict.duplicated, f"no vehicle told twice at {name} while it was whole", verdict.duplicated
            )
            self.require(not verdict.wrong, f"no wrong plate told as sure at {name}", verdict.wrong)
        for phase in ("before", "during"):
            pictures = sum(count for its_phase, count, _ in self._second_inferred if its_phase == phase)
            seconds = sum(seconds for its_phase, _, seconds in self._second_inferred if its_phase == phase)
            if seconds >= INFERRED_SECONDS:
                outcome.notes[f"neighbour_inferred_fps_{phase}"] = round(pictures / seconds, 2)
        before = _mean(self._second_share, "before")
        during = _mean(self._second_share, "during")
        if before and during is not None:
            outcome.neighbour_fps_change = round(during / before - 1.0, 4)
            self.require(
                outcome.neighbour_fps_change > -MOST_FPS_FALL,
                f"the neighbour's fps to fall by less than {MOST_FPS_FALL:.0%}",
                f"{outcome.neighbour_fps_change:+.1%}",
            )

    def _told(self, *, restarted: bool) -> list[Told]:
        """What was said of each vehicle, by the right time; of a daemon that was `restarted`, also in its store."""
        heard = self.listener.messages("sighting.")
        stored = stored_events(self.store).values() if restarted else ()
        told = last_words([*(event["data"] for _, event in heard), *(row[4] for row in stored if row[0] == "sighting")])
        at_seconds = {event["data"]["id"]: at + self.wall_offset for at, event in heard}
        return [replace(each, seen_seconds=self._righted(each, at_seconds.get(each.id))) for each in told]

    def _righted(self, told: Told, heard_seconds: float | None) -> float:
        """When it was seen, without what was wrong with the daemon's clock just then."""
        if heard_seconds is None:
            return told.seen_seconds
        righted = [told.seen_seconds - wrong for wrong in self.clock_offsets]
        return min(righted, key=lambda seconds: abs(seconds - heard_seconds))

    def _check_numbers(self, *, restarted: bool) -> None:
        """What was heard is numbered without a hole, each number once, and is what the store holds."""
        numbered = [event for _, event in self.listener.numbered()]
        numbers = [int(event["sequence"]) for event in numbered]
        self.require(len(numbers) == len(set(numbers)), "each number once on the bus", sorted(numbers)[-5:])
        stored, unheard = stored_events(self.folder / "store"), missing_numbers(numbers)
        if restarted:
            self.outcome.notes["unheard"] = len(unheard)
            lost = sorted(set(unheard) - set(stored))
            self.require(not lost, "all numbers that are missing on the bus to be in the store", lost[:5])
            shown = max(int(beat["data"]["last_seq"]) for _, beat in self.listener.messages("health."))
            hole = max(unheard, default=0)
            self.require(shown >= hole, "a heartbeat to show that numbers are missing", f"{shown} < {hole}")
        else:
            self.require(not unheard, "no hole in the numbers on the bus", unheard[:5])
        self.require(
            set(numbers) <= set(stored), "all that was heard to be stored", sorted(set(numbers) - set(stored))[:5]
        )
        self.outcome.notes["stored"] = len(stored)

    def _check_counts(self) -> None:
        """The conservation law of the pictures, from the daemon's own last words."""
        stopped = self.daemon.log("stopped")
        self.require(stopped, "the log to end with `stopped`")
        if not stopped:
            return
        counts = stopped[-1]
        unaccounted, told = balance_of(counts)
        self.require(
            0 <= unaccounted <= PICTURES_IN_WORK * counts["restarts"],
            "frames_decoded = frames_inferred + frames_gated + frames_dropped, but for what killed workers had in hand",
            f"{told}, {counts['restarts']} workers killed",
        )
        self.outcome.notes["dropped_overload"] = counts.get("frames_dropped.overload", 0)

    def counts(self, name: str) -> dict[str, int]:
        """A count of the daemon's last words by reason; after `close_books`."""
        stopped = self.daemon.log("stopped")
        whole = stopped[-1].items() if stopped else ()
        return {key.partition(".")[2]: count for key, count in whole if key.partition(".")[0] == name}

    def counted(self, name: str) -> int:
        """The same over all reasons."""
        return sum(self.counts(name).values())

    def _passages(self, camera: str) -> list[Passage]:
        """All passages of the time that the stage stood, by the wall clock."""
        each = self.first if camera == FIRST else self.second
        return passages(each.t0 + self.wall_offset, time.monotonic() - each.t0)

    def _measure_second(self, phase: str, since: float, until: float) -> None:
        if until - since >= NEIGHBOUR_SECONDS and self._whole_since[SECOND] is not None:
            share, pictures = self.second.taken_share(since, until)
            self._second_share.append((phase, share, pictures))
        was, count = self._inferred, self.health.metric("anpr_frames_inferred_total", camera=SECOND)
        self._inferred = None if count is None else (count, until)
        if was is not None and self._inferred is not None:
            self._second_inferred.append((phase, self._inferred[0] - was[0], until - was[1]))

    def _end_whole(self, camera: str, now: float) -> None:
        since = self._whole_since[camera]
        if since is not None:
            self._whole[camera].append((since, max(since, now)))
            self._whole_since[camera] = None

    def _unexpectedly_gone(self) -> bool:
        return not (self._closed or self.may_end) and self.daemon.exit_code not in (None, -signal.SIGKILL)


def _mean(shares: list[tuple[str, float, int]], phase: str) -> float | None:
    """The mean share of a phase, weighted by pictures."""
    pictures = sum(count for its_phase, _, count in shares if its_phase == phase)
    if not pictures:
        return None
    return sum(share * count for its_phase, share, count in shares if its_phase == phase) / pictures
