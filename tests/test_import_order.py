"""The package's layers: each imports only from the layers above it, and siblings never import one another."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "anpr"
LAYERS = [
    {"errors", "records", "clock", "assets", "endpoints", "kernel_clock", "log", "metrics", "privacy"},
    {"plates"},
    {"config"},
    {"ops"},
    {"video", "nets", "tracking", "watch", "rules", "store", "bus", "health"},
    {"engine", "bridges"},
    {"replay"},
    {"cli"},
]
LEVELS = {name: level for level, layer in enumerate(LAYERS) for name in layer}
GROUND = LAYERS[0]
ENTRY = {"__init__", "__main__"}
LONGEST_LINES = 500


def room_of(path: Path) -> str:
    """The room of the house that a file stands in: a package, or a module of the ground floor."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[tuple[str, int]]:
    """(room, line) of every import of ours, wherever it stands in the file."""
    found: set[tuple[str, int]] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "anpr" and len(parts) > 1 and parts[1] != "__version__":
                found.add((parts[1], node.lineno))
    return found


FILES = sorted(path for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_upwards_only(path: Path) -> None:
    room = room_of(path)
    if room in ENTRY:
        return
    assert room in LEVELS, f"{room} has no place in the order of the house"
    for other, line in sorted(imports_of(path)):
        where = f"{path.relative_to(PACKAGE.parent)}:{line}: {room} imports {other}"
        assert other in LEVELS, f"{where}, which has no place in the order"
        allowed = other == room or LEVELS[other] < LEVELS[room] or (room in GROUND and other in GROUND)
        assert allowed, where


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_too_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_LINES


def test_the_order_names_no_room_that_is_not_there() -> None:
    rooms = {room_of(path) for path in FILES} - ENTRY
    assert rooms == set(LEVELS)
