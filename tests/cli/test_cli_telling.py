"""What verbs write to stderr: to a person at a terminal as it is, to a log without plates; to nobody a password."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from making_sites import write_site

from anpr.cli.telling import tell
from anpr.config import load_bridge, load_site
from anpr.errors import PlateError
from anpr.plates.grammar import require
from anpr.privacy import Private


@pytest.mark.parametrize("terminal", [False, True])
def test_plates_are_shown_to_a_terminal_alone(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with pytest.raises(PlateError) as caught:
        require("30A-1O3.45")
    tell(str(caught.value), head="anpr: ")
    tell(Private("line 3: 'x' is no plate"))
    tell("seen 30A-123.45 at rtsp://me:hunter2@camera/")
    shown = capsys.readouterr().err
    assert shown.startswith("anpr: ")
    assert "hunter2" not in shown
    for text in ("30A1O345", "'x'", "30A-123.45"):
        assert (text in shown) is terminal


def test_a_site_and_a_bridge_mask_plates_unless_told_otherwise(tmp_path: Path) -> None:
    bridge = tmp_path / "bridge.toml"
    feed = '\n[feed]\nendpoint = "tcp://127.0.0.1:1"\nconsumer = "ioc"\n[nats]\nurl = "nats://localhost"\n'
    for more, expected in (("", "masked"), ('[log]\nplates = "clear"\n', "clear")):
        bridge.write_text(f'dead_letters = "dead"{feed}{more}')
        assert load_site(write_site(tmp_path, more)).log.plates == expected
        assert load_bridge(bridge).log.plates == expected
