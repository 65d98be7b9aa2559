"""A file system of its own for a store: ext4 on a loop device, whose power can be cut, which can be full or read-only.

Everything lies in a mount namespace that only this process and its children see: when they are gone, however they went,
the kernel takes mounts, loop device and image with them.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import time
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

SYSTEM_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
BUSY_SECONDS = 10.0
_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_EXT4_IOC_SHUTDOWN = 2 << 30 | 4 << 16 | ord("X") << 8 | 125
"""`_IOR('X', 125, __u32)` of Linux's fs/ext4/ext4.h."""
_NO_LOG_FLUSH = 2
"""Nothing more reaches the device, not even the journal: what a power cut does."""
_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(done: int, what: str) -> None:
    if done != 0:
        raise RuntimeError(f"{what}: {os.strerror(ctypes.get_errno())}")


@cache
def _leave_namespace() -> None:
    """Once for a process: it never goes back."""
    _call(_LIBC.unshare(_CLONE_NEWNS), "unshare")
    _call(_LIBC.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "make mounts private")


class Volume:
    """Mounted at `place` from `with` to the end of the block."""

    def __init__(self, place: Path, *, mib: int, inodes: int = 0) -> None:
        """Of `mib` MiB; with `inodes`, it holds at most so many files and folders."""
        self.place = place
        self._mib = mib
        self._inodes = inodes
        self._box = place.with_name(f"{place.name}-device")
        self._image = self._box / "image"
        self._ballast = place / "ballast"
        self._mounted = False

    def __enter__(self) -> Self:
        _leave_namespace()
        self.place.mkdir(exist_ok=True)
        self._box.mkdir(exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={self._mib + 8}m", "tmpfs", str(self._box))
        try:
            with self._image.open("wb") as image:
                image.truncate(self._mib << 20)
            inodes = ("-N", str(self._inodes)) if self._inodes else ()
            _run("mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=4", *inodes, str(self._image))
            self.mount()
        except BaseException:
            _run("umount", str(self._box))
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mounted:
            self.unmount()
        _run("umount", str(self._box))
        self._box.rmdir()

    def mount(self) -> None:
        """As after a start of the machine: what the journal holds is done."""
        _run("mount", "-o", "loop", str(self._image), str(self.place))
        self._mounted = True

    def unmount(self) -> None:
        """Nobody may have a file of it open any more; waits a little for those who are just dying."""
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                _run("umount", str(self.place))
                break
            except RuntimeError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
        self._mounted = False

    def cut_power(self) -> None:
        """From now on nothing reaches the device, and everybody gets an error. Kill who uses it, then `turn_on`."""
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def turn_on(self) -> None:
        """Mount it anew after a power cut."""
        self.unmount()
        self.mount()

    def fill(self, *, leave_kib: int = 0) -> None:
        """Another process takes all the space but `leave_kib`, at once."""
        free = os.statvfs(self.place)
        bytes_free = free.f_bavail * free.f_frsize - (leave_kib << 10)
        while bytes_free > 0:  # the file's own index takes a few blocks, too
            done = subprocess.run(
                ["fallocate", "-l", str(bytes_free), str(self._ballast)], capture_output=True, check=False
            )
            if done.returncode == 0:
                return
            bytes_free -= 64 << 10
        raise RuntimeError(f"{self.place} could not be filled")

    def fill_inodes(self) -> None:
        """Take all the inodes, with empty files."""
        folder = self.place / "ballast-files"
        folder.mkdir(exist_ok=True)
        number = 0
        try:
            while True:
                (folder / str(number)).touch()
                number += 1
        except OSError:
            return

    def free(self) -> None:
        """Give back what `fill` and `fill_inodes` took."""
        self._ballast.unlink(missing_ok=True)
        shutil.rmtree(self.place / "ballast-files", ignore_errors=True)

    def abort(self) -> None:
        """It goes read-only under those who write, as after an error of the disk, until `turn_on`."""
        _run("mount", "-o", "remount,abort", str(self.place))


def _run(*words: str) -> None:
    program = shutil.which(words[0], path=SYSTEM_PATH)
    if program is None:
        raise RuntimeError(f"{words[0]} is not installed")
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
