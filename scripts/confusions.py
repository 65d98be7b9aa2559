"""Measures how likely a reader takes one character for another, and writes the table that the watch-lists use.

    python -m scripts.confusions --data LABELLED_FOLDER

P(read | truth) of every pair is the reader's own probability for the character at each position, summed over plates
that it was not trained on: the held-out part of the training split (`scripts.train.reader.held_out`) and freshly
rendered plates, both distorted hard so that rare confusions appear. The dev split is left alone: it is there to score
the engine, and the costs decide what the engine matches.

So is how likely a character is left out, or read where there is none: the reader's probability for the plate's text
with one character less, or more, summed over all these reads (`slips`), per character and per place between them.

A read counts if it has as many characters as the plate and at most MOST_WRONG of them are wrong: further off, its
positions do not line up, and a watch-list looks one character away at most. A plate counts once however often it was
distorted, a real one REAL_WEIGHT times. Few occurrences are smoothed by PRIOR imaginary ones in which every confusion
has the probability of an unlisted pair. Characters that hardly occur on plates keep the rows of the present table.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anpr.nets.model import ModelFolder
from anpr.nets.session import Session
from anpr.plates.confusions import ANY, UNLISTED
from anpr.records import ALPHABET, EMPTY
from scripts.render.spec import sample_spec
from scripts.train.labels import load_pictures
from scripts.train.plates import picture_of
from scripts.train.reader import REAL_CATEGORIES, held_out
from scripts.train.reader_data import PlateSample, blur, distort, encode_text, real_samples, shade, standardise

TABLE = Path("anpr/plates/confusions.csv")
MOST_WRONG = 2
REAL_WEIGHT = 5.0
PRIOR = 20.0
LEAST_SEEN = 10.0
"""Weighted occurrences from which a character is measured."""
DRAWN_ROUNDS = 2
"""Distortions of each rendered plate."""
BATCH = 128


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """What was read for what."""

    sums: NDArray[np.float64]
    """(36 true, 36 read) summed probabilities; a row sums to the occurrences of its character."""
    reads: int
    """Those that lined up with their text."""
    wrong: int
    """Characters among them of which another was most probable."""
    slips: Slips
    """Of all reads."""


@dataclass(frozen=True, slots=True)
class Slips:
    """Characters left out, and characters read where there is none."""

    reads: int = 0
    characters: int = 0
    """Of the plates that were read."""
    left_out: float = 0.0
    """Summed probabilities of the texts with one character less …"""
    added: float = 0.0
    """… and of those with one more."""
    shorter: int = 0
    """Reads of which a text with one character less was most probable …"""
    longer: int = 0
    """… and those of which one with one more was."""

    @property
    def places(self) -> int:
        """Where a character may have been added: before each one and after the last."""
        return self.characters + self.reads


def spoilt_hard(sample: PlateSample, rng: np.random.Generator) -> NDArray[np.float32]:
    """A plate distorted as for training and then spoilt once more, on grey levels."""
    grey = np.clip(distort(sample, rng) * 50 + 128, 0, 255).astype(np.uint8)
    return standardise(shade(blur(grey, rng), rng)).astype(np.float32)


def slips(lattices: NDArray[np.float64], texts: Sequence[str]) -> Slips:
    """How probable the reader holds each plate's text with one character less, or more; lattices (n, slots, 37)."""
    characters = left_out = added = shorter = longer = 0.0
    for lattice, text in zip(lattices, texts, strict=True):
        truth, best = encode_text(text), lattice.argmax(axis=1)
        length, slots = len(text), len(lattice)
        characters += length
        as_read = "".join(ALPHABET[character] for character in best if character != EMPTY)
        before = np.concatenate([[1.0], np.cumprod(lattice[np.arange(slots), truth])])
        less = {
            text[:place] + text[place + 1 :]: before[place] * _chance(lattice[place:], text[place + 1 :])
            for place in range(length)
        }
        left_out += sum(less.values())
        shorter += as_read in less
        if length < slots:
            more = {
                text[:place] + character + text[place:]: before[place]
                * lattice[place, ALPHABET.index(character)]
                * _chance(lattice[place + 1 :], text[place:])
                for place in range(length + 1)
                for character in ALPHABET
            }
            added += sum(more.values())
            longer += as_read in more
    return Slips(len(texts), int(characters), left_out, added, int(shorter), int(longer))


def _chance(lattice: NDArray[np.float64], text: str) -> float:
    """Of a text that begins with the lattice and ends before it."""
    rows = [*map(ALPHABET.index, text), *[EMPTY] * (len(lattice) - len(text))]
    return float(np.prod(lattice[np.arange(len(lattice)), rows]))


def count(lattices: NDArray[np.float64], texts: Sequence[str]) -> Counted:
    """Sum the probabilities (n, slots, 37) by true character."""
    sums = np.zeros((EMPTY, EMPTY))
    reads = wrong = 0
    for lattice, text in zip(lattices, texts, strict=True):
        truth, best = encode_text(text), lattice.argmax(axis=1)
        if ((truth == EMPTY) != (best == EMPTY)).any() or (truth != best).sum() > MOST_WRONG:
            continue
        reads += 1
        wrong += int((truth != best).sum())
        rows = lattice[: len(text), :EMPTY]
        np.add.at(sums, truth[: len(text)], rows / rows.sum(axis=1, keepdims=True))
    return Counted(sums, reads, wrong, slips(lattices, texts))


def probabilities(occurrences: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """truth -> read -> P(read | truth), of measured characters and of confusions likelier than `UNLISTED`.

    `occurrences`: (36 true, 36 read), weighted.
    """
    table = {}
    for truth, row in zip(ALPHABET, occurrences, strict=True):
        if row.sum() >= LEAST_SEEN:
            smoothed = zip(ALPHABET, (row + PRIOR * UNLISTED) / (row.sum() + PRIOR), strict=True)
            table[truth] = {read: float(p) for read, p in smoothed if read != truth and p > UNLISTED}
    return table


def rate(slipped: float, chances: float) -> float:
    """Smoothed as a rare confusion is."""
    return (slipped + PRIOR * UNLISTED) / (chances + PRIOR)


def read_rows(path: Path) -> list[tuple[str, str, str]]:
    """The table as it is: (truth, read, probability as written)."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [(row["truth"], row["read"], row["probability"]) for row in csv.DictReader(lines)]


def real_inputs(data: Path, rounds: int, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.float32], str]]:
    """Held-out real plates, each distorted `rounds` times."""
    pictures = load_pictures(data, split="train", categories=REAL_CATEGORIES)
    samples = real_samples([picture for picture in pictures if held_out(picture)])
    for _ in range(rounds):
        for sample in samples:
            yield spoilt_hard(sample, rng), sample.text


def drawn_inputs(number: int, rounds: int, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.float32], str]]:
    """Rendered plates of every format, each distorted `rounds` times."""
    for _ in range(number):
        spec = sample_spec(rng)
        sample = PlateSample(*picture_of(spec, [], rng), spec.text, loose=False)
        for _ in range(rounds):
            yield spoilt_hard(sample, rng), spec.text


def measure(session: Session, inputs: Iterator[tuple[NDArray[np.float32], str]]) -> Counted:
    """Read all inputs and count."""
    rows = list(inputs)
    temperature = session.model.facts.output.temperature
    parts = []
    for start in range(0, len(rows), BATCH):
        logits = session.run(np.stack([luma for luma, _ in rows[start : start + BATCH]])[:, None]) / temperature
        chances = np.exp(logits.astype(np.float64) - logits.max(axis=2, keepdims=True))
        parts.append(chances / chances.sum(axis=2, keepdims=True))
    return count(np.concatenate(parts), [text for _, text in rows])


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with labels.csv and images/")
    parser.add_argument("--reader", default="reader", help="model folder or name")
    parser.add_argument("--rounds", type=int, default=20, help="distortions of each real plate")
    parser.add_argument("--drawn", type=int, default=1500, help="rendered plates, each distorted twice")
    parser.add_argument("--seed", type=int, default=2001)
    parser.add_argument("--output", type=Path, default=TABLE)
    arguments = parser.parse_args()
    session = Session.open(ModelFolder.load(arguments.reader, "reader"))
    rng = np.random.default_rng(arguments.seed)
    real = measure(session, real_inputs(arguments.data, arguments.rounds, rng))
    drawn = measure(session, drawn_inputs(arguments.drawn, DRAWN_ROUNDS, rng))
    table = probabilities(REAL_WEIGHT * real.sums / arguments.rounds + drawn.sums / DRAWN_ROUNDS)
    kept = [row for row in read_rows(TABLE) if row[0] not in ("", ANY, *table)]
    measured = [(truth, read, f"{p:.5f}") for truth, row in table.items() for read, p in row.items()]
    parts = ((REAL_WEIGHT / arguments.rounds, real.slips), (1.0 / DRAWN_ROUNDS, drawn.slips))
    left_out = rate(sum(w * its.left_out for w, its in parts), sum(w * its.characters for w, its in parts))
    added = rate(sum(w * its.added for w, its in parts), sum(w * its.places for w, its in parts))
    measured += [(ANY, "", f"{left_out:.6f}"), ("", ANY, f"{added:.6f}")]
    rows = sorted([*kept, *measured])
    facts = [
        f"measured of {session.model.label} by python -m scripts.confusions"
        f" --rounds {arguments.rounds} --drawn {arguments.drawn} --seed {arguments.seed}",
        *(
            f"{name} plates: {one.reads} reads lined up, {one.wrong} of their {one.sums.sum():.0f} characters wrong"
            for name, one in (("held-out real", real), ("rendered", drawn))
        ),
        *(
            f"{name} plates, of all {one.reads} reads with {one.characters} characters: {one.shorter} with one"
            f" character left out, {one.longer} with one added"
            for name, one in (("held-out real", real.slips), ("rendered", drawn.slips))
        ),
        f"not measured, estimated by shape: {''.join(c for c in ALPHABET if c not in table) or 'none'}",
    ]
    with arguments.output.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"# {fact}\n" for fact in facts)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["truth", "read", "probability"])
        writer.writerows(rows)
    print("\n".join([*facts, f"{arguments.output}: {len(rows)} pairs"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
