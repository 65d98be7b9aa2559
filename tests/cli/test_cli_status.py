"""`anpr status` before a box that goes away, before what is no box, and with site files of which little is left."""

from __future__ import annotations

import io
import multiprocessing.connection as pipes
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from making_health import box_health
from rich.console import Console
from running_verbs import run

from anpr.cli import exits
from anpr.cli.status import ask, follow
from anpr.clock import SystemClock
from anpr.errors import BusError
from anpr.health.report import encode
from anpr.health.server import Answer, HealthServer


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Address of a port that gives `answer` to the first who asks."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection = server.accept()[0]
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join(5)


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.0 200 OK\r\n\r\n{"status": "UP"}',
        b"HTTP/1.0 200 OK\r\n\r\n<html>",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b'HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n{"box"',
    ],
    ids=["other json", "html", "no http", "cut short"],
)
def test_another_service_is_told(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # a proxy that is not there: must not be asked
    with answering(answer) as address, pytest.raises(BusError, match="no anpr of this version") as caught:
        ask(address)
    assert caught.value.place == address
    assert caught.value.cure


def test_nobody_there_is_told() -> None:
    with pytest.raises(BusError, match="no box answers"):
        ask("127.0.0.1:9")


@contextmanager
def box(address: str = "127.0.0.1:0") -> Iterator[str]:
    """Address of a box that is well."""
    pages = {"/healthz": lambda: Answer(200, encode(box_health()))}
    stop = threading.Event()

    def serve(server: HealthServer) -> None:
        while not stop.is_set():
            server.serve(pipes.wait(server.sockets, 0.05))

    with HealthServer(address, pages, clock=SystemClock()) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.port}"
        finally:
            stop.set()
            thread.join(5)


@pytest.mark.parametrize(("comes_back", "code"), [(True, exits.OK), (False, exits.UNAVAILABLE)])
def test_the_table_outlives_a_restart_of_the_box(comes_back: bool, code: int) -> None:
    drawn = io.StringIO()
    out = Console(file=drawn, force_terminal=True, width=120, color_system=None)
    shown: list[str] = []
    with ExitStack() as running, ExitStack() as later:
        address = running.enter_context(box())

        def wait() -> None:
            shown.append(drawn.getvalue())
            drawn.truncate(drawn.seek(0))
            match len(shown):
                case 2:
                    running.close()
                case 4 if comes_back:
                    later.enter_context(box(address))
                case 5:
                    raise KeyboardInterrupt

        assert follow(address, ask(address), out, wait=wait) == code
    assert ["no answer since" in each for each in shown] == [False, False, True, True, not comes_back]
    assert all("streaming" in each for each in shown)
    assert "Connection refused (does anpr run" in shown[2]


SITE = """
[health]
address = "{address}"
[box]
nonsense = true
[[cameras]]
id = "gone"
file = "no-such-clip.mp4"
password = "${{NOT_SET}}"
[rules]
folder = "no-such-folder"
zones = "no-such-file.toml"
"""


def test_of_the_site_file_only_the_address_is_needed(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    with box() as address:
        site.write_text(SITE.format(address=address), encoding="utf-8")
        done = run("status", site, "--once")
    assert done.exit_code == exits.OK, done.output
    assert "streaming" in done.output


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[box]\nid = 'b'\n", "the box answers no questions"),
        ("[health]\naddress = 'nowhere'\n", "2:11: 'nowhere' is not host:port"),
        ("[health]\naddress = 7\n", "2:11: '7' is not host:port"),
        ("[health\n", "not TOML"),
    ],
)
def test_a_site_file_without_an_address_is_told(text: str, problem: str, tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(text, encoding="utf-8")
    done = run("status", site)
    assert problem in str(done.exception) or problem in done.output
