"""What is half-made when its maker is killed goes with the next, and nothing else does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from anpr.store.unfinished import making, remove_left

MAKER = """
import sys
from pathlib import Path
from anpr.store.unfinished import making
with making(Path(sys.argv[1])) as half:
    (half / "data.mdb").write_bytes(b"x")
    print(half, flush=True)
    sys.stdin.readline()
"""


def test_it_gets_its_name_with_nothing_beside_it(tmp_path: Path) -> None:
    with making(tmp_path / "new" / "copy") as half:
        (half / "data.mdb").write_bytes(b"x")
        assert half.parent == tmp_path / "new"
        assert not (tmp_path / "new" / "copy").exists()
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["copy"]
    assert [each.name for each in (tmp_path / "new" / "copy").iterdir()] == ["data.mdb"]


def test_it_goes_if_the_block_raises(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), making(tmp_path / "copy"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_has_left_goes_and_what_is_being_made_stays(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKER]
    makers = [
        subprocess.Popen([*command, str(tmp_path / name)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in ("monday", "tuesday")
    ]
    monday, tuesday = (Path(each.stdout.readline().strip()) for each in makers if each.stdout)
    assert list(remove_left(tmp_path)) == []
    makers[0].kill()
    makers[0].communicate()
    assert list(remove_left(tmp_path)) == [monday]
    assert [each.name for each in tmp_path.iterdir()] == [tuesday.name]
    makers[1].communicate("\n")
    assert [each.name for each in tmp_path.iterdir()] == ["tuesday"]


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    for name, mark, content in (
        (".other.12", "unfinished", b"something else"),
        (".other.13", "finished", b""),
        (".git.config", "unfinished", b""),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / mark).write_bytes(content)
    assert list(remove_left(tmp_path)) == []
    assert len(list(tmp_path.iterdir())) == 3
    assert list(remove_left(tmp_path / "absent")) == []
