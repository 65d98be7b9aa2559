"""A program is stopped after any of the calls by which it changes files, and is gone afterwards."""

import sys
from pathlib import Path

import pytest

from scripts.fault_matrix.needs import missing
from scripts.fault_matrix.processes import is_alive
from scripts.fault_matrix.stepping import calls_of, stopped_after

pytestmark = pytest.mark.skipif(bool(missing(("strace",))), reason=missing(("strace",)))

PROGRAM = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
os.write(file, str(os.getpid()).encode().rjust(10))
for number in range(3):
    os.write(file, b"x")
    os.fsync(file)
os.rename(sys.argv[1], sys.argv[1] + ".done")
"""


def test_a_program_stands_still_after_each_of_its_calls(tmp_path: Path) -> None:
    path = tmp_path / "file"
    command = [sys.executable, "-B", "-c", PROGRAM, str(path)]
    done, calls = calls_of(command)
    assert done.returncode == 0
    assert calls == ["write", *["write", "fsync"] * 3, "rename"]
    for step, written in enumerate((0, 1, 1, 2, 2, 3, 3)):
        path.unlink(missing_ok=True)
        with stopped_after(command, calls, step) as stopped:
            assert stopped
            content = path.read_text()
            assert content[10:] == "x" * written
            assert is_alive(int(content[:10]))
        assert not is_alive(int(content[:10]))
    with stopped_after(command, [*calls, "rename"], len(calls)) as stopped:
        assert not stopped
