"""Write the JSON Schema of every message on the bus to anpr/schemas/. Usage: python -m scripts.schemas

Run it after a change to a message or record. What is published stays: a change that an older consumer cannot read
needs a new version of the message type instead.
"""

from __future__ import annotations

import json
from pathlib import Path

from anpr.bus.events import schemas

FOLDER = Path(__file__).resolve().parent.parent / "anpr" / "schemas"


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        path = FOLDER / f"{name}.json"
        path.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
