"""`python -m scripts.render VERB …`: each verb is a module of this folder with `add_arguments` and `run`."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

VERBS = {
    "plates": ("plates_verb", "write example plates and their labels"),
    "glyphs": ("derive_glyphs", "derive the letter outlines from labelled crops"),
    "clip": ("clip_verb", "write an expressway clip and its truth"),
}
"""Verb to module of this folder and help; a module is imported only when its verb is asked for."""


def main(arguments: list[str]) -> int:
    """Run the verb named by the first argument; returns the process's exit code."""
    if not arguments or arguments[0] not in VERBS:
        print("usage: python -m scripts.render VERB …\n")
        for verb, (_, text) in VERBS.items():
            print(f"  {verb:8} {text}")
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    module_name, text = VERBS[arguments[0]]
    module = import_module(f"scripts.render.{module_name}")
    parser = argparse.ArgumentParser(prog=f"python -m scripts.render {arguments[0]}", description=text)
    module.add_arguments(parser)
    return int(module.run(parser.parse_args(arguments[1:])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
