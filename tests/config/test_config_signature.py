"""A file system that does not answer is noticed."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from anpr.config import signature
from anpr.config.signature import silent_among


@pytest.mark.parametrize("asks", ["stat", "open"])
def test_a_share_that_keeps_whoever_asks_waiting_does_not_answer(
    asks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, back = [tmp_path / f"{number}.csv" for number in range(20)], threading.Event()
    for file in files:
        file.write_text("plate\n")
    assert not silent_among(files)

    def wait(*_: object, **__: object) -> None:
        assert back.wait(20.0)
        raise OSError("it was too late")

    monkeypatch.setattr(signature, "ANSWER_SECONDS", 0.2)
    with monkeypatch.context() as patched:
        patched.setattr(Path, asks, wait)
        began = time.monotonic()
        assert silent_among(files) == set(files), "what a file is may be remembered of a share that is gone"
        assert time.monotonic() - began < 20 * signature.ANSWER_SECONDS
        back.set()
        for thread in threading.enumerate():
            if thread.name == "anpr-answers":
                thread.join(20.0)


def test_what_is_not_there_and_what_is_no_file_answer_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not silent_among([tmp_path / "gone.csv", tmp_path / "pipe"])
