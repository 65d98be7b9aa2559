"""A file system that does not answer is noticed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from anpr.config import signature
from anpr.config.signature import answers


@pytest.mark.parametrize("asks", ["stat", "open"])
def test_a_share_that_keeps_whoever_asks_waiting_does_not_answer(
    asks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, back = tmp_path / "list.csv", threading.Event()
    file.write_text("plate\n")
    assert answers(file)

    def wait(*_: object, **__: object) -> None:
        assert back.wait(20.0)
        raise OSError("it was too late")

    monkeypatch.setattr(signature, "ANSWER_SECONDS", 0.05)
    with monkeypatch.context() as patched:
        patched.setattr(Path, asks, wait)
        assert not answers(file), "what a file is may be remembered of a share that is gone"
        back.set()
        for thread in threading.enumerate():
            if thread.name == "anpr-answers":
                thread.join(20.0)


def test_what_is_not_there_and_what_is_no_file_answer_at_once(tmp_path: Path) -> None:
    assert answers(tmp_path / "gone.csv")
    os.mkfifo(tmp_path / "pipe")
    assert answers(tmp_path / "pipe")
