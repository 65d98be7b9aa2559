"""`python -m scripts.render glyphs DATA`: derive the letter outlines of glyphs.json from labelled plate crops.

Each crop of the training split is levelled and its characters are found as dark components; crops whose components
disagree with their text are left out. Every cut character is brought to one box, its contrast normalised, aligned to
the others of its kind, and the median of the sharpest ones is sharpened, cut at half its height and traced. What
remains is a mean shape: polygons, no pixels of any photograph. Characters with too few cuts are written by hand
(`scripts.render.strokes`) with the pen of the set.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.render.glyphs import BOX_MM, SetName, contours_of, grow
from scripts.render.strokes import STROKES, stroke_mask

Grey = NDArray[np.uint8]
Ink = NDArray[np.float32]

BOX_WIDTH, BOX_HEIGHT, MARGIN = 64, 96, 16
"""Pixels of the box in which cuts are compared, and around it."""

WORK_WIDTH = 400
FEWEST = 10
"""A character with fewer cuts than this is written by hand."""

MOST = 80
TRACE = 8
"""Pixels of a traced mask to a pixel of a cut."""
PX_PER_MM = 8.0
FULL_WIDTH = "0235689"
"""Characters as wide as their box: they give the box's width on each plate."""
MIRRORED = "08AHMTUVXY"
FLIPPED = "0DEHX"
TURNED = "NZ"
"""Characters symmetric left to right, top to bottom, and by half a turn (6 and 9 are each other's)."""

SOURCE_SET: Mapping[SetName, SetName] = {"car": "car_old", "car_old": "car_old", "motorbike": "motorbike"}
"""Which crops a set is derived from: those of new-size cars are too few, their shapes are the old ones', bolder."""


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """One character of one crop."""

    ink: Ink
    """0 = plate, 1 = ink, (BOX_HEIGHT + 2·MARGIN, BOX_WIDTH + 2·MARGIN)."""
    sharpness: float
    width: float
    """Of the component, as a share of a full-width character on the same plate."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("data", type=Path, help="folder with labels.csv and images/")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "glyphs.json")
    parser.add_argument("--sheet", type=Path, help="also write a picture of all shapes")


def run(arguments: argparse.Namespace) -> int:
    """Derive, write glyphs.json and tell which characters came from how many cuts."""
    inks: dict[SetName, dict[str, Ink]] = defaultdict(dict)
    for (source, char), found in sorted(collect_cuts(arguments.data).items()):
        if len(found) >= FEWEST:
            inks[source][char] = mean_ink(found)
    shapes_of = {source: upright_shapes(found) for source, found in inks.items()}
    masks: dict[SetName, dict[str, Grey]] = {}
    for set_name in BOX_MM:
        derived = shapes_of[SOURCE_SET[set_name]]
        masks[set_name] = finish(set_name, derived)
        by_hand = "".join(char for char in STROKES if char not in derived)
        print(f"{set_name}: {len(derived)} characters from crops, by hand: {by_hand}")
    document = {
        set_name: {char: {"contours": contours_of(mask, tolerance=0.003)} for char, mask in shapes.items()}
        for set_name, shapes in masks.items()
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    arguments.output.write_text(text.replace('},"', '},\n"') + "\n", encoding="utf-8")
    if arguments.sheet:
        cv2.imwrite(str(arguments.sheet), sheet(masks))
    return 0


def collect_cuts(data: Path) -> dict[tuple[SetName, str], list[Cut]]:
    """Cuts by set and character, of every training crop whose components fit its text."""
    cuts: dict[tuple[SetName, str], list[Cut]] = defaultdict(list)
    used = skipped = 0
    with (data / "labels.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["category"] != "crops-vn" or row["split"] != "train" or not row["text"] or not row["lines"]:
                continue
            image = cv2.imread(str(data / row["image"]), cv2.IMREAD_GRAYSCALE)
            found = None
            if image is not None and "MD" not in row["text"]:
                found = find_rows(np.asarray(image, np.uint8), int(row["lines"]), len(row["text"]))
            if found is None:
                skipped += 1
                continue
            used += 1
            grey, boxes = found
            set_name: SetName = "car_old" if row["lines"] == "1" else "motorbike"
            for char, cut in cut_plate(grey, boxes, row["text"]):
                cuts[set_name, char].append(cut)
    print(f"{used} crops used, {skipped} left out: their components do not fit their text")
    return cuts


def find_rows(image: Grey, lines: int, length: int) -> tuple[Grey, list[list[tuple[int, int, int, int]]]] | None:
    """The crop, levelled, and its character boxes `(x, y, width, height)` row by row; None if they do not fit."""
    scale = WORK_WIDTH / image.shape[1]
    scaled = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    grey: Grey = np.asarray(cv2.copyMakeBorder(scaled, 20, 20, 20, 20, cv2.BORDER_REPLICATE), np.uint8)
    for _ in range(2):
        rows = _components(grey, lines)
        if sum(map(len, rows)) != length:
            return None
        slope = _slope(rows)
        height, width = grey.shape
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(np.degrees(np.arctan(slope))), 1)
        grey = np.asarray(
            cv2.warpAffine(grey, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE),
            np.uint8,
        )
    rows = _components(grey, lines)
    heights = np.array([box[3] for row in rows for box in row], np.float64)
    if len(heights) != length or heights.std() > 0.09 * heights.mean():
        return None
    if lines == 2 and len(rows[0]) not in (3, 4, 5):
        return None
    return grey, rows


def _components(grey: Grey, lines: int) -> list[list[tuple[int, int, int, int]]]:
    """Dark components of a character's size, sorted into rows from left to right."""
    height, width = grey.shape
    window = int(height * (0.3 if lines == 2 else 0.6)) | 1
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0)
    dark = cv2.adaptiveThreshold(smooth, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, window, 8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(dark)
    boxes = [
        (int(x), int(y), int(w), int(h))
        for x, y, w, h, _ in stats[1:]
        if 0.3 * height / lines < h < 0.98 * height / lines and w < 0.24 * width and x > 0 and x + w < width
    ]
    boxes.sort()
    if lines == 1 or not boxes:
        return [boxes]
    middles = [y + h / 2 for _, y, _, h in boxes]
    split = (min(middles) + max(middles)) / 2
    return [[box for box in boxes if (box[1] + box[3] / 2 < split) == first] for first in (True, False)]


def _slope(rows: list[list[tuple[int, int, int, int]]]) -> float:
    """Median slope of the rows' upper and lower edges."""
    slopes = [0.0]
    for row in rows:
        if len(row) >= 3:
            middles = [x + w / 2 for x, _, w, _ in row]
            slopes.append(float(np.polyfit(middles, [y for _, y, _, _ in row], 1)[0]))
            slopes.append(float(np.polyfit(middles, [y + h for _, y, _, h in row], 1)[0]))
    return float(np.median(slopes[1:] or slopes))


def cut_plate(grey: Grey, rows: list[list[tuple[int, int, int, int]]], text: str) -> Iterator[tuple[str, Cut]]:
    """Every character of a levelled crop with its cut; rows without a full-width character are passed over."""
    start = 0
    for row in rows:
        chars = text[start : start + len(row)]
        start += len(row)
        widths = [box[2] for box, char in zip(row, chars) if char in FULL_WIDTH]
        if not widths:
            continue
        full = float(np.median(widths))
        tall = float(np.median([box[3] for box in row]))
        scale = (BOX_WIDTH / full, BOX_HEIGHT / tall)
        canvas = (BOX_WIDTH + 2 * MARGIN, BOX_HEIGHT + 2 * MARGIN)
        for (x, y, w, h), char in zip(row, chars):
            centre = (x + (w - 1) / 2, y + (h - 1) / 2)
            move = np.array(
                [
                    [scale[0], 0, (canvas[0] - 1) / 2 - centre[0] * scale[0]],
                    [0, scale[1], (canvas[1] - 1) / 2 - centre[1] * scale[1]],
                ]
            )
            patch = cv2.warpAffine(grey, move, canvas, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
            inner = patch[MARGIN:-MARGIN, MARGIN:-MARGIN]
            light, dark = float(np.percentile(patch, 90)), float(np.percentile(inner, 6))
            if light - dark < 25:
                continue
            ink = np.clip((light - patch.astype(np.float32)) / (light - dark), -0.2, 1.2).astype(np.float32)
            slope_y, slope_x = np.gradient(cv2.GaussianBlur(ink, (0, 0), 0.8))
            sharpness = float(np.percentile(np.hypot(slope_x, slope_y), 97))
            yield char, Cut(ink, sharpness, w / full)


def mean_ink(cuts: list[Cut]) -> Ink:
    """The median of the sharper cuts after alignment, in the cuts' own size."""
    best = sorted(cuts, key=lambda cut: -cut.sharpness)[: max(FEWEST, min(MOST, len(cuts) * 2 // 3))]
    mean = np.median([cut.ink for cut in best], axis=0).astype(np.float32)
    for _ in range(3):
        aligned = [moved for cut in best if (moved := _align(cut.ink, mean)) is not None]
        mean = np.median(aligned, axis=0).astype(np.float32)
    return mean


def trace(mean: Ink) -> Grey:
    """A mean cut, sharpened and cut at half: a mask cropped to the shape, 0 or 255, TRACE times the box's size."""
    big = cv2.resize(mean, None, fx=TRACE, fy=TRACE, interpolation=cv2.INTER_CUBIC)
    big = big * 2.2 - cv2.GaussianBlur(big, (0, 0), 3.2 * TRACE) * 1.2
    mask = ((cv2.GaussianBlur(big, (0, 0), 1.1 * TRACE) > 0.5) * 255).astype(np.uint8)
    edge = MARGIN * TRACE // 2
    mask[:edge] = mask[-edge:] = 0
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    largest = 1 + int(np.argmax(stats[1:count, cv2.CC_STAT_AREA]))
    shape = ((labels == largest) * 255).astype(np.uint8)
    x, y, w, h, _ = stats[largest]
    return np.asarray(shape[y : y + h, x : x + w], np.uint8)


def upright_shapes(inks: Mapping[str, Ink]) -> dict[str, Grey]:
    """Traced shapes of one source: the cameras' common slant taken out, symmetric characters made symmetric."""
    slant = float(np.median([_slant(trace(inks[char])) for char in "08"]))
    straight = {char: _shear(ink, slant) for char, ink in inks.items()}
    straight["6"] = _mean(_centred(straight["6"]), _centred(straight["9"])[::-1, ::-1])
    straight["9"] = straight["6"][::-1, ::-1].copy()
    shapes = {}
    for char, ink in straight.items():
        even = _centred(ink)
        if char in MIRRORED:
            even = _mean(even, even[:, ::-1])
        if char in FLIPPED:
            even = _mean(even, even[::-1])
        if char in TURNED:
            even = _mean(even, even[::-1, ::-1])
        shapes[char] = trace(even)
    return shapes


def _mean(first: Ink, second: Ink) -> Ink:
    return np.asarray((first + second) / 2, np.float32)


def _slant(mask: Grey) -> float:
    """Horizontal lean of a shape that should be upright, in pixels per pixel of height."""
    moments = cv2.moments(mask, True)
    return float(moments["mu11"] / moments["mu02"])


def _shear(ink: Ink, slant: float) -> Ink:
    """`ink` with `slant` taken out about its middle row."""
    height, width = ink.shape
    move = np.array([[1, -slant, slant * (height - 1) / 2], [0, 1, 0]], np.float64)
    sheared = cv2.warpAffine(ink, move, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sheared, np.float32)


def _centred(ink: Ink) -> Ink:
    """`ink` moved so that the middle of its traced outline is the middle of the picture."""
    big = cv2.resize(ink, None, fx=TRACE, fy=TRACE, interpolation=cv2.INTER_CUBIC)
    edge = MARGIN * TRACE // 2
    x, y, w, h = cv2.boundingRect((big[edge:-edge, edge:-edge] > 0.5).astype(np.uint8))
    height, width = ink.shape
    move_x = (width - 1) / 2 - ((edge + x + (w - 1) / 2 + 0.5) / TRACE - 0.5)
    move_y = (height - 1) / 2 - ((edge + y + (h - 1) / 2 + 0.5) / TRACE - 0.5)
    move = np.array([[1, 0, move_x], [0, 1, move_y]], np.float64)
    moved = cv2.warpAffine(ink, move, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _align(ink: Ink, mean: Ink) -> Ink | None:
    """`ink` moved onto `mean` by an affine map (ECC, Evangelidis and Psarakis 2008); None if they do not match."""
    start = np.eye(2, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-4)
    try:
        match, move = cv2.findTransformECC(
            mean, ink, start, cv2.MOTION_AFFINE, criteria, np.full(ink.shape, 255, np.uint8), 5
        )
    except cv2.error:  # raised when the iteration diverges: the cut is no such character
        return None
    if match < 0.85:
        return None
    flags = cv2.INTER_CUBIC + cv2.WARP_INVERSE_MAP
    size = (ink.shape[1], ink.shape[0])
    return np.asarray(cv2.warpAffine(ink, move, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)


def finish(set_name: SetName, derived: Mapping[str, Grey]) -> dict[str, Grey]:
    """All characters of a set in its box: upright, with the set's stroke; the missing ones by hand."""
    width_mm, height_mm, pen_mm = BOX_MM[set_name]
    box = (round(width_mm * PX_PER_MM), round(height_mm * PX_PER_MM))
    masks: dict[str, Grey] = {}
    for char in STROKES:
        if char not in derived:
            mask = stroke_mask(char, width_mm=width_mm, height_mm=height_mm, pen_mm=pen_mm, px_per_mm=PX_PER_MM)
            masks[char] = _rounded(mask, round(pen_mm * PX_PER_MM * 0.25))
            continue
        share = 1.0 if char in FULL_WIDTH else min(1.0, derived[char].shape[1] / (TRACE * BOX_WIDTH))
        masks[char] = _fit(derived[char], box, share, pen_mm * PX_PER_MM)
    return masks


def _fit(mask: Grey, box: tuple[int, int], share: float, pen: float) -> Grey:
    """The shape stretched to the box's height and `share` of its width, centred, its strokes brought to `pen` wide.

    Growing the strokes would grow the outline too: the shape is reduced first, so that it fills the box after.
    """
    target = (max(round(share * box[0]), round(pen)), box[1])
    shape = mask
    grown = 0
    for _ in range(3):
        inner = (max(4, target[0] - 2 * grown), max(4, target[1] - 2 * grown))
        core = np.asarray(cv2.resize(mask, inner, interpolation=cv2.INTER_AREA)) > 127
        around = np.asarray(cv2.copyMakeBorder((core * 255).astype(np.uint8), *(max(0, grown) + 40,) * 4, 0), np.uint8)
        changed = grow(around, grown)
        x, y, w, h = cv2.boundingRect(changed)
        shape = np.asarray(changed[y : y + h, x : x + w], np.uint8)
        grown += round((pen - _stroke_width(shape)) / 2)
    fitted = cv2.resize(shape, target, interpolation=cv2.INTER_AREA)
    result = np.zeros((box[1], box[0]), np.uint8)
    left = (box[0] - target[0]) // 2
    result[:, left : left + target[0]] = fitted[:, : box[0]]
    smooth = cv2.GaussianBlur(cv2.copyMakeBorder(result, 20, 20, 20, 20, 0), (0, 0), 5)
    return ((smooth[20:-20, 20:-20] > 127) * 255).astype(np.uint8)


def _rounded(mask: Grey, radius: int) -> Grey:
    """The mask with its outer corners rounded, as embossed letters have them."""
    return grow(grow(mask, -radius), radius)


def _stroke_width(shape: Grey) -> float:
    """Typical stroke in pixels: twice the distance from the strokes' middle lines to the nearest edge."""
    distance = cv2.distanceTransform(cv2.copyMakeBorder(shape, 2, 2, 2, 2, 0), cv2.DIST_L2, 5)
    ridge = (distance >= cv2.dilate(distance, np.ones((3, 3), np.uint8))) & (distance > 4)
    return float(2 * np.median(distance[ridge]))


def sheet(masks: Mapping[SetName, Mapping[str, Grey]]) -> Grey:
    """All shapes of all sets, black on white, a row a set."""
    rows = []
    for shapes in masks.values():
        tiles = [
            cv2.copyMakeBorder(255 - cv2.resize(mask, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA), *(8,) * 4, 0)
            for mask in shapes.values()
        ]
        rows.append(np.hstack(tiles))
    width = max(row.shape[1] for row in rows)
    return np.vstack([cv2.copyMakeBorder(row, 0, 0, 0, width - row.shape[1], cv2.BORDER_CONSTANT) for row in rows])
