"""The package's layers: each imports only from the layers above it, and siblings never import one another."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "anpr"
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


def names_imported(path: Path) -> list[tuple[str, int]]:
    """(module, or module and what is taken from it, line) of every import, wherever it stands in the file."""
    found: list[tuple[str, int]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
    return found


def imports_of(path: Path) -> set[tuple[str, int]]:
    """(room, line) of every import of ours."""
    parts = [(name.split("."), line) for name, line in names_imported(path)]
    return {(name[1], line) for name, line in parts if name[0] == "anpr" and name[1:2] not in ([], ["__version__"])}


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


def test_tests_share_nothing_by_way_of_a_conftest_or_of_one_another() -> None:
    """Which `conftest` is meant depends on the order of the folders. What is shared is a module with a name of its
    own, beside those who use it or above them."""
    folders: dict[str, set[Path]] = defaultdict(set)
    for path in TESTS.rglob("*.py"):
        folders[path.stem].add(path.parent)
    assert {name for name, found in folders.items() if len(found) > 1} <= {"conftest"}
    for path in sorted(TESTS.rglob("*.py")):
        for name, line in names_imported(path):
            module = name.split(".")[0]
            where = f"{path.relative_to(TESTS.parent)}:{line} imports {module}"
            assert module != "conftest", where
            assert not module.startswith("test_"), where
            assert folders[module] <= {path.parent, TESTS}, f"{where}, which stands elsewhere"
