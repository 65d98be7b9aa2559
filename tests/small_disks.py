"""Programs that fill a small disk, which they mount where nobody else sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


def told_by(program: Path, folder: Path) -> Any:
    """What a program says in its last line, which is JSON; skips the test where nothing may be mounted."""
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{program.parent}:{TESTS.parent}"}
    done = subprocess.run(
        ["unshare", "-m", sys.executable, str(program), str(folder)],
        capture_output=True,
        text=True,
        timeout=100,
        env=environment,
        check=False,
    )
    if "permission denied" in done.stderr.lower():
        pytest.skip("this container may not mount")
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])
