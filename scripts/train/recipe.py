"""`python -m scripts.train recipe`: both models from nothing, in one command that goes on where it was stopped.

Three rounds: the first learns from rendered plates and the boxes that the labels have; then the models themselves say
where the plates of the labelled scenes lie (`quads`) and what they take for plates where there are none (`finds`),
which the next round learns from.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.train.labels import add_open_only

READER_STEPS = (1600, 2400, 4500)
DETECTOR_STEPS = (1750, 3900, 6500)
RATES = ("2e-3", "1.5e-3", "1.2e-3")
PLATES, FRAMES = 30000, 400


@dataclass(frozen=True, slots=True)
class Stage:
    """One verb with its options; `done` exists once it has been run."""

    verb: str
    options: tuple[str, ...]
    done: Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--data", type=Path, required=True, help="folder with labels.csv and images/")
    parser.add_argument("--work", type=Path, default=Path("work/recipe"), help="checkpoints and rendered pictures")
    parser.add_argument("--models", type=Path, default=Path("models"), help="where the model folders go")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="of all steps and counts; less than 1 to try it out")
    add_open_only(parser)
    parser.add_argument(
        "--empty-video", type=Path, action="append", default=[], help="recording without legible plates"
    )
    parser.add_argument("--workers", type=int, default=1)


def stages(arguments: argparse.Namespace) -> Iterator[Stage]:
    """All stages in order."""
    work, data = arguments.work, ["--data", str(arguments.data)]
    if arguments.open_only:
        data.append("--open-only")
    films = [f"--empty-video={path}" for path in arguments.empty_video]

    def some(count: int) -> str:
        return str(max(2, round(count * arguments.scale)))

    def stage(verb: str, name: str, *options: str) -> Stage:
        return Stage(verb, options, work / f"{name}.done")

    frames = work / "frames.npz"
    yield stage("frames", "frames", str(frames), "--count", some(FRAMES))
    for number, steps_reader, steps_detector, rate in zip((1, 2, 3), READER_STEPS, DETECTOR_STEPS, RATES, strict=True):
        seed = str(arguments.seed + number - 1)
        plates, quads = work / f"plates-{number}.npz", work / f"quads-{number - 1}.json"
        yield stage("plates", f"plates-{number}", str(plates), *data, "--count", some(PLATES), "--seed", seed)
        common = [*data, "--rendered", str(plates), "--rate", rate, "--seed", seed, "--device", arguments.device]
        common += ["--workers", str(arguments.workers)]
        for verb, steps in (("reader", steps_reader), ("detector", steps_detector)):
            options = [*common, "--run", str(work / f"{verb}-{number}"), "--steps", some(steps)]
            if number > 1:
                options += ["--quads", str(quads), "--start-from", str(work / f"{verb}-{number - 1}/checkpoint.pt")]
                if verb == "reader":
                    options += ["--finds", str(work / f"finds-{number - 1}.npz")]
            if verb == "detector":
                options += ["--frames", str(frames), *films]
            yield stage(verb, f"{verb}-{number}", *options)
            made_by = f"python -m scripts.train recipe --data DATA --seed {arguments.seed}"
            run = ("--run", str(work / f"{verb}-{number}"), "--made-by", made_by)
            floats = ("--name", verb, "--models", str(work / "models"))
            yield stage("export", f"{verb}-{number}-export", verb, *run, *floats, *data)
        models = [f"--{verb}={work / 'models' / verb}" for verb in ("detector", "reader")]
        yield stage("quads", f"quads-{number}", str(work / f"quads-{number}.json"), *data, *models)
        yield stage("finds", f"finds-{number}", str(work / f"finds-{number}.npz"), *data, models[0], *films)
    for verb in ("detector", "reader"):
        source = str(work / "models" / verb)
        options = (verb, source, "--name", verb, "--models", str(arguments.models), "--method", "minmax", *data)
        yield stage("quantise", f"{verb}-quantise", *options)


def main(arguments: argparse.Namespace) -> int:
    """Run what has not been run yet."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    for stage in stages(arguments):
        if stage.done.exists():
            continue
        print(f"— {stage.verb} {shlex.join(stage.options)}", flush=True)
        module = importlib.import_module(f"scripts.train.{stage.verb}")
        parser = argparse.ArgumentParser(prog=stage.verb)
        module.add_arguments(parser)
        if module.main(parser.parse_args(stage.options)):
            return 1
        stage.done.touch()
    return 0
