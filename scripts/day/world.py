"""The box of the day, as files: a site file, watch-lists, zones, declarations and the register, in one folder."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.day.planting import Planting
from scripts.day.road import CLOSED, ELSEWHERE, MIDDLE, NORTH, QL1B, SITES, SOUTH, VIET_YEN, Site

ROOT = Path(__file__).parents[2]
RULES = ROOT / "configs" / "rules"

INFORMING = {"fleets", "permits", "supply"}
"""Lists of vehicles to leave alone."""
ANSWERED_FOR = "PC08"
"""Authority of every list but `notes`, for which nobody answers."""

ZONES = f"""\
[[zones]]
name = "epidemic"
vi = "vùng dịch"
en = "epidemic zone"

[[zones.periods]]
from = 2026-10-04
until = 2026-10-31
provinces_before = ["Bắc Giang", "Hải Dương", "Bắc Kạn"]
cameras = ["{VIET_YEN.camera_id}"]

[[zones.periods]]
from = 2025-06-15
until = 2025-07-15
provinces_before = ["Bắc Kạn"]

[[zones]]
name = "gates"
vi = "cửa ngõ của tỉnh"
en = "gates of the province"

[[zones.periods]]
cameras = ["{SOUTH.camera_id}", "{QL1B.camera_id}"]

[[zones]]
name = "closed"
vi = "khu vực phong tỏa"
en = "closed area"

[[zones.periods]]
cameras = ["{CLOSED.camera_id}"]

[[zones]]
name = "expressway"
vi = "đường cao tốc"
en = "expressway"

[[zones.periods]]
cameras = ["{SOUTH.camera_id}", "{MIDDLE.camera_id}", "{NORTH.camera_id}"]

[[zones]]
name = "curfew"
vi = "đoạn đường cấm xe tải theo giờ"
en = "section with a goods vehicle curfew"

[[zones.periods]]
cameras = ["{MIDDLE.camera_id}"]
"""


def write_site(folder: Path, world: Planting) -> Path:
    """Write everything that a box of this day reads; the path of its site file."""
    (folder / "zones.toml").write_text(ZONES, encoding="utf-8")
    _write_csv(folder / "declarations.csv", world.declarations)
    _write_csv(folder / "registry.csv", [{"plate": plate} | facts for plate, facts in world.answers.items()])
    parts = [
        '[box]\nid = "day"\n\n[site]\nid = "ct07"\n\n[store]\npath = "store"\n\n[bus]\n'
        'endpoint = "tcp://127.0.0.1:7799"\n\n'
        f'[rules]\nfolder = "{RULES}"\nzones = "zones.toml"\ndeclarations = "declarations.csv"\n\n'
        '[[rules.lookups]]\nname = "registry"\nfile = "registry.csv"\n\n'
        f'[[rules.distances]]\nfrom = "{VIET_YEN.camera_id}"\nto = "{NORTH.camera_id}"\nkm = 48.0\n'
    ]
    parts += [_camera(site) for site in (*SITES, *ELSEWHERE)]
    for name, rows in world.entries.items():
        _write_csv(folder / f"{name}.csv", rows)
        severity = "INFO" if name in INFORMING else "ALERT"
        authority = f'authority = "{ANSWERED_FOR}"\n' if name != "notes" else ""
        parts.append(f'[[lists]]\nname = "{name}"\nfile = "{name}.csv"\nseverity = "{severity}"\n{authority}')
    path = folder / "site.toml"
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def _camera(site: Site) -> str:
    road = "" if site in ELSEWHERE else f'road = "CT.07", km = {site.km}, rising = "approaching", '
    bound = "" if site.abroad else ', inbound = "approaching"'
    return (
        f'[[cameras]]\nid = "{site.camera_id}"\nname = "{site.name}"\nurl = "rtsp://127.0.0.1:1/none"\n'
        f'place = {{ {road}province = "{site.province}"{bound} }}\n'
    )


def _write_csv(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", encoding="utf-8", newline="") as lines:
        table = csv.DictWriter(lines, columns, restval="")
        table.writeheader()
        table.writerows(rows)
