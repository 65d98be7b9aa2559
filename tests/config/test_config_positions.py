"""Positions of keys and values in TOML texts."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.config.positions import locate

TEXT = """\
# comment
top.level = 1
quoted."a b\\u0041" = 'x'   # dotted with a quoted part

[box]
  id = "km29"
[[cameras]]
id = "a"
[cameras.lane]
width = 3.5
[[cameras]]
id = "Đường", # not here
""".replace(", # not here", "")


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("top", "level"), (2, 5), (2, 13)),
        (("quoted", "a bA"), (3, 8), (3, 22)),
        (("box",), (5, 2), (5, 1)),
        (("box", "id"), (6, 3), (6, 8)),
        (("cameras", 0, "id"), (8, 1), (8, 6)),
        (("cameras", 0, "lane", "width"), (10, 1), (10, 9)),
        (("cameras", 1), (11, 3), (11, 1)),
        (("cameras", 1, "id"), (12, 1), (12, 6)),
    ],
)
def test_tables_arrays_and_dotted_keys(
    path: tuple[str | int, ...], key: tuple[int, int], value: tuple[int, int]
) -> None:
    positions = locate(TEXT)
    assert positions.of_key(path) == key
    assert positions.of_value(path) == value


def test_inline_tables_and_arrays_over_several_lines() -> None:
    positions = locate("lists = [\n  {name = 'a', file = 'b'}, # one\n  # two\n  { name = 'c' },\n]\n")
    assert positions.of_value(("lists", 0)) == (2, 3)
    assert positions.of_value(("lists", 0, "file")) == (2, 23)
    assert positions.of_key(("lists", 1, "name")) == (4, 5)


def test_columns_count_characters_not_bytes() -> None:
    positions = locate('a = {"Đường" = "Hà Nội", b = 2}\r\nc = 3\r\n')
    assert positions.of_key(("a", "b")) == (1, 26)
    assert positions.of_value(("c",)) == (2, 5)


def test_what_is_not_written_gets_the_table_around_it() -> None:
    positions = locate("[box]\nid = 1\n[[cameras]]\n")
    assert positions.of_value(("box", "missing")) == (1, 1)
    assert positions.of_value(("cameras", 0, "url")) == (3, 1)
    assert positions.of_value(("nowhere",)) == (1, 1)


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\"\\'"), max_size=5)


@given(st.lists(st.tuples(names, names, st.integers(0, 999)), unique_by=lambda item: item[0], max_size=6))
def test_every_value_is_found_where_it_stands(items: list[tuple[str, str, int]]) -> None:
    text = "".join(f'[["{table}"]]\n"{key}" = [{value}, {{"{key}" = {value}}}]\n' for table, key, value in items)
    positions = locate(text)
    lines = text.split("\n")

    def check(value: Any, path: tuple[str | int, ...]) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                check(item, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                check(item, (*path, index))
        else:
            line, column = positions.values[path]
            assert lines[line - 1][column - 1 :].startswith(str(value))

    check(tomllib.loads(text), ())
