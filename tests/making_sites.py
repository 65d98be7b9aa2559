"""A site file with one camera that plays a clip, for the tests of the verbs."""

from __future__ import annotations

from pathlib import Path

from anpr import assets

DEMO = assets.folder("configs") / "demo" / "expressway.mp4"
ONE_CAMERA_SITE = """\
[box]
id = "box-1"
[site]
id = "km29"
[store]
path = "data"
[bus]
endpoint = "ipc://{folder}/bus"
[[cameras]]
id = "north"
file = "{clip}"
"""


def write_site(folder: Path, more: str = "", *, clip: Path = DEMO) -> Path:
    """`site.toml` in `folder`, with `more` tables at its end."""
    path = folder / "site.toml"
    path.write_text(ONE_CAMERA_SITE.format(folder=folder, clip=clip) + more, encoding="utf-8")
    return path
