"""Compiling the kernels: every one for every GPU, cached by all that it is made of, and refused with its cure."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from anpr import assets
from anpr.errors import DeviceError
from anpr.ops import cuda_build
from anpr.ops.cuda_build import ARCHITECTURES, Compiler

SOURCES = sorted(assets.folder("kernels").glob("*.cu"))


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    """The real nvcc, warnings as errors; skips where there is none, and fails under ANPR_REQUIRE_NVCC=1."""
    try:
        return replace(Compiler.find(), flags=(*cuda_build.FLAGS, "-Werror", "all-warnings"))
    except DeviceError as error:
        if os.environ.get("ANPR_REQUIRE_NVCC") == "1":
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvcc_compiles_every_kernel(compiler: Compiler, architecture: str, tmp_path: Path) -> None:
    built = compiler.build_all(architecture, cache=tmp_path)
    assert sorted(built) == [source.stem for source in SOURCES]
    for name, path in built.items():
        assert path.read_bytes().startswith(b"\x7fELF")
        assert name.encode() in path.read_bytes()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_kernel_file_begins_with_its_contract_and_holds_one_entry_of_its_name(source: Path) -> None:
    text = source.read_text()
    header = text.split("\n#", 1)[0]
    assert all(line.startswith("//") for line in header.splitlines())
    for word in (f"// {source.stem}: ", "// in ", "// out ", "// launch "):
        assert word in header
    assert re.findall(r'extern "C" __global__ void(?: __launch_bounds__\(\w+\))?\s+(\w+)\(', text) == [source.stem]


STUB = """#!/bin/sh
if [ "$1" = --version ]; then echo "release $VERSION"; exit 0; fi
echo run >> "$RUNS"
while [ "$1" != -o ]; do shift; done
echo "$@" > "$2"
exit "$STATUS"
"""


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An nvcc that only writes down how often it ran; returns where."""
    nvcc, runs = tmp_path / "bin" / "nvcc", tmp_path / "runs"
    nvcc.parent.mkdir()
    nvcc.write_text(STUB)
    nvcc.chmod(nvcc.stat().st_mode | stat.S_IXUSR)
    runs.touch()
    for name, value in {"VERSION": "13.0", "RUNS": str(runs), "STATUS": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", str(nvcc.parent), prepend=os.pathsep)
    return runs


def test_a_kernel_is_compiled_once_for_each_source_compiler_and_gpu(
    stub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, header, cache = tmp_path / "add.cu", tmp_path / "add.cuh", tmp_path / "cache"
    source.write_text("a")
    header.write_text("b")

    def runs() -> int:
        return len(stub.read_text().splitlines())

    first = Compiler.find().build(source, "sm_89", cache=cache)
    assert Compiler.find().build(source, "sm_89", cache=cache) == first
    assert runs() == 1
    assert [path.name for path in cache.iterdir()] == [first.name]
    Compiler.find().build(source, "sm_90", cache=cache)
    header.write_text("c")
    Compiler.find().build(source, "sm_89", cache=cache)
    monkeypatch.setenv("VERSION", "13.1")
    Compiler.find().build(source, "sm_89", cache=cache)
    assert runs() == 4
    assert len(list(cache.iterdir())) == 4


def test_a_kernel_that_does_not_compile_is_told_with_its_place_and_leaves_nothing(
    stub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATUS", "2")
    source = tmp_path / "add.cu"
    source.write_text("a")
    with pytest.raises(DeviceError, match=r"add\.cu: nvcc failed for sm_89"):
        Compiler.find().build(source, "sm_89", cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_cache_that_cannot_be_written_is_told_with_its_cure(stub: Path, tmp_path: Path) -> None:
    source, taken = tmp_path / "add.cu", tmp_path / "taken"
    source.write_text("a")
    taken.write_text("a file")
    with pytest.raises(DeviceError, match="set XDG_CACHE_HOME"):
        Compiler.find().build(source, "sm_89", cache=taken / "kernels")


def test_no_compiler_at_all_is_refused_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_build, "_candidates", lambda: iter(()))
    with pytest.raises(DeviceError, match=r"anpr\[kernels\]"):
        Compiler.find()
