"""`anpr doctor`: one finding for each thing looked at, with a cure where it is wrong."""

import json
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from anpr import cli
from anpr.clock import ManualClock
from anpr.store import Store

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
    return caught.value.code, capsys.readouterr().out


def found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], site: Path) -> dict[str, dict[str, Any]]:
    """What is told, by its subject."""
    _, out = doctor(monkeypatch, capsys, "--json", str(site))
    return {finding["subject"]: finding for finding in json.loads(out)["findings"]}


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


RUNNING = """\
[box]
id = "box-1"
[site]
id = "km29"
[store]
path = "data"
[bus]
endpoint = "tcp://127.0.0.1:{bus}"
[health]
address = "127.0.0.1:{health}"
[[cameras]]
id = "good"
file = "good.png"
[rules]
folder = "rules.toml"
"""


@pytest.mark.parametrize("running", [True, False])
def test_the_ports_of_a_box_that_runs_are_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, running: bool
) -> None:
    cv2.imwrite(str(tmp_path / "good.png"), np.full((240, 320, 3), 90, np.uint8))
    (tmp_path / "rules.toml").write_text("[[rules]]\nname = 3\n")
    site = tmp_path / "site.toml"
    with ExitStack() as opened:
        taken = [opened.enter_context(socket.socket()) for _ in range(2)]
        for each in taken:
            each.bind(("127.0.0.1", 0))
            each.listen()
        bus, health = (each.getsockname()[1] for each in taken)
        site.write_text(RUNNING.format(bus=bus, health=health))
        if running:
            opened.enter_context(Store.open(tmp_path / "data", clock=ManualClock(), box="box-1"))
        told = found(monkeypatch, capsys, site)
        assert (told["bus"]["ok"], told["health"]["ok"]) == (running, running)
        assert told["bus"]["cure"] or running
        assert told["health"]["cure"] or running
        assert "rules.toml:1" in told["rules"]["what"]
        assert not told["rules"]["ok"]
        for each in taken:
            each.close()
        told = found(monkeypatch, capsys, site)
        assert (told["bus"]["ok"], told["health"]["ok"]) == (not running, not running)
        assert "nobody listens" in told["bus"]["what"] or not running


def test_without_a_site_only_the_machine_is_examined(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = doctor(monkeypatch, capsys)
    assert code in (0, 1)  # the clock of a test machine may be nobody's
    assert "✔ pipeline cpu: " in out
    assert "camera" not in out
    wrong = [line for line in out.splitlines() if line.startswith("✖")]
    assert (code == 1) == bool(wrong)


def test_rules_that_can_never_be_true_at_a_site_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = """[[rules]]
name = "stolen"
vi = "xe"
en = "stolen"
severity = "CHECK"
message = { vi = "-", en = "-" }
when = { listed = { list = "stolen" } }
"""
    (tmp_path / "rules.toml").write_text(rule)
    cv2.imwrite(str(tmp_path / "good.png"), np.zeros((32, 64, 3), np.uint8))
    camera = '[rules]\nfolder = "rules.toml"\n[[cameras]]\nid = "good"\nfile = "good.png"\n'
    site = tmp_path / "site.toml"
    site.write_text(SITE.partition("[[cameras]]")[0].format(port="*") + camera)
    told = found(monkeypatch, capsys, site)["rules"]
    assert told["ok"]
    assert told["what"] == "no mistakes; silent at this site: stolen: list stolen: none of this name holds at the site"
