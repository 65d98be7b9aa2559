"""Where bundled things are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from anpr import assets
from anpr.errors import ConfigError


def test_a_bare_name_is_the_bundled_one_whatever_lies_in_the_work_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reader").mkdir()
    assert assets.find("models", "reader") == assets.folder("models") / "reader"
    assert assets.find("models", "./reader") == Path("reader")
    (tmp_path / "mine").mkdir()
    assert assets.find("models", "mine") == Path("mine")


def test_what_is_missing_is_told_with_what_is_there() -> None:
    with pytest.raises(ConfigError, match=r"no pipeline named 'nosuch'.*cpu\.toml"):
        assets.find("pipelines", "nosuch")


def test_what_is_made_anew_is_kept_where_the_service_or_the_user_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/anpr")
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/x/elsewhere")
    monkeypatch.setenv("HOME", "/home/x")
    assert assets.cache_folder("kernels") == Path("/var/cache/anpr/kernels")
    monkeypatch.delenv("CACHE_DIRECTORY")
    assert assets.cache_folder("engines") == Path("/home/x/elsewhere/anpr/engines")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert assets.cache_folder("engines") == Path("/home/x/.cache/anpr/engines")
