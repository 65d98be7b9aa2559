"""Nothing tells anybody what models run where."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LOAD = """
from anpr import assets
from anpr.nets.model import ModelFolder
from anpr.nets.session import Session
Session.open(ModelFolder.load(assets.folder("models") / {name!r}, {task!r}))
"""
RUNTIMES_OWN = ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")
"""Where one of these is set, ONNX Runtime is silent by itself."""


def test_a_loaded_model_leaves_nothing_to_be_sent(tmp_path: Path) -> None:
    """ONNX Runtime 1.29 keeps what it will send, and the number that it gives the machine, in the home folder."""
    model = min((Path(__file__).parents[2] / "models").glob("*/model.toml"))
    task = next(line.split('"')[1] for line in model.read_text().splitlines() if line.startswith("task"))
    load = LOAD.format(name=model.parent.name, task=task)
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in RUNTIMES_OWN}
    environment |= {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
    }
    subprocess.run([sys.executable, "-c", load], env=environment, check=True, timeout=60)
    assert [str(path) for path in home.rglob("*")] == []
