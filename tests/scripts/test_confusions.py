"""Measured confusions: what counts, what it becomes, and that the written table is one that the engine loads."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="the held-out part is defined by the training program: pip install '.[train]'")
pytest.importorskip("matplotlib", reason="training needs the extra 'train'")

from anpr.plates.confusions import UNLISTED, load_confusions
from anpr.records import ALPHABET, EMPTY
from scripts import confusions
from scripts.confusions import LEAST_SEEN, PRIOR, count, probabilities
from scripts.train.labels import load_pictures
from scripts.train.reader import held_out
from scripts.train.reader_data import encode_text


def lattice(text: str, *, doubt: tuple[int, str, float] | None = None) -> np.ndarray:
    """(10, 37) probabilities, certain but for one position."""
    rows = np.zeros((10, EMPTY + 1))
    rows[np.arange(10), encode_text(text)] = 1.0
    if doubt:
        position, character, probability = doubt
        rows[position] *= 1 - probability
        rows[position, ALPHABET.index(character) if character else EMPTY] += probability
    return rows


def test_doubt_counts_by_its_probability_and_not_only_as_an_error() -> None:
    counted = count(np.stack([lattice("30A12348", doubt=(7, "B", 0.25))]), ["30A12348"])
    eight, b = ALPHABET.index("8"), ALPHABET.index("B")
    assert (counted.sums[eight, b], counted.sums[eight, eight]) == (0.25, 0.75)
    assert counted.sums.sum() == pytest.approx(8)
    assert (counted.reads, counted.wrong) == (1, 0)


def test_an_empty_position_is_no_confusion() -> None:
    counted = count(np.stack([lattice("30A12348", doubt=(7, "", 0.4))]), ["30A12348"])
    assert counted.sums[8, 8] == pytest.approx(1.0)


@pytest.mark.parametrize("read", ["30A1234", "30A123488", "30A12777", ""])
def test_reads_that_do_not_line_up_are_left_out(read: str) -> None:
    counted = count(np.stack([lattice(read)]), ["30A12348"])
    assert (counted.reads, counted.sums.sum()) == (0, 0.0)


def test_few_occurrences_are_smoothed_and_too_few_are_not_measured() -> None:
    occurrences = np.zeros((EMPTY, EMPTY))
    occurrences[8, [8, 3]] = 990.0, 10.0
    occurrences[3, [3, 8]] = LEAST_SEEN / 2, LEAST_SEEN / 2
    occurrences[5, 6] = LEAST_SEEN * 0.9
    table = probabilities(occurrences)
    assert set(table) == {"8", "3"}
    assert table["8"] == {"3": pytest.approx((10 + PRIOR * UNLISTED) / (1000 + PRIOR))}
    assert table["3"]["8"] < 0.5
    assert all(sum(row.values()) < 1.0 for row in table.values())


def test_the_command_writes_a_table_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with (data / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "split", "kind", "category", "text", "readable", "lines", "boxes", "licence"])
        for number in range(40):
            text, name = f"30A{10000 + 137 * number}", f"{number}.png"
            picture = np.full((60, 160), 200, np.uint8)
            cv2.putText(picture, text, (8, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 10, 2)
            cv2.imwrite(str(data / name), picture)
            writer.writerow([name, "train", "crop", "crops-vn", text, "yes", 1, json.dumps([]), "drawn"])
    assert any(map(held_out, load_pictures(data, split="train")))
    output = tmp_path / "table.csv"
    options = ["--data", str(data), "--rounds", "2", "--drawn", "40", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["confusions", *options])
    written = []
    for _ in range(2):
        assert confusions.main() == 0
        written.append(output.read_text())
    assert written[0] == written[1]
    lines = written[0].splitlines()
    assert lines[0].startswith("# measured of reader@")
    assert "not measured, estimated by shape:" in lines[3]
    np.testing.assert_allclose(np.exp(-load_confusions(output).costs).sum(axis=0), 1.0)
