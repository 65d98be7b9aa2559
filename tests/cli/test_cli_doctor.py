"""`anpr doctor`: one finding for each thing looked at, with a cure where it is wrong."""

import json
import socket
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import structlog

from anpr import cli

SITE = """\
[box]
id = "box-1"
[site]
id = "km29"
[store]
path = "data"
[bus]
endpoint = "tcp://127.0.0.1:{port}"
[[cameras]]
id = "good"
file = "good.png"
[[cameras]]
id = "broken"
file = "broken.mp4"
[[cameras]]
id = "away"
url = "rtsp://127.0.0.1:1/x"
user = "a"
password = "${{SECRET}}"
[[lists]]
name = "bad"
file = "bad.csv"
"""


def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str]:
    """The exit code, and what was printed."""
    monkeypatch.setattr(sys, "argv", ["anpr", "doctor", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    structlog.reset_defaults()
    return caught.value.code, capsys.readouterr().out


def test_each_wrong_thing_is_found_and_has_a_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "good.png"), np.full((240, 320, 3), 90, np.uint8))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "bad.csv").write_text("plate\nnonsense!\n")
    monkeypatch.setenv("SECRET", "hunter2")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        site = tmp_path / "site.toml"
        site.write_text(SITE.format(port=taken.getsockname()[1]))
        code, out = doctor(monkeypatch, capsys, "--json", str(site))
    assert code == 1
    assert "hunter2" not in out
    told = json.loads(out)
    assert told["ok"] is False
    findings = {finding["subject"]: finding for finding in told["findings"]}
    assert findings["runtime"]["ok"]
    assert findings["pipeline cpu"]["ok"]
    assert findings["store"]["ok"]
    assert findings["camera good"]["ok"]
    assert "320x240" in findings["camera good"]["what"]
    for subject in ("bus", "list bad", "camera broken", "camera away"):
        assert not findings[subject]["ok"], subject
        assert findings[subject]["cure"], subject
    assert not (tmp_path / "data").exists()


def test_without_a_site_only_the_machine_is_examined(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = doctor(monkeypatch, capsys)
    assert code in (0, 1)  # the clock of a test machine may be nobody's
    assert "✔ pipeline cpu: " in out
    assert "camera" not in out
    wrong = [line for line in out.splitlines() if line.startswith("✖")]
    assert (code == 1) == bool(wrong)
