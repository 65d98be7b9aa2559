"""`python -m scripts.paddle_model OUT --from rapidocr|DIR`: a model folder from a PP-OCR recogniser in ONNX form.

The source is an installed RapidOCR package (`rapidocr-onnxruntime` or `rapidocr`), or a folder with one recogniser
(`*.onnx`; of several, the one with `rec` in its name). Its dictionary is taken from the ONNX file itself, where
RapidOCR keeps it, else from the one `*.txt` file beside it, one character a line, else from its `inference.yml`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import onnxruntime
import tomli_w

from anpr.errors import ModelError
from anpr.nets.model import ModelFolder
from anpr.nets.ocr import OcrReader

PACKAGES = {"rapidocr": "rapidocr", "rapidocr_onnxruntime": "rapidocr-onnxruntime"}
"""Module name -> name of the distribution."""

WIDEST = 320
"""Pixels; PP-OCR was trained on strips of 48 x 320."""


def packaged() -> tuple[Path, str]:
    """The recogniser of an installed RapidOCR, and what it is. Raises ModelError if there is none."""
    for module, distribution in PACKAGES.items():
        found = importlib.util.find_spec(module)
        if found and found.origin and (Path(found.origin).parent / "models").is_dir():
            return recogniser_in(
                Path(found.origin).parent / "models"
            ), f"{distribution} {metadata.version(distribution)}"
    raise ModelError(
        f"none of {', '.join(PACKAGES.values())} is installed", place="rapidocr", cure="pip install 'anpr[paddle]'"
    )


def recogniser_in(folder: Path) -> Path:
    """The one recogniser of a folder. Raises ModelError if there is none, or one cannot tell which."""
    files = sorted(folder.glob("*.onnx"))
    if len(files) > 1:
        files = [file for file in files if "rec" in file.name.lower()]
    if len(files) != 1:
        raise ModelError(
            f"has {len(files) or 'no'} recognisers: {', '.join(file.name for file in files) or 'no *.onnx file'}",
            place=str(folder),
            cure="name a folder with one",
        )
    return files[0]


def dictionary_of(file: Path, session: Any) -> list[str]:
    """The characters of a recogniser, most often without the space that PaddleOCR adds. Raises ModelError if none."""
    inside = session.get_modelmeta().custom_metadata_map.get("character")
    if inside:
        return str(inside).splitlines()
    lists = sorted(file.parent.glob("*.txt"))
    if len(lists) == 1:
        return [line.rstrip("\r") for line in lists[0].read_text(encoding="utf-8").removesuffix("\n").split("\n")]
    facts = file.parent / "inference.yml"
    if facts.is_file():
        try:
            import yaml
        except ImportError:
            raise ModelError("reading it needs PyYAML", place=str(facts), cure="pip install pyyaml") from None
        found = (yaml.safe_load(facts.read_text(encoding="utf-8")) or {}).get("PostProcess", {}).get("character_dict")
        if found:
            return [str(character) for character in found]
    raise ModelError(
        f"no dictionary in the file, {len(lists)} *.txt files and no inference.yml with a character_dict beside it",
        place=str(file),
        cure="put the recogniser's dictionary beside it",
    )


def make(target: Path, file: Path, *, source: str, command: str) -> ModelFolder:
    """Write the model folder and open it. Raises ModelError if the parts do not fit together."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    characters = dictionary_of(file, session)
    if isinstance(given.shape[-1], int) and given.shape[-1] == len(characters) + 2:
        characters.append(" ")
    height, width = (
        size if isinstance(size, int) else usual for size, usual in zip(taken.shape[2:], (48, WIDEST), strict=True)
    )
    target.mkdir(parents=True)
    shutil.copyfile(file, target / "model.onnx")
    (target / "dictionary.txt").write_text("\n".join(characters) + "\n", encoding="utf-8")
    facts = {
        "name": target.name,
        "task": "reader",
        "sha256": hashlib.sha256((target / "model.onnx").read_bytes()).hexdigest(),
        "input": {
            "name": taken.name,
            "height": height,
            "width": width,
            "channels": 3,
            "scale": 0.4,
            "margin": 0.04,
        },
        "output": {
            "name": given.name,
            "slots": 10,
            "decoding": "ctc",
            "dictionary": "dictionary.txt",
        },
        "training": {
            "command": command,
            "commit": "",
            "steps": 0,
            "seed": 0,
            "sources": [f"{file.name} of {source}: PaddleOCR, Apache-2.0; its training pictures are not published"],
        },
    }
    (target / "model.toml").write_text(tomli_w.dumps(facts), encoding="utf-8")
    try:
        return OcrReader.open(ModelFolder.load(target, "reader")).session.model
    except ModelError:
        shutil.rmtree(target)
        raise


def main(words: Sequence[str] | None = None) -> int:
    """Make the folder and say what it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="model folder to make")
    parser.add_argument("--from", dest="source", default="rapidocr", help="`rapidocr`, or a folder with the ONNX file")
    arguments = parser.parse_args(words)
    try:
        if arguments.out.exists():
            raise ModelError("is already there", place=str(arguments.out), cure="name a new folder")
        if arguments.source == "rapidocr":
            file, source = packaged()
        else:
            file, source = recogniser_in(Path(arguments.source)), Path(arguments.source).resolve().name
        given = "rapidocr" if arguments.source == "rapidocr" else source
        command = f"python -m scripts.paddle_model {arguments.out.name} --from {given}"
        folder = make(arguments.out, file, source=source, command=command)
    except ModelError as error:
        print(f"paddle_model: {error}", file=sys.stderr)
        return 2
    size = folder.onnx_path.stat().st_size
    print(f"{folder.path}: {source}, {size} bytes; name it in a pipeline file ([reader] or [second_reader] model)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
