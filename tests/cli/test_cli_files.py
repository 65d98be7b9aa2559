"""A store has some files for each day that it keeps: the usual limit of open ones would not do."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from anpr.cli import MOST_FILES

TELLS = """
import resource, sys
from anpr import cli
cli.application = lambda: lambda **_: print(*resource.getrlimit(resource.RLIMIT_NOFILE))
cli.main()
"""


@pytest.mark.parametrize(("soft", "hard", "then"), [(256, 2048, 2048), (512, 512, 512), (1024, None, None)])
def test_as_many_files_as_allowed_may_be_open(soft: int, hard: int | None, then: int | None) -> None:
    own_hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limits = (soft, own_hard if hard is None else hard)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    done = subprocess.run(
        [sys.executable, "-c", TELLS], preexec_fn=limit, capture_output=True, text=True, timeout=60, check=True
    )
    told_soft, told_hard = map(int, done.stdout.split())
    expected = then or (MOST_FILES if own_hard == resource.RLIM_INFINITY else min(own_hard, MOST_FILES))
    assert (told_soft, told_hard) == (expected, limits[1])
