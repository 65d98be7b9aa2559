"""What every benchmark prints: a table for people and, with --json, one object as its last line."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np
import onnxruntime
from rich.console import Console
from rich.table import Table


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options.add_argument("--quick", action="store_true", help="under 20 s: to see that it works, not to quote")
    return options


def machine() -> dict[str, str | int]:
    """What a figure must be read beside."""
    model = platform.processor() or platform.machine()
    flags = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            if key.strip() == "flags" and not flags:
                flags = " ".join(flag for flag in ("avx2", "avx512_vnni", "amx_int8") if flag in value.split())
    return {
        "cpu": model,
        "flags": flags,
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
        "av": av.__version__,
    }


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(f"{value:,.3f}" if isinstance(value, float) else str(value) for value in row))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def finish(name: str, figures: Mapping[str, float], *, as_json: bool) -> None:
    """Print the JSON object if it was asked for."""
    if as_json:
        rounded = {key: round(float(value), 5) for key, value in figures.items()}
        print(json.dumps({"bench": name, "machine": machine(), "figures": rounded}))
