"""`anpr bridge`: what keeps it from starting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from anpr.cli import exits

FEED = '[feed]\nendpoint = "tcp://127.0.0.1:1"\nconsumer = "ioc"\n'


def run(file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(words or ("-m", "anpr")), "bridge", str(file), "--json"]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ}, timeout=60, check=False)


def test_a_mistake_in_the_file_is_told_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text(f'dead_letters = "dead"\n{FEED}[webhook]\nurl = "https://a.example"\nsecret = "${{NOT_THERE}}"\n')
    ended = run(file)
    assert ended.returncode == exits.CONFIGURATION
    assert f"{file}:7:10: webhook.secret: the environment variable NOT_THERE is not set" in ended.stderr


@pytest.mark.parametrize(
    ("broker", "package"),
    [
        ('[webhook]\nurl = "http://localhost"', "httpx"),
        ('[mqtt]\nurl = "mqtt://localhost"', "paho"),
        ('[nats]\nurl = "nats://localhost"', "nats"),
        ('[kafka]\nservers = ["localhost:9093"]', "confluent_kafka"),
    ],
)
def test_without_the_extra_its_cure_is_told(tmp_path: Path, broker: str, package: str) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text(f'dead_letters = "dead"\n{FEED}{broker}\n')
    without = f"import sys; sys.modules['{package}'] = None; sys.argv[0] = 'anpr'; from anpr.cli import main; main()"
    ended = run(file, "-c", without)
    assert ended.returncode == exits.CONFIGURATION
    assert "is missing (pip install 'anpr[bridges]')" in ended.stderr


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text(f'dead_letters = "none/dead"\n{FEED}[nats]\nurl = "nats://localhost"\n')
    ended = run(file)
    assert ended.returncode == exits.CONFIGURATION
    assert "no such folder" in ended.stderr


def test_dead_letters_that_nobody_takes_stay_where_they_are(tmp_path: Path) -> None:
    file, dead = tmp_path / "bridge.toml", tmp_path / "dead"
    file.write_text(f'dead_letters = "dead"\n{FEED}[webhook]\nurl = "http://127.0.0.1:1"\n')
    command = [sys.executable, "-m", "anpr", "bridge", str(file), "--json", "--again"]
    for lines, said, code in (
        ("", "left 0", exits.OK),
        ('{"reason": "expired", "gap": {}}\n', "left 1", exits.FINDINGS),
    ):
        dead.write_text(lines)
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, ended.stdout) == (code, f"delivered 0, refused again 0, {said}\n")
        assert dead.read_text() == lines if lines else not dead.exists()
