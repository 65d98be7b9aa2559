"""`anpr read IMAGE…|DIR`: the plates of still pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anpr.cli import exits
from anpr.cli.telling import tell

if TYPE_CHECKING:
    from anpr.engine.pipeline import Stages
    from anpr.records import Frame, Plate, Read
    from anpr.tracking.options import TrackOptions

TWO_LINES_ASPECT_MOST = 2.6
"""Width over height of a crop up to which it is taken for two lines (domain: 1-line plates are 4.3 and more)."""

CROP_SHARE_LEAST = 0.15
"""Of the area of a crop: a smaller find is not the plate that was cut out."""
CROP_SURE = 0.9
"""A crop that reads so surely is not searched for the plate's corners."""


def read(
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of images.", show_default=False)],
    crops: Annotated[
        bool, typer.Option("--crops", help="Each image is one plate, cut out; give one read each.")
    ] = False,
    pipeline: Annotated[str, typer.Option(help="Pipeline file, or the name of a bundled one.")] = "stills",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per image.")] = False,
) -> None:
    """Read the plates of still pictures, best first. Exit code 1 if an image could not be read."""
    from anpr.config import load_pipeline
    from anpr.engine.pipeline import build_stages
    from anpr.errors import ImageError
    from anpr.video.images import load_image

    paths = list(_expand(images))
    stages = build_stages(load_pipeline(pipeline))
    failed = False
    for path in paths:
        try:
            frame = load_image(path)
        except ImageError as error:
            failed = True
            if as_json:
                print(json.dumps({"image": str(path), "plates": [], "error": str(error)}, ensure_ascii=False))
            tell(str(error), head="anpr: ")
            continue
        answer = {"image": str(path), **read_frame(stages, frame, crops=crops)}
        print(json.dumps(answer, ensure_ascii=False) if as_json else _as_text(answer))
    raise typer.Exit(exits.FINDINGS if failed else exits.OK)


def read_frame(stages: Stages, frame: Frame, *, crops: bool) -> dict[str, Any]:
    """The plates of one picture as `anpr read --json` prints them, with the milliseconds it took."""
    from time import perf_counter

    started = perf_counter()
    if crops:
        pairs = [read_crop(stages, frame)]
    else:
        plates = stages.detector.detect(frame)
        reads = stages.reader.read(frame, plates)
        pairs = [pair for pair in zip(plates, reads, strict=True) if _is_plate(*pair, stages.track)]
    milliseconds = (perf_counter() - started) * 1000
    return {"plates": [describe(plate, read) for plate, read in pairs], "ms": round(milliseconds, 3)}


def read_crop(stages: Stages, frame: Frame) -> tuple[Plate, Read]:
    """The one plate of a crop: the whole picture, or, if that reads unsurely, what the detector finds in it.

    Of the two cuts the one that reads surer counts.
    """
    from anpr.ops.quads import quad_area

    whole = whole_picture(frame)
    (read,) = stages.reader.read(frame, [whole])
    if not read.unreadable and read.probability >= CROP_SURE:
        return whole, read
    least = CROP_SHARE_LEAST * frame.luma.shape[0] * frame.luma.shape[1]
    found = [plate for plate in stages.detector.detect(frame) if quad_area(plate.quad) >= least][:1]
    pairs = [(whole, read), *zip(found, stages.reader.read(frame, found), strict=True)]
    return max(pairs, key=lambda pair: (not pair[1].unreadable, pair[1].probability))


def _is_plate(plate: Plate, read: Read, options: TrackOptions) -> bool:
    """Whether a find is told: the detector is sure of it, or it reads like a plate. Badges and adverts are neither."""
    plausible = not read.unreadable and read.probability >= options.plausible_probability
    return plausible or plate.score >= options.score_least(read.unreadable, readable=read.readable)


def whole_picture(frame: Frame) -> Plate:
    """A crop as a plate: its own corners."""
    import numpy as np

    from anpr.nets.colour import plate_colours
    from anpr.records import Plate

    height, width = frame.luma.shape
    right, bottom = width - 0.5, height - 0.5
    quad = np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]], dtype=np.float32)
    lines = 2 if width / height <= TWO_LINES_ASPECT_MOST else 1
    (colour,) = plate_colours(frame, [quad])
    return Plate(quad=quad, score=1.0, lines=2 if lines == 2 else 1, colour=colour)


def describe(plate: Plate, read: Read) -> dict[str, Any]:
    """One plate as JSON; `text` is empty where nothing should be read, and `unreadable` says why."""
    return {
        "text": "" if read.unreadable else read.text,
        "raw": read.raw,
        "quad": [[round(float(x), 2), round(float(y), 2)] for x, y in plate.quad],
        "score": round(plate.score, 4),
        "probability": 0.0 if read.unreadable else round(read.probability, 5),
        "lines": plate.lines,
        "colour": plate.colour,
        "alternatives": [[text, round(probability, 5)] for text, probability in read.alternatives],
        "unreadable": read.unreadable,
    }


def _expand(images: list[Path]) -> Iterator[Path]:
    """Files as they are, folders as the images in them. Raises ImageError for a folder without any."""
    from anpr.errors import ImageError
    from anpr.video.images import SUFFIXES, list_images

    for path in images:
        if not path.is_dir():
            yield path
        elif found := list_images(path):
            yield from found
        else:
            cure = f"give a folder with {', '.join(sorted(SUFFIXES))} files"
            raise ImageError("the folder holds no images", place=str(path), cure=cure)


def _as_text(answer: dict[str, Any]) -> str:
    """One line a plate, for people."""
    from anpr.plates.grammar import readings

    lines = [f"{answer['image']}: {len(answer['plates']) or 'no'} plate{'s'[: len(answer['plates']) != 1]}"]
    for plate in answer["plates"]:
        text = plate["text"]
        shown = readings(text, colour=plate["colour"], lines=plate["lines"])[0].display if text else "—"
        note = plate["unreadable"] or f"{plate['probability']:.1%}"
        lines.append(f"  {shown:14} {note:8} {plate['colour']}, {plate['lines']} line{'s'[: plate['lines'] - 1]}")
    return "\n".join(lines)
