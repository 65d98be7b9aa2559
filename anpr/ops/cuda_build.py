"""Compiling kernels/*.cu with nvcc, once for each GPU and CUDA version, into a cache.

A file of the cache is named by everything that it was made of, so it is never wrong and never has to be cleared.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from anpr import assets
from anpr.errors import DeviceError

ARCHITECTURES = ("sm_75", "sm_86", "sm_87", "sm_89", "sm_90")
"""What the kernels are compiled for in tests: Turing, Ampere, Jetson Orin, Ada, Hopper."""

FLAGS = ("-cubin", "-O3", "--std=c++17")
TIMEOUT_SECONDS = 300.0

CURE = (
    "install CUDA's compiler and a C++ compiler: pip install 'anpr[kernels]' and apt-get install g++,"
    " or put nvcc on PATH"
)


@dataclass(frozen=True, slots=True)
class Compiler:
    """nvcc, and what it can do."""

    nvcc: Path
    version: str
    """As nvcc tells it, in full."""
    flags: tuple[str, ...] = FLAGS

    @staticmethod
    def find() -> Compiler:
        """The nvcc on PATH, in /usr/local/cuda, or from the `kernels` extra. Raises DeviceError if none runs."""
        for path in _candidates():
            told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
            if told.returncode == 0:
                return Compiler(path, told.stdout.strip())
        raise DeviceError("there is no nvcc to compile the kernels with", cure=CURE)

    def build_all(self, architecture: str, *, cache: Path | None = None) -> dict[str, Path]:
        """Every kernel by its name, compiled for `architecture` (such as `sm_89`). Raises DeviceError if one fails."""
        sources = sorted(assets.folder("kernels").glob("*.cu"))
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            built = pool.map(lambda source: self.build(source, architecture, cache=cache), sources)
            return {source.stem: path for source, path in zip(sources, built, strict=True)}

    def build(self, source: Path, architecture: str, *, cache: Path | None = None) -> Path:
        """The compiled kernel file `source`, from the cache if it is there."""
        folder = cache or assets.cache_folder("kernels")
        target = folder / f"{source.stem}-{architecture}-{self._key(source, architecture)}.cubin"
        if target.exists():
            return target
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as work:
                output = Path(work) / target.name
                self._compile(source, architecture, output)
                output.replace(target)
        except OSError as error:
            raise DeviceError(
                f"compiled kernels cannot be kept: {error.strerror or error}",
                place=str(folder),
                cure="set XDG_CACHE_HOME to a folder that this user may write",
            ) from error
        return target

    def _compile(self, source: Path, architecture: str, output: Path) -> None:
        command = [str(self.nvcc), *self.flags, f"-arch={architecture}", "-o", str(output), str(source)]
        try:
            told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise DeviceError(f"nvcc took over {TIMEOUT_SECONDS:.0f} s", place=str(source), cure=CURE) from error
        if told.returncode != 0:
            said = (told.stderr or told.stdout).strip()
            raise DeviceError(f"nvcc failed for {architecture}: {said}", place=str(source), cure=CURE)

    def _key(self, source: Path, architecture: str) -> str:
        """Of the source, all headers beside it, the compiler and how it is called."""
        digest = hashlib.sha256("\0".join([self.version, architecture, *self.flags]).encode())
        for file in (source, *sorted(source.parent.glob("*.cuh"))):
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]


def _candidates() -> Iterator[Path]:
    if found := shutil.which("nvcc"):
        yield Path(found)
    places = [Path("/usr/local/cuda")]
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations or () if spec else ():
        places += sorted(Path(folder).glob("cu[0-9]*"), reverse=True)
    yield from (place / "bin" / "nvcc" for place in places if os.access(place / "bin" / "nvcc", os.X_OK))
