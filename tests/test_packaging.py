"""The wheel carries the models, pipelines and example configs as data of the package."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_holds_what_the_engine_needs(tmp_path: Path) -> None:
    source = tmp_path / "source"
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    ours = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, ours.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path]
    subprocess.run([*command, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"anpr/data/{name}" for name in ("models/reader/model.onnx", "models/detector/model.toml")}
    wanted |= {f"anpr/data/{name}" for name in ("pipelines/cpu.toml", "configs/demo/expressway.mp4")}
    wanted |= {f"anpr/data/kernels/{name}" for name in ("rectify.cu", "surface.cuh")}
    wanted |= {
        "anpr/plates/provinces.csv",
        "anpr/schemas/vn.anpr.hit.v1.json",
        "anpr/py.typed",
        "anpr/cli/read.py",
        "anpr/engine/hub.py",
    }
    assert wanted <= names
    assert not any(name.split("/")[0] in {"tests", "scripts", "bench", "models"} for name in names)
