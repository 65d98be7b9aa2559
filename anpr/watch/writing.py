"""Writing entries as a file that reads back as the same."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping

from anpr.config.times import write_moment
from anpr.plates.grammar import parse
from anpr.watch.entries import COLUMNS, Entry, meant_kind
from anpr.watch.json_file import ENTRIES
from anpr.watch.table import Entries


def write_list(entries: Entries, head: Mapping[str, object], *, suffix: str) -> Iterator[bytes]:
    """A file of `suffix` (`.csv` or `.json`) with these entries, in pieces; a CSV file has no place for a head."""
    rows = map(_fields, entries)
    if suffix == ".json":
        told = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},\n" for key, value in head.items()]
        yield ("{" + "".join(told) + f'"{ENTRIES}": [').encode()
        for number, row in enumerate(rows):
            line = json.dumps({name: value for name, value in row.items() if value}, ensure_ascii=False)
            yield ((",\n" if number else "\n") + line).encode()
        yield b"\n]}\n"
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
        writer.writerow(row)
    yield text.getvalue().encode()


def _fields(entry: Entry) -> dict[str, str]:
    begin, end = entry.valid_from_seconds, entry.valid_until_seconds
    return {
        "plate": _written(entry),
        "reason": entry.reason,
        "severity": entry.severity or "",
        "authority": entry.authority,
        "valid_from": "" if begin is None else write_moment(begin),
        "valid_until": "" if end is None else write_moment(end),
        "reference": entry.reference,
    }


def _written(entry: Entry) -> str:
    """The plate so that it means the entry's kind: `29-H1 2345` for the motorbike, `29H12345` if it is left open."""
    readings = parse(entry.plate)
    meant = [each.display for each in readings if each.kind == entry.kind and meant_kind(each.display, readings)]
    return meant[0] if meant else entry.plate
