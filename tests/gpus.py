"""What a test does where there is no GPU: it skips and says why, or fails if ANPR_REQUIRE_GPU=1 promises one."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

from anpr.ops.gpus import Gpu, list_gpus


def do_without(reason: str) -> NoReturn:
    """Skip the test; fail it on a machine that is said to have a GPU."""
    if os.environ.get("ANPR_REQUIRE_GPU") == "1":
        pytest.fail(f"ANPR_REQUIRE_GPU is set, and {reason}")
    pytest.skip(reason)


def need_gpu() -> Gpu:
    """The first GPU that the driver shows."""
    gpus = list_gpus()
    if not gpus:
        do_without("the machine has no NVIDIA GPU, or no driver for it")
    return gpus[0]
