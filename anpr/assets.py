"""Where the package's data lies: models, pipelines, kernels and example configs, in a checkout and in a wheel alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from anpr.errors import ConfigError

Folder = Literal["kernels", "models", "pipelines", "configs"]


def folder(name: Folder) -> Path:
    """The folder `name` of the checkout, or of the installed wheel (`anpr/data/<name>`).

    Raises ConfigError if neither is there.
    """
    package = Path(__file__).resolve().parent
    for place in (package / "data" / name, package.parent / name):
        if place.is_dir():
            return place
    raise ConfigError(f"the package's {name} folder is missing", place=str(package), cure="reinstall anpr")


def find(name: Folder, item: str) -> Path:
    """`item` in the package's folder `name` if it is a bare name that stands there, else `item` as a path.

    A bare name never means something of the work folder that happens to be called so; `./item` does. Raises
    ConfigError that lists what is there.
    """
    given, bundled = Path(item).expanduser(), folder(name) / item
    if given.name == item and bundled.exists():
        return bundled
    if given.exists():
        return given
    have = ", ".join(sorted(path.name for path in folder(name).iterdir() if not path.name.startswith("."))) or "nothing"
    raise ConfigError(f"no {name.removesuffix('s')} named {item!r}", place=item, cure=f"give a path, or one of: {have}")


def cache_folder(name: str) -> Path:
    """Where what was made here and can be made anew is kept: in systemd's cache folder of the service, or the user's.
    It need not be there yet."""
    if given := os.environ.get("CACHE_DIRECTORY"):
        return Path(given) / name
    home = os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", "/nonexistent")) / ".cache"
    return Path(home) / "anpr" / name
