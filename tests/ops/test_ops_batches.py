"""The batched operations on every backend, against the single-picture functions of the processor.

Tolerances: an area average may differ by 0.02 grey levels (the processor adds in float32, a GPU in whole numbers), what
lies between pixels by 0.05; a standardised crop by 0.02 deviations; 10 bits by half a level more, which the processor
rounds off. What is counted or copied is equal.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from anpr.errors import DeviceError
from anpr.ops import contract, cpu, cpu_matching
from anpr.ops.contract import BLOCK_PX, CELL_PX, LOOKED_AT, NOISE, PEAKS_MOST
from anpr.ops.matching_contract import SLOTS
from anpr.plates.forms import LONGEST
from anpr.records import ALPHABET

MEAN, SCALE = 110.0, 1 / 60
SHRUNK, BETWEEN, STANDARD, HALF = 0.02, 0.05, 0.02, 0.5


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def smooth(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return cv2.GaussianBlur(noise(height, width, seed), (0, 0), 4)


def chroma_like(luma: NDArray[Any], seed: int = 0) -> NDArray[Any]:
    rows, columns = (luma.shape[0] + 1) // 2, (luma.shape[1] + 1) // 2
    return np.stack([smooth(rows, columns, seed + 1), smooth(rows, columns, seed + 2)], axis=2)


def ten_bits(plane: NDArray[np.uint8], seed: int = 9) -> NDArray[np.uint16]:
    """P010: two more bits below, in the upper bits of 16."""
    below = np.random.default_rng(seed).integers(0, 4, plane.shape, dtype=np.uint16)
    return (plane.astype(np.uint16) << 8) + (below << 6)


def test_every_backend_offers_the_whole_contract(bench: Any) -> None:
    for name in contract.BATCH_NAMES:
        assert hasattr(bench.batches, name)
    assert set(contract.BATCH_NAMES) == {name for name in vars(contract.Batches) if not name.startswith("_")}


def test_an_unknown_backend_of_batches_is_refused_with_its_cure() -> None:
    with pytest.raises(DeviceError, match="cuda"):
        contract.open_batches("quantum")  # type: ignore[arg-type]


def test_arrays_go_and_come_back(bench: Any) -> None:
    values = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    array = bench.batches.put(values)
    assert np.array_equal(bench.batches.fetch(array)[0], values)
    bench.batches.put(values[:2] + 100, array)
    blank = bench.batches.empty((2, 3), np.int32)
    some, zeros = bench.batches.fetch(array, blank)
    assert np.array_equal(some, np.concatenate([values[:2] + 100, values[2:]]))
    assert zeros.dtype == np.int32
    assert not zeros.any()
    with pytest.raises(ValueError, match="into"):
        bench.batches.put(values[:, :2], array)


SIZES = [(1080, 1920), (2160, 3840), (1519, 2687), (401, 600), (90, 120), (383, 641), (384, 640)]


@pytest.mark.parametrize("half", [False, True])
def test_letterbox_of_a_batch_is_that_of_each_picture(bench: Any, half: bool) -> None:
    lumas = [noise(*size, seed=index) for index, size in enumerate(SIZES)]
    canvas = bench.batches.put(np.full((len(SIZES) + 1, 1, 192, 320), 7, np.float16 if half else np.float32))
    boxes = bench.batches.letterbox_surfaces([bench.surface(luma) for luma in lumas], canvas, mean=MEAN, scale=SCALE)
    found = bench.batches.fetch(canvas)[0].astype(np.float32)
    for luma, box, got in zip(lumas, boxes, found, strict=False):
        expected = np.empty((192, 320), np.float32)
        assert box == cpu.letterbox_luma(luma, expected, mean=MEAN, scale=SCALE)
        tolerance = SCALE * (SHRUNK if box.width_px < luma.shape[1] else BETWEEN) + (0.002 if half else 0)
        assert np.abs(got[0] - expected).max() <= tolerance
        assert not got[0, box.height_px :].any()
        assert not got[0, :, box.width_px :].any()
    assert (found[-1] == 7).all()


@pytest.mark.parametrize("size", [(1080, 1920), (75, 101)])
def test_letterbox_of_ten_bits_keeps_the_fraction(bench: Any, size: tuple[int, int]) -> None:
    luma = np.minimum(noise(*size), 254)
    canvas = bench.batches.empty((2, 1, 96, 160), np.float32)
    surfaces = [bench.surface(luma.astype(np.uint16) << 8), bench.surface(ten_bits(luma))]
    bench.batches.letterbox_surfaces(surfaces, canvas, mean=0.0, scale=1.0)
    whole, finer = bench.batches.fetch(canvas)[0][:, 0]
    expected = np.empty((96, 160), np.float32)
    cpu.letterbox_luma(luma, expected, mean=0.0, scale=1.0)
    assert np.abs(whole - expected).max() <= BETWEEN
    fraction = np.empty((96, 160), np.float32)
    box = cpu.letterbox_luma(((ten_bits(luma) & 255) >> 6).astype(np.uint8), fraction, mean=0.0, scale=0.25)
    shown = (slice(box.height_px), slice(box.width_px))
    assert np.abs(finer - expected - fraction)[shown].max() <= BETWEEN + HALF * (bench.name == "cpu")


@pytest.mark.parametrize("canvas", [(192, 320), (288, 480), (32, 64)])
def test_blocks_of_a_batch_are_those_of_each_picture(bench: Any, canvas: tuple[int, int]) -> None:
    lumas = [noise(*size, seed=index) for index, size in enumerate(SIZES)]
    shape = (canvas[0] // BLOCK_PX, canvas[1] // BLOCK_PX, BLOCK_PX**2)
    blocks = bench.batches.empty((len(SIZES), *shape), np.uint8)
    boxes = bench.batches.blocks_of_surfaces([bench.surface(luma) for luma in lumas], blocks, fill=110)
    for luma, box, got in zip(lumas, boxes, bench.batches.fetch(blocks)[0], strict=True):
        expected = np.empty(shape, np.uint8)
        assert box == cpu.letterbox_blocks(luma, expected, fill=110)
        differing = got.astype(int) - expected
        assert np.abs(differing).max() <= 1  # a level just between two may be rounded either way
        assert (differing != 0).mean() < 0.01


@pytest.mark.parametrize("size", [(96, 160), (50, 70)])
def test_the_brightest_of_ten_bits_stays_white(bench: Any, size: tuple[int, int]) -> None:
    white = bench.surface(np.full(size, 1023 << 6, np.uint16))
    blocks = bench.batches.empty((1, 12, 20, BLOCK_PX**2), np.uint8)
    bench.batches.blocks_of_surfaces([white], blocks, fill=255)
    assert (bench.batches.fetch(blocks)[0] == 255).all()


def test_seventy_pictures_of_any_size_are_one_batch(bench: Any) -> None:
    rng = np.random.default_rng(5)
    lumas = [noise(*rng.integers(2, 160, 2).tolist(), seed=index) for index in range(70)]
    surfaces = [bench.surface(luma, padding_bytes=index) for index, luma in enumerate(lumas)]
    canvas, blocks = bench.batches.empty((70, 1, 36, 60), np.float32), bench.batches.empty((70, 9, 15, 16), np.uint8)
    boxes = bench.batches.letterbox_surfaces(surfaces, canvas, mean=0.0, scale=1.0)
    assert boxes == bench.batches.blocks_of_surfaces(surfaces, blocks, fill=0)
    planes, squares = bench.batches.fetch(canvas, blocks)
    pixels = squares.reshape(70, 9, 15, 4, 4).swapaxes(2, 3).reshape(70, 36, 60)
    for luma, box, plane, bytes_ in zip(lumas, boxes, planes[:, 0], pixels, strict=True):
        expected = np.empty((36, 60), np.float32)
        assert box == cpu.letterbox_luma(luma, expected, mean=0.0, scale=1.0)
        assert np.abs(plane - expected).max() <= BETWEEN
        assert np.abs(bytes_ - expected).max() <= HALF + BETWEEN


def plates(count: int, width: int, height: int, seed: int = 3) -> NDArray[np.float32]:
    """Quadrilaterals in perspective, some partly outside the picture."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform(0, 1, (count, 1, 2)) * [width, height]
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * rng.uniform(8, 90, (count, 1, 1)) * [1, 0.4]
    return (middle + half + rng.uniform(-3, 3, (count, 4, 2))).astype(np.float32)


@pytest.mark.parametrize("half", [False, True])
def test_plates_of_many_surfaces_come_into_one_batch(bench: Any, half: bool) -> None:
    lumas = [smooth(1080, 1920), smooth(333, 517, 1), smooth(2160, 3840, 2)]
    surfaces = [bench.surface(luma) for luma in lumas]
    quads = np.concatenate([plates(18, 517, 333), plates(2, 3840, 2160)])
    quads[3] = 50.0
    of_plate = [index % 3 for index in range(18)] + [2, 2]
    crops = bench.batches.empty((21, 1, 64, 128), np.float16 if half else np.float32)
    contrasts = bench.batches.empty((21,), np.float32)
    bench.batches.rectify_plates([surfaces[index] for index in of_plate], quads, crops, contrasts, margin=0.02)
    found, deviations = bench.batches.fetch(crops, contrasts)
    for quad, index, got, deviation in zip(quads, of_plate, found[:, 0].astype(np.float32), deviations, strict=False):
        expected = np.empty((64, 128), np.float32)
        contrast = cpu.rectify(lumas[index], quad, expected, margin=0.02)
        assert deviation == pytest.approx(contrast, abs=0.02, rel=1e-3)
        assert np.abs(got - expected).max() <= STANDARD + (0.004 if half else 0)
    assert not found[3].any()
    assert not found[-1].any()


def test_sixty_plates_need_no_more_than_two_launches(bench: Any) -> None:
    luma = smooth(400, 600)
    quads = plates(60, 600, 400)
    crops, contrasts = bench.batches.empty((60, 1, 16, 32), np.float32), bench.batches.empty((60,), np.float32)
    bench.batches.rectify_plates([bench.surface(luma)] * 60, quads, crops, contrasts, margin=0.0)
    found = bench.batches.fetch(crops)[0]
    for quad, got in zip(quads, found[:, 0], strict=True):
        expected = np.empty((16, 32), np.float32)
        cpu.rectify(luma, quad, expected, margin=0.0)
        assert np.abs(got - expected).max() <= STANDARD
    if hasattr(bench.driver, "launches"):
        assert bench.driver.launches == ["rectify", "rectify"]


def test_plates_of_ten_bits(bench: Any) -> None:
    luma = smooth(200, 300)
    quads = plates(4, 300, 200)
    crops, contrasts = bench.batches.empty((4, 1, 64, 128), np.float32), bench.batches.empty((4,), np.float32)
    surfaces = [bench.surface(luma.astype(np.uint16) << 8), bench.surface(ten_bits(luma))] * 2
    bench.batches.rectify_plates(surfaces, quads, crops, contrasts, margin=0.02)
    found, deviations = bench.batches.fetch(crops, contrasts)
    for index, quad in enumerate(quads):
        expected = np.empty((64, 128), np.float32)
        contrast = cpu.rectify(luma, quad, expected, margin=0.02)
        assert deviations[index] == pytest.approx(contrast, rel=0.05)
        assert np.abs(found[index, 0] - expected).max() <= STANDARD + (2 * HALF / contrast) * (index % 2)


def maps_of(rng: np.random.Generator, pictures: int, height: int, width: int) -> NDArray[np.float32]:
    maps = rng.normal(0, 1, (pictures, 10, height, width)).astype(np.float16).astype(np.float32)
    maps[:, 0] = np.round(rng.uniform(0, 1, (pictures, height, width)) ** 20, 2)  # many equal neighbours
    return maps


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("size", [(48, 80), (13, 7), (1, 1), (90, 161)])
def test_peaks_are_the_same_ones_in_the_same_order(bench: Any, size: tuple[int, int], half: bool) -> None:
    dtype = np.float16 if half else np.float32
    maps = maps_of(np.random.default_rng(7), 4, *size).astype(dtype)
    maps[0, 0] = 0
    maps[1, 0, 0, 0] = np.nan
    peaks, counts = bench.batches.put(np.ones((5, 16, 10), np.float32)), bench.batches.put(np.full(5, -1, np.int32))
    bench.batches.peaks_of_maps(bench.batches.put(maps), peaks, counts, pictures=4, threshold=0.5, stride=8)
    rows, found = bench.batches.fetch(peaks, counts)
    for picture in range(4):
        expected = cpu.find_peaks(maps[picture].astype(np.float32), threshold=0.5, stride=8, most=16)
        assert found[picture] == len(expected)
        assert np.abs(rows[picture, : len(expected)] - expected).max(initial=0) < 1e-3
        assert not rows[picture, len(expected) :].any()
    assert found[0] == 0
    assert found[4] == -1
    assert (rows[4] == 1).all()


def test_more_peaks_than_are_looked_at_are_cut_the_same_way(bench: Any) -> None:
    maps = np.zeros((1, 10, 48, 80), np.float32)
    maps[0, 0, ::2, ::2] = np.linspace(0.5, 1, 24 * 40).reshape(24, 40)
    peaks, counts = bench.batches.empty((1, PEAKS_MOST, 10), np.float32), bench.batches.empty((1,), np.int32)
    bench.batches.peaks_of_maps(bench.batches.put(maps), peaks, counts, pictures=1, threshold=0.5, stride=8)
    rows, found = bench.batches.fetch(peaks, counts)
    assert found.tolist() == [PEAKS_MOST]
    assert np.array_equal(rows[0], cpu.find_peaks(maps[0], threshold=0.5, stride=8, most=PEAKS_MOST))


def test_colours_of_plates_on_many_surfaces(bench: Any) -> None:
    sizes = [(1080, 1920), (333, 517), (90, 121)]
    lumas = [np.zeros(size, np.uint8) for size in sizes]
    chromas = [chroma_like(luma, seed) for seed, luma in enumerate(lumas)]
    chromas.append(np.full((45, 61, 2), 128, np.uint8))
    lumas.append(lumas[-1])
    quads = plates(12, 120, 90)
    quads[5] = 3.0
    surfaces = [bench.surface(luma, chroma) for luma, chroma in zip(lumas, chromas, strict=True)]
    surfaces[2] = bench.surface(lumas[2].astype(np.uint16), chromas[2].astype(np.uint16) << 8)
    casts, spreads = bench.batches.empty((13, 2), np.float32), bench.batches.empty((13,), np.float32)
    bench.batches.chroma_of_plates([surfaces[index % 4] for index in range(12)], quads, casts, spreads)
    found, deviations = bench.batches.fetch(casts, spreads)
    for index, quad in enumerate(quads):
        u, v = np.moveaxis(chromas[index % 4], 2, 0)
        assert found[index] == pytest.approx(cpu.plate_chroma(u, v, quad), abs=0.1)
        assert deviations[index] == pytest.approx(cpu.chroma_spread(u, v), rel=1e-4)
    assert found[5].tolist() == [0, 0]
    assert deviations[3] == 0


def test_motion_of_many_cameras(bench: Any) -> None:
    rng = np.random.default_rng(4)
    sizes = [(1080, 1920), (240, 385), (49, 63)]
    grounds = [rng.uniform(60, 140, size) for size in sizes]
    shapes = [(height // CELL_PX, width // CELL_PX) for height, width in sizes]
    lanes = [np.asarray(rng.uniform(0, 1, shape) < 0.8, np.uint8) for shape in shapes]

    def show(moment: int) -> list[NDArray[np.uint8]]:
        pictures = []
        for ground in grounds:
            picture = ground * (1 + 0.02 * moment) + rng.normal(0, 2, ground.shape)
            left = 64 * moment % 300
            picture[10:200, left : left + 150] = 30
            pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
        return pictures

    batches = bench.batches
    levels = [batches.empty(shape, np.float32) for shape in shapes]
    scenes = [batches.empty((3, *shape), np.float32) for shape in shapes]
    inside = [batches.put(lane) for lane in lanes]
    moved = batches.empty((4,), np.int32)
    first = show(0)
    batches.start_scenes([bench.surface(luma) for luma in first], levels, scenes, noise=3.0)
    expected_levels = [np.empty(shape, np.float32) for shape in shapes]
    for luma, level in zip(first, expected_levels, strict=True):
        cpu.cell_levels(luma, level)
    expected = [np.stack([level, np.full_like(level, 3), level]) for level in expected_levels]
    most = [0, 0, 0]
    for moment in range(1, 6):
        lumas = show(moment)
        surfaces = [bench.surface(luma, padding_bytes=32 * moment) for luma in lumas]
        surfaces[1] = bench.surface(ten_bits(lumas[1]))
        batches.motion_of_surfaces(surfaces, levels, scenes, inside, moved, noise_factor=6.0, noise_least=0.5)
        counts, *found = batches.fetch(moved, *levels, *scenes)
        for camera, luma in enumerate(lumas):
            cpu.cell_levels(luma, expected_levels[camera])
            count = cpu.find_motion(
                expected_levels[camera],
                expected[camera],
                lanes[camera],
                np.empty_like(lanes[camera]),
                noise_factor=6.0,
                noise_least=0.5,
            )
            assert np.array_equal(found[camera], expected_levels[camera])
            assert counts[camera] == count
            assert np.abs(found[3 + camera] - expected[camera]).max() < 1e-3
            most[camera] = max(most[camera], count)
        if moment == 3:
            batches.note_looks(levels[:2], scenes[:2])
            for camera in range(2):
                expected[camera][LOOKED_AT] = expected_levels[camera]
    assert counts[3] == 0
    assert min(most[:2]) > 10
    assert all((scene[NOISE] >= 0.5).all() for scene in found[3:])


def test_the_motion_of_seventy_cameras_is_one_batch(bench: Any) -> None:
    batches, shape = bench.batches, (4, 5)
    still, busy = np.full((64, 80), 100, np.uint8), np.full((64, 80), 100, np.uint8)
    busy[:, :40] = 20
    levels = [batches.empty(shape, np.float32) for _ in range(70)]
    scenes = [batches.empty((3, *shape), np.float32) for _ in range(70)]
    lanes = [batches.put(np.ones(shape, np.uint8))] * 70
    moved = batches.empty((70,), np.int32)
    batches.start_scenes([bench.surface(still)] * 70, levels, scenes, noise=1.0)
    shown = [bench.surface(busy if camera % 3 == 0 else still) for camera in range(70)]
    batches.motion_of_surfaces(shown, levels, scenes, lanes, moved, noise_factor=6.0, noise_least=0.5)
    counts = batches.fetch(moved)[0]
    assert (counts[::3] > 0).all()
    assert not counts[1::3].any()
    assert not counts[2::3].any()


def some_plates(count: int, seed: int = 11) -> NDArray[np.int64]:
    """Codes of near and far plates, of all lengths; every tenth is none."""
    rng = np.random.default_rng(seed)
    texts = np.zeros((count, LONGEST), np.uint8)
    near = np.frombuffer(b"30F12345", np.uint8)
    alphabet = np.frombuffer(ALPHABET.encode(), np.uint8)
    for row in texts:
        text = [*near]
        for _ in range(int(rng.integers(0, 5))):
            place = int(rng.integers(0, len(text)))
            text[place : place + int(rng.integers(0, 2))] = rng.choice(alphabet, int(rng.integers(0, 2))).tolist()
        row[: len(text[:LONGEST])] = text[:LONGEST]
    codes = cpu_matching.encode_plates(texts)
    codes[::10] = 0
    return codes


@pytest.mark.parametrize("reads", [1, 16, 35])
def test_reads_find_the_plates_that_they_score(bench: Any, reads: int) -> None:
    rng = np.random.default_rng(reads)
    plates = some_plates(3000)
    lattices = rng.dirichlet(np.full(37, 0.02), (reads, SLOTS)).astype(np.float32)
    for slot, character in enumerate("30F12345"):
        lattices[:, slot, ALPHABET.index(character)] += rng.uniform(0, 5, reads).astype(np.float32)
    lattices[:, 8:, -1] += 5
    lattices /= lattices.sum(axis=2, keepdims=True)
    references = np.full(reads, cpu_matching.encode("30F12345"))
    ratios = cpu_matching.weigh_lattices(lattices, references, rng.uniform(0, 0.1, (36, 36)).astype(np.float32))
    bases = rng.uniform(0.1, 1, reads).astype(np.float32)
    found = bench.batches.score_plates(bench.batches.put(plates), ratios, bases, missing=0.1, extra=0.05, least=0.02)
    pairs = np.repeat(np.arange(reads, dtype=np.int32), len(plates))
    scores = cpu_matching.score_pairs(ratios, bases, pairs, np.tile(plates, reads), missing=0.1, extra=0.05)
    expected = np.flatnonzero(scores >= np.float32(0.02))
    assert 0 < len(expected) < len(pairs) * 0.8
    assert np.array_equal(found[0], pairs[expected])
    assert np.array_equal(found[1], expected % len(plates))
    assert np.array_equal(found[2], scores[expected])


@pytest.mark.parametrize("query", ["30F12345", "3", "29LD012345", "ZZZZ"])
def test_an_analyst_finds_every_plate_within_some_edits(bench: Any, query: str) -> None:
    plates = some_plates(2000)
    code = cpu_matching.encode(query)
    stored = bench.batches.put(plates)
    for most in (0, 1, 2, 4, LONGEST):
        positions, edits = bench.batches.plates_within(stored, code, most_edits=most)
        expected_positions, expected_edits = cpu_matching.match_brute(plates, code, most_edits=most)
        assert np.array_equal(positions, expected_positions)
        assert np.array_equal(edits, expected_edits)


def test_more_hits_than_there_is_room_for_are_found_by_a_second_run(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anpr.ops.cuda_matching.FIRST_ROOM", 16)
    plates = np.full(1000, cpu_matching.encode("30F12345"))
    positions, edits = bench.batches.plates_within(
        bench.batches.put(plates), cpu_matching.encode("30F12346"), most_edits=1
    )
    assert np.array_equal(positions, np.arange(1000))
    assert (edits == 1).all()
    if hasattr(bench.driver, "launches"):
        assert bench.driver.launches == ["match_edits", "match_edits"]


def test_nothing_at_all_is_a_batch_too(bench: Any) -> None:
    batches = bench.batches
    canvas, one = batches.empty((1, 1, 32, 64), np.float32), batches.empty((1,), np.float32)
    count, quads = batches.empty((1,), np.int32), np.empty((0, 4, 2), np.float32)
    assert batches.letterbox_surfaces([], canvas, mean=0.0, scale=1.0) == []
    batches.rectify_plates([], quads, canvas, one, margin=0.0)
    batches.chroma_of_plates([], quads, batches.empty((1, 2), np.float32), one)
    batches.motion_of_surfaces([], [], [], [], count, noise_factor=6.0, noise_least=0.5)
    maps, peaks = batches.empty((1, 10, 4, 4), np.float32), batches.empty((1, 4, 10), np.float32)
    batches.peaks_of_maps(maps, peaks, count, pictures=0, threshold=0.5, stride=8)
    assert not any(array.any() for array in batches.fetch(canvas, one, count, peaks))
    none, plates = batches.put(np.empty(0, np.int64)), batches.put(np.ones(3, np.int64))
    ratios, bases = np.ones((1, SLOTS, 37), np.float32), np.ones(1, np.float32)
    assert [len(found) for found in batches.plates_within(none, 1, most_edits=1)] == [0, 0]
    for stored, reads in ((none, 1), (plates, 0)):
        found = batches.score_plates(stored, ratios[:reads], bases[:reads], missing=1.0, extra=1.0, least=0.1)
        assert [len(part) for part in found] == [0, 0, 0]


def test_what_does_not_fit_is_refused_before_anything_runs(bench: Any) -> None:
    batches, surface = bench.batches, bench.surface(noise(40, 60))
    canvas = batches.empty((1, 1, 32, 64), np.float32)
    contrasts = batches.empty((1,), np.float32)
    quad = np.zeros((1, 4, 2), np.float32)
    with pytest.raises(ValueError, match="2 rows are needed"):
        batches.letterbox_surfaces([surface, surface], canvas, mean=0.0, scale=1.0)
    with pytest.raises(ValueError, match="canvas must be float32 or float16"):
        batches.letterbox_surfaces([surface], batches.empty((1, 1, 32, 64), np.int32), mean=0.0, scale=1.0)
    with pytest.raises(ValueError, match="finite"):
        batches.rectify_plates([surface], quad * np.nan, canvas, contrasts, margin=0.0)
    with pytest.raises(ValueError, match="8192 pixels"):
        batches.rectify_plates([surface], quad, batches.empty((1, 1, 65, 128), np.float32), contrasts, margin=0.0)
    with pytest.raises(ValueError, match="quads"):
        batches.chroma_of_plates([surface], quad[:0], batches.empty((1, 2), np.float32), contrasts)
    with pytest.raises(ValueError, match="levels"):
        batches.start_scenes([surface], [canvas], [canvas], noise=1.0)
    plates, ratios = batches.put(np.ones(3, np.int64)), np.ones((1, SLOTS, 37), np.float32)
    for query, most in ((0, 1), (37**10, 1), (1, 11), (1, -1)):
        with pytest.raises(ValueError):
            batches.plates_within(plates, query, most_edits=most)
    with pytest.raises(ValueError, match="least"):
        batches.score_plates(plates, ratios, np.ones(1, np.float32), missing=1.0, extra=1.0, least=0.0)
    with pytest.raises(ValueError, match="bases"):
        batches.score_plates(plates, ratios, np.ones(2, np.float32), missing=1.0, extra=1.0, least=0.1)
    with pytest.raises(ValueError, match="64 peaks"):
        batches.peaks_of_maps(
            batches.empty((1, 10, 4, 4), np.float32),
            batches.empty((1, 65, 10), np.float32),
            batches.empty((1,), np.int32),
            pictures=1,
            threshold=0.5,
            stride=8,
        )


def test_a_surface_of_the_wrong_place_is_refused(bench: Any) -> None:
    other = "device" if bench.batches.place == "host" else "host"
    surface = bench.surface(noise(40, 60))
    wrong = type(surface)(*(getattr(surface, name) for name in surface.__slots__[:7]), other, surface.owner)
    with pytest.raises(ValueError, match=f"must lie on the {bench.batches.place}"):
        bench.batches.letterbox_surfaces([wrong], bench.batches.empty((1, 1, 32, 64), np.float32), mean=0.0, scale=1.0)
