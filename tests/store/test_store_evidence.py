from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_records import make_jpeg

from anpr.errors import StoreError
from anpr.store import EvidenceFolder
from anpr.store.evidence import jpeg_size


@pytest.fixture
def folder(tmp_path: Path) -> EvidenceFolder:
    folder = EvidenceFolder(tmp_path / "evidence")
    folder.prepare()
    return folder


def test_a_picture_is_kept_under_its_hash(folder: EvidenceFolder) -> None:
    jpeg = make_jpeg("a", width_px=161, height_px=47)
    kept = folder.put("plate", jpeg)
    assert (kept.kind, kept.width_px, kept.height_px) == ("plate", 161, 47)
    assert kept.sha256 == hashlib.sha256(jpeg).hexdigest()
    assert folder.get(kept.sha256) == jpeg
    assert EvidenceFolder(folder.path).get(kept.sha256) == jpeg
    assert folder.put("overview", jpeg).sha256 == kept.sha256
    assert [path for path in folder.path.rglob("*") if path.is_file()] == [
        folder.path / kept.sha256[:2] / f"{kept.sha256[2:]}.jpg"
    ]


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("shape", [(48, 160), (1080, 1920, 3), (1, 1)])
def test_size_of_pictures_as_opencv_writes_them(shape: tuple[int, ...], progressive: int) -> None:
    done, data = cv2.imencode(
        ".jpg",
        np.full(shape, 90, np.uint8),
        [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_RST_INTERVAL, 4],
    )
    assert done
    assert jpeg_size(data.tobytes()) == (shape[1], shape[0])


@given(
    st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda tail: b"\xff\xd8\xff" + tail + b"\xff\xd9"))
)
def test_size_never_fails_otherwise_than_by_a_store_error(data: bytes) -> None:
    with contextlib.suppress(StoreError):
        width, height = jpeg_size(data)
        assert 0 <= width < 65536
        assert 0 <= height < 65536


def test_no_picture_is_refused(folder: EvidenceFolder) -> None:
    for data in (b"", b"\xff\xd8", b"\x89PNG....", make_jpeg("a")[:100]):
        with pytest.raises(StoreError, match="no whole JPEG"):
            folder.put("plate", data)


def test_an_altered_picture_is_told_and_mended_by_putting_it_again(folder: EvidenceFolder) -> None:
    jpeg = make_jpeg("a")
    kept = folder.put("plate", jpeg)
    (path,) = folder.path.rglob("*.jpg")
    path.write_bytes(jpeg[:-1] + b"\0")
    with pytest.raises(StoreError, match="altered or damaged"):
        folder.get(kept.sha256)
    path.write_bytes(b"")
    with pytest.raises(StoreError, match="altered or damaged"):
        folder.get(kept.sha256)
    folder.put("plate", jpeg)
    assert folder.get(kept.sha256) == jpeg


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n", "0" * 62 + "/x"])
def test_names_that_are_no_hash_are_refused(folder: EvidenceFolder, name: str) -> None:
    with pytest.raises(StoreError, match="names no picture"):
        folder.get(name)


def test_a_missing_picture_is_told(folder: EvidenceFolder) -> None:
    with pytest.raises(StoreError, match="not there"):
        folder.get("0" * 64)


def test_what_a_crash_left_is_swept(folder: EvidenceFolder) -> None:
    leftover = folder.path / "unfinished" / "half"
    leftover.write_bytes(b"half a picture")
    folder.prepare()
    assert not leftover.exists()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the file system from now on: the order matters after a power cut, which a test cannot make."""
    calls: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def watched_fsync(descriptor: int) -> None:
        at = Path(f"/proc/self/fd/{descriptor}").readlink()
        calls.append(f"fsync {at.parent.name if at.is_dir() else 'picture'}")
        fsync(descriptor)

    def watched_rename(self: Path, target: Path) -> Path:
        calls.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "rename", watched_rename)
    return calls


def test_file_and_folder_are_synced_before_the_picture_counts(folder: EvidenceFolder, calls: list[str]) -> None:
    folder.put("plate", make_jpeg("b"))
    assert calls == ["fsync picture", "rename", "fsync evidence"]


def test_a_folder_that_somebody_tidied_up_is_made_again_durably(folder: EvidenceFolder, calls: list[str]) -> None:
    jpeg = make_jpeg("b")
    (folder.path / hashlib.sha256(jpeg).hexdigest()[:2]).rmdir()
    folder.put("plate", jpeg)
    assert len(calls) == 4
    assert calls[1:] == ["fsync picture", "rename", "fsync evidence"]


def test_a_picture_that_is_there_is_not_written_again_but_counts_as_put_now(
    folder: EvidenceFolder, calls: list[str]
) -> None:
    kept = folder.put("plate", make_jpeg("b"))
    (path,) = folder.path.rglob("*.jpg")
    inode, since_ns = path.stat().st_ino, folder.now_ns()
    calls.clear()
    folder.put("plate", make_jpeg("b"))
    assert calls == ["fsync picture", "fsync evidence"]  # the first time may have failed before it came so far
    assert path.stat().st_ino == inode
    folder.remove([kept.sha256], put_before_ns=since_ns - 1)
    assert folder.has(kept.sha256)
