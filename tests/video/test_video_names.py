"""Names of cameras: asked anew each time, remembered when nobody answers, never guessed."""

import os
import socket
from typing import Any

import pytest

from anpr.clock import SystemClock
from anpr.errors import StreamError
from anpr.video.address import Address
from anpr.video.names import RESOLVER_OPTIONS, Names, limit_patience
from anpr.video.rtsp import RtspSource

SILENT = socket.gaierror(socket.EAI_AGAIN, "try again")
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "no such name")
CANARY = "kestrel"


class Server:
    """Answers what it was told to."""

    def __init__(self, *words: str | Exception) -> None:
        self.words = list(words)
        self.asked: list[str] = []

    def __call__(self, name: str) -> list[tuple[Any, ...]]:
        self.asked.append(name)
        word = self.words.pop(0)
        if isinstance(word, Exception):
            raise word
        return [(0, 0, 0, "", (word, 0))]


def names(url: str, *words: str | Exception) -> tuple[Names, Server]:
    server = Server(*words)
    return Names(Address.parse(url), look_up=server), server


def test_the_name_is_kept_while_somebody_answers() -> None:
    asked, server = names("rtsp://gate.example:8554/x", "10.0.0.7", "10.0.0.8")
    assert asked.resolve() == asked.resolve() == Address.parse("rtsp://gate.example:8554/x")
    assert server.asked == ["gate.example", "gate.example"]
    assert not asked.remembered


@pytest.mark.parametrize("silence", [SILENT, OSError("network is down"), socket.gaierror(socket.EAI_FAIL, "failed")])
@pytest.mark.parametrize(
    ("url", "number", "then"),
    [
        ("rtsp://u:p@gate.example:8554/x", "10.0.0.7", "rtsp://u:p@10.0.0.7:8554/x"),
        ("rtsp://gate.example/x", "10.0.0.7", "rtsp://10.0.0.7/x"),
        ("rtsp://gate.example:8554/x", "fd00::7", "rtsp://[fd00::7]:8554/x"),
    ],
)
def test_the_newest_number_is_remembered(url: str, number: str, then: str, silence: Exception) -> None:
    asked, _ = names(url, "10.9.9.9", number, silence, silence, "10.0.0.8")
    asked.resolve()
    asked.resolve()
    assert asked.resolve().url == asked.resolve().url == then
    assert asked.remembered
    assert asked.resolve().url == url
    assert not asked.remembered


def test_a_name_that_is_known_to_nobody_is_not_remembered() -> None:
    """Its server answers: the camera has another name now, and its number may be another camera's."""
    asked, _ = names(f"rtsp://u:{CANARY}@gate.example/x", "10.0.0.7", UNKNOWN)
    asked.resolve()
    with pytest.raises(StreamError, match="its name is unknown") as raised:
        asked.resolve()
    assert CANARY not in str(raised.value)


def test_without_an_answer_ever_there_is_nothing_to_remember() -> None:
    asked, _ = names("rtsp://gate.example/x", SILENT)
    with pytest.raises(StreamError, match="no name server answers"):
        asked.resolve()


@pytest.mark.parametrize("host", ["10.0.0.7", "10.0.0.7:554", "[fd00::7]", "[fd00::7]:8554"])
def test_numbers_are_nobodys_business(host: str) -> None:
    asked, server = names(f"rtsp://{host}/x")
    assert asked.resolve().host == host
    assert server.asked == []


def test_names_that_cannot_be_names() -> None:
    asked = Names(Address.parse(f"rtsp://{'a' * 70}.example/x"))  # longer than a label may be: no server is asked
    with pytest.raises(StreamError, match="its name is unknown"):
        asked.resolve()


def test_a_camera_of_an_unknown_name_is_told_as_such() -> None:
    told: list[str] = []
    source = RtspSource(
        "rtsp://nobody.invalid./x",
        camera_id="cam",
        clock=SystemClock(),
        on_state=lambda transition: (told.append(transition.reason), source.close() if transition.reason else None)[0],
    )
    with source:
        assert list(source) == []
    assert told[1] in ("its name is unknown", "no name server answers")


def test_patience_is_the_operators_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RESOLVER_OPTIONS, raising=False)
    limit_patience()
    assert os.environ[RESOLVER_OPTIONS] == "timeout:2 attempts:1"
    monkeypatch.setenv(RESOLVER_OPTIONS, "timeout:9")
    limit_patience()
    assert os.environ[RESOLVER_OPTIONS] == "timeout:9"
