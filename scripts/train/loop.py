"""The training loop that both nets share: seeded, resumable, with its log, its averaged weights and its schedule."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from scripts.train.artefacts import draw_curves


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """What a run is; a resumed run must have the same."""

    steps: int
    batch: int
    peak_rate: float = 2e-3
    weight_decay: float = 0.02
    warm_up: int = 200
    average: float = 0.999
    """Decay of the averaged weights, the ones that are measured and shipped."""
    evaluate_every: int = 500
    seed: int = 1
    device: str = "cpu"
    threads: int = 1
    workers: int = 1


def add_loop_arguments(parser: argparse.ArgumentParser, *, run: Path, steps: int, batch: int) -> None:
    """The options that every training verb has; `run`, `steps` and `batch` are its defaults."""
    parser.add_argument("--data", type=Path, required=True, help="folder with labels.csv and images/")
    parser.add_argument("--run", type=Path, default=run, help="checkpoints, log and pictures of the run")
    parser.add_argument("--rendered", type=Path, action="append", default=[], help=".npz made by `plates`")
    parser.add_argument("--start-from", type=Path, help="checkpoint of another run to take the weights from")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--rate", type=float, default=2e-3, help="the learning rate's peak")
    parser.add_argument("--evaluate-every", type=int, default=500, help="steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare pictures")


def loop_options(arguments: argparse.Namespace) -> LoopOptions:
    """What `add_loop_arguments` was given on the command line."""
    return LoopOptions(
        steps=arguments.steps,
        batch=arguments.batch,
        peak_rate=arguments.rate,
        evaluate_every=arguments.evaluate_every,
        seed=arguments.seed,
        device=arguments.device,
        threads=arguments.threads,
        workers=arguments.workers,
    )


def learning_rate(step: int, options: LoopOptions) -> float:
    """Linear warm-up, then a half cosine down to 1 % of the peak."""
    if step < options.warm_up:
        return options.peak_rate * (step + 1) / options.warm_up
    done = (step - options.warm_up) / max(1, options.steps - options.warm_up)
    return options.peak_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def young_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """An exponential average that forgets faster while it is young, so that early evaluations mean something."""

    def average(old: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
        weight = min(decay, (1 + float(count)) / (10 + float(count)))
        return old * weight + new * (1 - weight) if old.is_floating_point() else new

    return average


def averaged_weights(state: dict[str, Any]) -> dict[str, Tensor]:
    """The net's averaged weights out of a checkpoint."""
    return {key.removeprefix("module."): value for key, value in state["averaged"].items() if key != "n_averaged"}


def take_weights(net: nn.Module, weights: dict[str, Tensor]) -> None:
    """Put another run's weights into the net; parts that are new, or of another shape, keep their first values.

    These are named. Raises ValueError if the other run has parts that this net lacks.
    """
    own = net.state_dict()
    if unknown := sorted(set(weights) - set(own)):
        raise ValueError(f"the run to start from is of another net: it has {', '.join(unknown)}")
    new = sorted(name for name, value in own.items() if name not in weights or weights[name].shape != value.shape)
    if new:
        print(f"new in this net: {', '.join(new)}", flush=True)
    net.load_state_dict(own | {name: value for name, value in weights.items() if name not in new})


def train(
    net: nn.Module,
    batches: Dataset[Any],
    loss: Callable[[nn.Module, Sequence[Tensor]], Tensor],
    evaluate: Callable[[nn.Module, int], dict[str, float]],
    *,
    run: Path,
    options: LoopOptions,
    start_from: Path | None = None,
) -> nn.Module:
    """Train until `options.steps`, continuing from `run/checkpoint.pt` if it is there; returns the averaged net.

    Writes `run/checkpoint.pt` (weights, averages, optimiser, step) at every evaluation and `run/log.jsonl`, one line
    an evaluation, drawn as `run/curves.png`. `start_from` takes the first weights from another run's checkpoint.
    """
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    run.mkdir(parents=True, exist_ok=True)
    device = torch.device(options.device)
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = torch.optim.swa_utils.AveragedModel(net, avg_fn=young_average(options.average), use_buffers=True)
    optimiser = torch.optim.AdamW(net.parameters(), lr=options.peak_rate, weight_decay=options.weight_decay)
    checkpoint, first = run / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        if state["seed"] != options.seed:
            raise ValueError(f"{checkpoint}: was made with seed {state['seed']}, not {options.seed}; name another run")
        net.load_state_dict(state["net"])
        averaged.load_state_dict(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    elif start_from is not None:
        state = torch.load(start_from, map_location=device, weights_only=True)
        take_weights(net, averaged_weights(state))
        averaged.module.load_state_dict(net.state_dict())
    else:
        (run / "options.json").write_text(json.dumps(asdict(options)) + "\n")
    ahead = {"num_workers": options.workers, "prefetch_factor": 4} if options.workers else {}
    loader = DataLoader(batches, batch_size=None, sampler=range(first, options.steps), **ahead)
    started, running, seen = time.monotonic(), 0.0, 0
    for step, batch in enumerate(loader, first):
        net.train()
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, options)
        tensors = [part.to(device, non_blocking=True) for part in batch]
        with torch.autocast(device.type, dtype=torch.bfloat16):
            value = loss(net, tensors)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        averaged.update_parameters(net)
        running, seen = running + float(value.detach()), seen + 1
        done = step + 1
        if done % options.evaluate_every == 0 or done == options.steps:
            averaged.eval()
            with torch.no_grad():
                figures = evaluate(averaged.module, done)
            line = {"step": done, "loss": round(running / seen, 5), "seconds": round(time.monotonic() - started, 1)}
            line |= {name: round(figure, 5) for name, figure in figures.items()}
            with (run / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            draw_curves(run / "log.jsonl", run / "curves.png")
            print(json.dumps(line), flush=True)
            running, seen = 0.0, 0
            part = checkpoint.with_suffix(".part")
            torch.save(
                {
                    "net": net.state_dict(),
                    "averaged": averaged.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "step": done,
                    "seed": options.seed,
                },
                part,
            )
            part.replace(checkpoint)
    averaged.eval()
    return averaged.module
