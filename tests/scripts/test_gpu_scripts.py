"""scripts/gpu runs tests that are there, and scripts/pycuda compiles with what the extra `kernels` installs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEEDS_GPU = re.compile(r"\b(?:need_gpu|do_without|open_gpu)\(")


def test_the_script_and_the_extra_name_the_same_parts_of_cuda() -> None:
    script, setup = ((ROOT / name).read_text(encoding="utf-8") for name in ("scripts/pycuda", "setup.py"))
    asked = re.search(r"nvidia-\{(.+)\}'==(.+)'", script)
    listed = re.search(r"CUDA_PARTS = \((.+)\)", setup)
    assert asked is not None
    assert listed is not None
    assert asked[1].split(",") == re.findall(r'"([^"]+)"', listed[1])
    assert f'f"nvidia-{{part}}=={asked[2]}"' in setup


def test_every_test_that_asks_for_a_gpu_is_among_those_of_the_script() -> None:
    named = re.findall(r"tests/\S+", (ROOT / "scripts/gpu").read_text(encoding="utf-8"))
    assert all((ROOT / each).exists() for each in named)
    asking = [path for path in ROOT.glob("tests/*/*.py") if NEEDS_GPU.search(path.read_text(encoding="utf-8"))]
    assert len(asking) >= 3
    assert not [path for path in asking if not any(path.is_relative_to(ROOT / each) for each in named)]
