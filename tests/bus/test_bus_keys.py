"""Key files: written once, for their owner, read again when they change."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from anpr.bus import ClientKeys
from anpr.bus.keys import AllowList, fingerprint, new_pair, read_pair, read_public
from anpr.errors import BusError


def test_a_pair_is_written_once_and_its_secret_is_for_its_owner(tmp_path: Path) -> None:
    shown, hidden = new_pair(tmp_path, "ioc")
    pair = read_pair(hidden)
    assert read_public(shown) == read_public(hidden) == pair.public
    assert hidden.stat().st_mode & 0o777 == 0o600
    assert pair.secret.decode() not in repr(pair)
    assert pair.secret.decode() not in shown.read_text()
    assert len(fingerprint(pair.public)) == 16
    with pytest.raises(BusError, match="never overwritten"):
        new_pair(tmp_path, "ioc")
    hidden.unlink()
    with pytest.raises(BusError, match="never overwritten"):
        new_pair(tmp_path, "ioc")
    assert not hidden.exists()  # no secret without its public half


@pytest.mark.parametrize("name", ["", "../x", "a b", "x" * 65, "a/b", ".next", "a."])
def test_wrong_names_of_keys_are_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(BusError, match="no name for a key"):
        new_pair(tmp_path, name)


def test_bad_key_files_are_told(tmp_path: Path) -> None:
    shown, hidden = new_pair(tmp_path, "ioc")
    with pytest.raises(BusError, match="no secret key"):
        read_pair(shown)
    hidden.chmod(0o644)
    with pytest.raises(BusError, match="every user"):
        read_pair(hidden)
    shown.write_text('curve\n    public-key = "short"\n')
    with pytest.raises(BusError, match="damaged"):
        read_public(shown)
    shown.write_text("nothing")
    with pytest.raises(BusError, match="no key"):
        read_public(shown)
    with pytest.raises(BusError, match="no key"):
        read_public(tmp_path / "absent.key")
    with pytest.raises(BusError, match="public key is missing"):
        ClientKeys.load(hidden)


@pytest.mark.parametrize("how", ["replaced", "written over"])
def test_a_key_is_read_again_where_a_copy_keeps_the_time_of_its_original(tmp_path: Path, how: str) -> None:
    clients, others = tmp_path / "clients", tmp_path / "others"
    for folder in (clients, others):
        folder.mkdir()
        new_pair(folder, "ioc")
        os.utime(folder / "ioc.key", (0, 0))
    listed = AllowList(clients)
    before = dict(listed.names)
    if how == "replaced":
        (others / "ioc.key").replace(clients / "ioc.key")
    else:
        shutil.copy2(others / "ioc.key", clients / "ioc.key")
    assert listed.look()
    assert not set(before) & set(listed.names)


def test_an_allow_list_is_read_again_when_it_changes(tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    clients.mkdir()
    one, _ = new_pair(clients, "ioc")
    listed = AllowList(clients)
    assert list(listed.names.values()) == ["ioc"]
    assert not listed.look()
    new_pair(clients, "ioc.next")
    (clients / "half.key").write_text("curve")
    assert listed.look()
    assert list(listed.names.values()) == ["ioc", "ioc"]
    assert [Path(path).name for path in listed.unreadable] == ["half.key"]
    one.unlink()
    assert listed.look()
    assert list(listed.names.values()) == ["ioc"]
    (clients / "half.key").unlink()
    for path in clients.iterdir():
        path.unlink()
    clients.rmdir()
    with pytest.raises(BusError, match="cannot be read"):
        listed.look()
