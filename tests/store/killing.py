"""Programs that use a store, and are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def run_until_killed(program: str, *words: object, lines: int) -> bool:
    """A program of this folder, killed after so many lines and one; whether it came to its end before."""
    command = [sys.executable, str(HERE / program), *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parent}:{HERE}:{HERE.parents[1]}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for number, _ in enumerate(process.stdout):
            if number == lines:
                process.kill()
        process.wait(30)
        return process.returncode == 0
