"""Entry point of the training system; each verb is a module with `add_arguments` and `main`."""

from __future__ import annotations

import argparse
import importlib
import sys

VERBS = {
    "recipe": "make both models from nothing, in one command",
    "reader": "train the reader",
    "detector": "train the detector",
    "plates": "render plates for the reader to learn from",
    "frames": "render expressway pictures for the detector to learn from",
    "finds": "cut what is no plate out of pictures without plates",
    "quads": "find the plates of labelled scenes with the models themselves",
    "quantise": "make an int8 copy of a model folder",
    "half": "make a copy of a model folder for GPUs, in half precision",
    "export": "turn a checkpoint into a model folder",
}


def main() -> int:
    """Run one verb."""
    parser = argparse.ArgumentParser(prog="python -m scripts.train", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    chosen = next((word for word in sys.argv[1:] if word in VERBS), None)
    for name, summary in VERBS.items():
        verb = verbs.add_parser(name, help=summary, description=summary)
        if name == chosen:
            importlib.import_module(f"scripts.train.{name}").add_arguments(verb)
    arguments = parser.parse_args()
    return int(importlib.import_module(f"scripts.train.{arguments.verb}").main(arguments))


if __name__ == "__main__":
    sys.exit(main())
