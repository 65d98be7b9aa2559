"""`anpr models`: what is there, and what is damaged."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from anpr import assets, cli
from anpr.cli.models import median_ms


def models(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str]:
    """The exit code, and what was printed."""
    monkeypatch.setattr(sys, "argv", ["anpr", "models", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code, capsys.readouterr().out


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the bundled reader."""
    return Path(shutil.copytree(assets.folder("models") / "reader", tmp_path / "mine"))


def test_the_bundled_models_are_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = models(monkeypatch, capsys, "--json")
    answers = {answer["name"]: answer for answer in map(json.loads, out.splitlines())}
    assert code == 0
    assert answers["reader"]["task"] == "reader"
    assert answers["detector"]["task"] == "detector"
    for answer in answers.values():
        assert 0 < answer["bytes"] <= 6_000_000
        assert len(answer["sha256"]) == 64
        assert answer["sources"] >= 1
        assert answer["accuracy"]
        assert "ms" not in answer


def test_speed_is_measured_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], copy: Path
) -> None:
    code, out = models(monkeypatch, capsys, "--speed", "--json", str(copy))
    assert code == 0
    assert 0.01 < json.loads(out)["ms"] < 1000
    _, out = models(monkeypatch, capsys, "--speed", str(copy))
    assert out.startswith("✔ reader: reader, ")
    assert "ms per plate" in out


def test_a_median_leaves_out_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    now, calls = [0.0], []

    def call() -> None:
        calls.append(now[0])
        now[0] += 100.0 if len(calls) == 1 else 0.25

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    assert median_ms(call) == pytest.approx(250.0)


@pytest.mark.parametrize(
    ("file", "pattern", "new", "problem"),
    [
        ("model.onnx", rb"\Z", b"x", "truncated or not the file"),
        ("model.toml", rb'name = "\w+"(?=\nslots)', b'name = "maps"', "has inputs"),
        ("model.toml", rb"width = \d+", b"width = 7", "takes tensor"),
        ("model.toml", rb"0123456789ABC", b"0123456789ABD", "the engine's characters are"),
        ("model.toml", rb"\[training\]", b"[trained]", "unknown field"),
        ("model.toml", rb"sha256 = ", b"sha256 ", "model.toml"),
    ],
)
def test_a_damaged_model_is_told_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    copy: Path,
    file: str,
    pattern: bytes,
    new: bytes,
    problem: str,
) -> None:
    path = copy / file
    path.write_bytes(re.sub(pattern, new, path.read_bytes(), count=1))
    code, out = models(monkeypatch, capsys, "--json", str(copy), str(assets.folder("models") / "detector"))
    damaged, whole = map(json.loads, out.splitlines())
    assert code == 1
    assert (damaged["ok"], whole["ok"]) == (False, True)
    assert problem in damaged["problem"]
    code, out = models(monkeypatch, capsys, str(copy))
    assert code == 1
    assert out.startswith("✖ mine: ")


def test_a_folder_that_is_no_model_is_damaged_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out = models(monkeypatch, capsys, str(tmp_path))
    assert code == 1
    assert "it has no model.toml" in out
