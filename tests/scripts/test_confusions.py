"""Measured confusions: what counts, what it becomes, and that the written table is one that the engine loads."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="the held-out part is defined by the training program: pip install '.[train]'")
pytest.importorskip("matplotlib", reason="training needs the extra 'train'")

from anpr.plates.confusions import UNLISTED, load_confusions
from anpr.records import ALPHABET, EMPTY
from scripts import confusions
from scripts.confusions import LEAST_SEEN, PRIOR, count, probabilities, rate, slips
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


def chance_of(rows: np.ndarray, text: str) -> float:
    """Of a whole text."""
    return float(np.prod([row[character] for row, character in zip(rows, encode_text(text), strict=True)]))


@settings(max_examples=60, deadline=None)
@given(st.text("0188AB", min_size=1, max_size=10), st.integers(0, 2**32 - 1))
def test_slips_are_the_chances_of_all_texts_with_one_character_less_or_more(text: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(EMPTY + 1, 0.05), 10)
    rows[:, [0, 1, 8, 10, 11, EMPTY]] += 0.3
    rows /= rows.sum(axis=1, keepdims=True)
    less = {text[:place] + text[place + 1 :] for place in range(len(text))}
    more = {text[:place] + each + text[place:] for place in range(len(text) + 1) for each in ALPHABET}
    found = slips(rows[None], [text])
    assert found.left_out == pytest.approx(sum(chance_of(rows, each) for each in less))
    assert found.added == pytest.approx(sum(chance_of(rows, each) for each in more) if len(text) < 10 else 0.0)
    assert (found.reads, found.characters, found.places) == (1, len(text), len(text) + 1)


def test_slips_count_the_reads_that_slipped() -> None:
    reads = ["30A1234", "30A112345", "30A12345", "30A12346", ""]
    found = slips(np.stack([lattice(read) for read in reads]), ["30A12345"] * 5)
    assert (found.shorter, found.longer) == (1, 1)
    assert (found.left_out, found.added) == (1.0, 1.0)
    doubtful = slips(np.stack([lattice("30A12345", doubt=(7, "", 0.25))]), ["30A12345"])
    assert (doubtful.shorter, doubtful.left_out) == (0, 0.25)
    assert rate(3.0, 1e6) == pytest.approx(3e-6, rel=0.01)
    assert rate(0.0, 0.0) == pytest.approx(UNLISTED)


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
    assert "held-out real plates, of all " in lines[3]
    assert "not measured, estimated by shape:" in lines[5]
    table = load_confusions(output)
    assert 0.0 < table.left_out < 0.5
    assert 0.0 < table.added < 0.5
    np.testing.assert_allclose(np.exp(-load_confusions(output).costs).sum(axis=0), 1.0)
