"""What is wrong with a box, one line each, for a person: `problems` of its health."""

from __future__ import annotations

from collections.abc import Iterator

from anpr.config.times import write_moment
from anpr.engine.hub import Hub
from anpr.health.report import BoxHealth, CameraHealth, ConsumerHealth, RulesHealth

WORTH_TELLING_SHARE = 0.05
"""Of a camera's pictures: dropped, or possibly damaged."""
LONG_WAIT_SECONDS = 300.0
"""An event that a connected consumer has not acknowledged for so long is worth telling."""


def problems_of(health: BoxHealth, hub: Hub) -> Iterator[str]:
    """What is wrong by a report, whose own `problems` are not looked at, and by the hub that it is about."""
    if health.store.failing:
        yield f"the store refuses, {health.backlog} records wait"
    if hub.keeper is not None:
        yield from hub.keeper.problems()
    for camera in health.cameras:
        yield from _of_camera(camera)
    if health.rules is not None:
        yield from _of_rules(health.rules)
    for each in health.lists:
        if each.refused:
            problem = "keeps its old content, a new file was refused (anpr watch check tells more)"
            yield f"list {each.name} {problem}: {each.refused}"
    for name in health.silent_files:
        yield f"the file of {name} does not answer (a network share?): its changes are not seen"
    for watch_list in hub.matcher.lists:
        until_seconds = watch_list.limits.valid_until_seconds
        if until_seconds is not None and until_seconds <= health.at_seconds:
            yield f"list {watch_list.name} has expired: {write_moment(until_seconds)}"
    if hub.judging_fault:
        count = hub.counters.total("judgements_failed")
        yield (
            f"rules could not judge, {count} times since the start, by a fault of the program ({hub.judging_fault}):"
            " the log has it as judgement_failed"
        )
    for consumer in health.consumers:
        yield from _of_consumer(consumer)
    for worker in health.workers:
        if worker.deaths and not worker.alive:
            yield f"{worker.name} has died and is started again"


def _of_camera(camera: CameraHealth) -> Iterator[str]:
    if camera.gap is not None:
        detail = f", {camera.gap.detail}" if camera.gap.detail else ""
        yield f"camera {camera.id} is not watched: {camera.gap.reason.replace('_', ' ')}{detail}"
    elif camera.state in ("failed", "crashed"):
        yield f"camera {camera.id} has {camera.state}: {camera.reason}"
    elif camera.condition:
        yield f"camera {camera.id} shows a {camera.condition} picture"
    elif camera.dropped_share > WORTH_TELLING_SHARE:
        yield f"camera {camera.id} drops {camera.dropped_share:.0%} of its pictures: the box is too slow"
    elif camera.tainted_share > WORTH_TELLING_SHARE:
        yield f"camera {camera.id}: {camera.tainted_share:.0%} of its pictures may be damaged"


def _of_rules(rules: RulesHealth) -> Iterator[str]:
    if rules.refused:
        yield f"the old rules stay, their changed files were refused (anpr rules check tells more): {rules.refused}"
    for name, why in rules.refused_data.items():
        yield f"{name}: the old content stays, a new file was refused (anpr check-config tells more): {why}"
    for name, fault in rules.failing.items():
        yield f"rule {name} fails: {fault}"


def _of_consumer(consumer: ConsumerHealth) -> Iterator[str]:
    if not consumer.connected:
        yield f"consumer {consumer.name} is not connected, {consumer.behind} events wait for it"
    elif (consumer.oldest_age_seconds or 0.0) > LONG_WAIT_SECONDS:
        minutes = (consumer.oldest_age_seconds or 0.0) / 60
        waits = f"{consumer.behind} events wait for it, the oldest for {minutes:.0f} minutes"
        yield f"consumer {consumer.name} is connected and behind: {waits}"
