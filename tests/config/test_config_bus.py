from __future__ import annotations

from pathlib import Path

import pytest

from anpr.config import load_site
from anpr.engine.bus_options import bus_options
from anpr.errors import ConfigError

SITE = """
[box]
id = "b"
[site]
id = "s"
[store]
path = "store"
[bus]
{bus}
[[cameras]]
id = "c"
url = "rtsp://10.0.0.1/x"
"""
LIVE = 'endpoint = "tcp://127.0.0.1:7781"\n'
RELIABLE = 'reliable_endpoint = "tcp://127.0.0.1:7783"\n'
IOC = '[[bus.consumers]]\nname = "ioc"\n'
KEYS = 'key_file = "box.key_secret"\nclients = "clients"\n'


def load(tmp_path: Path, bus: str):  # type: ignore[no-untyped-def]
    path = tmp_path / "site.toml"
    path.write_text(SITE.format(bus=bus))
    return load_site(path, environment=None).bus


def test_a_whole_bus(tmp_path: Path) -> None:
    bus = load(tmp_path, LIVE.replace("127.0.0.1", "0.0.0.0") + RELIABLE + KEYS + IOC + 'start = "newest"\n')
    options = bus_options(bus)
    assert options.keys is not None
    assert options.keys.own == tmp_path / "box.key_secret"
    assert [(each.name, each.from_oldest) for each in options.consumers] == [("ioc", False)]
    live = bus_options(bus, live_only=True)
    assert (live.reliable_endpoint, live.consumers, live.keys) == (None, (), options.keys)


@pytest.mark.parametrize(
    ("bus", "words"),
    [
        (LIVE.replace("127.0.0.1", "0.0.0.0"), "unencrypted"),
        (LIVE + RELIABLE.replace("127.0.0.1", "10.0.0.1") + IOC, "unencrypted"),
        (LIVE + 'key_file = "x"', "go together"),
        (LIVE + 'clients = "x"', "go together"),
        (LIVE + RELIABLE, "go together"),
        (LIVE + IOC, "go together"),
        (LIVE + RELIABLE.replace("7783", "7781") + IOC, "port of its own"),
        (LIVE + RELIABLE + IOC + IOC, "stands twice"),
        (LIVE + "most_connections = 0", "most_connections"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, bus: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(tmp_path, bus)
