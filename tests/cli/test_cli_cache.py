"""The program starts for an account that has no home folder and may not write where it is installed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from anpr import cli


def test_a_cache_folder_of_the_service_manager_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")  # so that what the program sets is taken back afterwards
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    cli._find_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path)


def test_without_any_writable_place_a_private_temporary_folder_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")  # so that what the program sets is taken back afterwards
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    cli._find_cache()
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
