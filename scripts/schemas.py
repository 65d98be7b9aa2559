"""Write the JSON Schema of every message on the bus to anpr/schemas/, and docs/asyncapi.json.

Usage: python -m scripts.schemas

Run it after a change to a message or record. What is published stays: a change that an older consumer cannot read
needs a new version of the message type instead.
"""

from __future__ import annotations

import json
from pathlib import Path

from anpr import __version__
from anpr.bus.asyncapi import asyncapi
from anpr.bus.events import schemas

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "anpr" / "schemas"
ASYNCAPI = ROOT / "docs" / "asyncapi.json"


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    documents = {FOLDER / f"{name}.json": schema for name, schema in schemas().items()}
    for path, document in {**documents, ASYNCAPI: asyncapi(__version__)}.items():
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
