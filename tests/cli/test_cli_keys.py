from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from making_records import make_hit, make_sighting
from typer.testing import CliRunner, Result

from anpr.bus import Bus, BusOptions, Consumer, ServerKeys
from anpr.cli.keys import app as keys
from anpr.cli.listen import listen
from anpr.clock import SystemClock
from anpr.errors import BusError
from anpr.store import Store

LISTEN = typer.Typer()
LISTEN.command()(listen)


def ids(result: Result) -> list[str]:
    """Of the events printed; the box's own log, in a thread here, goes to the same place."""
    return [json.loads(line)["id"] for line in result.stdout.splitlines() if line.startswith("{")]


def run(app: typer.Typer, *words: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


@contextmanager
def a_box(folder: Path, *, secret: Path, clients: Path) -> Iterator[str]:
    """Has committed two sightings and a hit; gives its reliable endpoint."""
    stop, ready = threading.Event(), threading.Event()
    endpoints: list[str] = []
    options = BusOptions(
        endpoint="tcp://127.0.0.1:*",
        reliable_endpoint="tcp://127.0.0.1:*",
        consumers=(Consumer(name="ioc"),),
        keys=ServerKeys(secret, clients),
    )

    def serve() -> None:
        clock = SystemClock()
        with Store.open(folder, clock=clock) as store:
            store.append([make_sighting(id="a"), make_sighting(id="b")], [make_hit()])
            with Bus(options, box="box", epoch=store.epoch, log=store.outbox, clock=clock) as bus:
                endpoints.append(bus.reliable_endpoint)
                ready.set()
                while not stop.wait(0.001):
                    bus.turn()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(60.0)
        yield endpoints[0]
    finally:
        stop.set()
        thread.join()


def test_keys_are_made_and_shown(tmp_path: Path) -> None:
    made = run(keys, "new", "ioc", "--into", tmp_path)
    assert made.exit_code == 0
    secret = (tmp_path / "ioc.key_secret").read_text().split("secret-key")[1].split('"')[1]
    assert secret not in made.stdout
    for target in (tmp_path, tmp_path / "ioc.key", tmp_path / "ioc.key_secret"):
        shown = run(keys, "show", target)
        assert shown.exit_code == 0
        assert shown.stdout.split()[0] == "ioc"
        assert shown.stdout.split()[2] in made.stdout
        assert secret not in shown.stdout
    (tmp_path / "bad.key").write_text("x")
    assert run(keys, "show", tmp_path).exit_code == 1
    again = run(keys, "new", "ioc", "--into", tmp_path)
    assert isinstance(again.exception, BusError)


def test_listening_as_a_consumer_with_keys(tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    clients.mkdir()
    run(keys, "new", "box", "--into", tmp_path)
    run(keys, "new", "ioc", "--into", tmp_path)
    (clients / "ioc.key").write_bytes((tmp_path / "ioc.key").read_bytes())
    own = ("--key", tmp_path / "ioc.key_secret", "--box-key", tmp_path / "box.key")
    with a_box(tmp_path / "store", secret=tmp_path / "box.key_secret", clients=clients) as endpoint:
        common = (endpoint, "--durable", "ioc", "--json", "--seconds", "60", *own)
        first = run(LISTEN, *common, "--count", "1", "--cursor", tmp_path / "cursor")
        assert ids(first) == ["hit.h-1.1"]
        rest = run(LISTEN, *common, "--count", "2", "--cursor", tmp_path / "cursor")
        assert ids(rest) == ["sighting.a.1", "sighting.b.1"]
        again = run(LISTEN, *common, "--count", "2", "--after", "1", "--topic", "sighting.", "--topic", "hit.")
        assert ids(again) == ["hit.h-1.1", "sighting.b.1"]
        refused = run(LISTEN, endpoint, "--durable", "other", *own, "--seconds", "60")
        assert isinstance(refused.exception, BusError)


@pytest.mark.parametrize("words", [("--after", "1"), ("--cursor", "x"), ("--box-key", "x")])
def test_options_that_make_no_sense_alone_are_refused(words: tuple[str, ...]) -> None:
    assert run(LISTEN, "tcp://127.0.0.1:1", *words).exit_code == 2
