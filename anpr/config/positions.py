"""Where each key and value of a TOML text stands, so that an error can name its line and column.

`tomllib` gives the values but no positions; tree-sitter's TOML grammar gives positions but no values. The two meet in
the path of a value: `("cameras", 0, "url")`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

Path = tuple[str | int, ...]
"""The way to a value: table keys and array indices."""

Position = tuple[int, int]
"""Line and column, both counted from 1; columns count characters."""

START: Position = (1, 1)
_KEYS = frozenset({"bare_key", "quoted_key", "dotted_key"})


@dataclass(slots=True)
class Positions:
    """Positions of the keys and the values of one text."""

    keys: dict[Path, Position] = field(default_factory=dict)
    values: dict[Path, Position] = field(default_factory=dict)

    def of_key(self, path: Path) -> Position:
        """Where the key of `path` is written; the nearest table around it if it is not written."""
        return self._nearest(self.keys, path)

    def of_value(self, path: Path) -> Position:
        """Where the value of `path` begins; the nearest table around it if it is not written."""
        return self._nearest(self.values, path)

    def _nearest(self, first: dict[Path, Position], path: Path) -> Position:
        if path in first:
            return first[path]
        for length in range(len(path), 0, -1):
            for table in (self.values, self.keys):
                if path[:length] in table:
                    return table[path[:length]]
        return START


def locate(text: str) -> Positions:
    """The positions in `text`, which must be valid TOML."""
    return _Reader(text).read()


class _Reader:
    """Walks the syntax tree once, from top to bottom."""

    def __init__(self, text: str) -> None:
        self._source = text.encode()
        self._lines = self._source.split(b"\n")
        self._found = Positions()
        self._last_index: dict[Path, int] = {}
        """The newest element of each array of tables."""

    def read(self) -> Positions:
        root = Parser(Language(tree_sitter_toml.language())).parse(self._source).root_node
        for node in root.named_children:
            if node.type == "pair":
                self._pair(node, ())
            elif node.type in ("table", "table_array_element"):
                self._table(node)
        return self._found

    def _table(self, node: Node) -> None:
        header = next(child for child in node.named_children if child.type in _KEYS)
        keys = self._keys(header)
        path = self._enter((), [name for name, _ in keys[:-1]])
        name, key_node = keys[-1]
        path = (*path, name)
        self._found.keys.setdefault(path, self._position(key_node))
        if node.type == "table_array_element":
            index = self._last_index.get(path, -1) + 1
            self._last_index[path] = index
            path = (*path, index)
            self._found.keys[path] = self._position(key_node)
        self._found.values[path] = self._position(node)
        for child in node.named_children:
            if child.type == "pair":
                self._pair(child, path)

    def _enter(self, path: Path, names: list[str]) -> Path:
        """The path of the table that `names` lead to; an array of tables means its newest element."""
        for name in names:
            path = (*path, name)
            if path in self._last_index:
                path = (*path, self._last_index[path])
        return path

    def _pair(self, node: Node, table: Path) -> None:
        key, value = [child for child in node.named_children if child.type != "comment"][:2]
        path = table
        for name, key_node in self._keys(key):
            path = (*path, name)
            self._found.keys.setdefault(path, self._position(key_node))
        self._value(value, path)

    def _value(self, node: Node, path: Path) -> None:
        self._found.values[path] = self._position(node)
        children = [child for child in node.named_children if child.type != "comment"]
        if node.type == "inline_table":
            for child in children:
                self._pair(child, path)
        elif node.type == "array":
            for index, child in enumerate(children):
                self._value(child, (*path, index))

    def _keys(self, node: Node) -> list[tuple[str, Node]]:
        """The parts of a bare, quoted or dotted key."""
        if node.type == "dotted_key":
            return [part for child in node.named_children for part in self._keys(child)]
        text = self._source[node.start_byte : node.end_byte].decode()
        return [(_unquoted(text) if node.type == "quoted_key" else text, node)]

    def _position(self, node: Node) -> Position:
        row, column_bytes = node.start_point
        return row + 1, len(self._lines[row][:column_bytes].decode()) + 1


def _unquoted(key: str) -> str:
    """The value of a quoted key, escapes resolved by the TOML parser itself."""
    return str(tomllib.loads(f"key = {key}")["key"])
