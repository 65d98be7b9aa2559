"""What a camera says of the length of its answers is not believed."""

from __future__ import annotations

import subprocess
import sys

import pytest

HOSTILE = """
import socket, sys, threading
import av
from anpr.video.memory import limit_blocks

MIB = 1 << 20

def resident_mib():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 // MIB

def camera(listener):
    client, _ = listener.accept()
    while client.recv(4096):
        head = b"RTSP/1.0 200 OK\\r\\nCSeq: 1\\r\\n"
        client.sendall(head + b"Public: DESCRIBE\\r\\n\\r\\n")
        client.recv(4096)
        head = b"RTSP/1.0 200 OK\\r\\nCSeq: 2\\r\\nContent-Type: application/sdp\\r\\n"
        client.sendall(head + b"Content-Length: 209715200\\r\\n\\r\\n")
        try:
            for _ in range(200):
                client.sendall(b"a" * MIB)
        except OSError:
            return

if sys.argv[1] == "bounded":
    assert limit_blocks()
listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=camera, args=(listener,), daemon=True).start()
before = most = resident_mib()
stop = threading.Event()

def watch():
    global most
    while not stop.wait(0.005):
        most = max(most, resident_mib())

watcher = threading.Thread(target=watch)
watcher.start()
try:
    av.open(f"rtsp://127.0.0.1:{listener.getsockname()[1]}/x", options={"rtsp_transport": "tcp"}, timeout=10)
except av.error.FFmpegError as error:
    print(type(error).__name__)
stop.set()
watcher.join()
print(most - before)
"""


@pytest.mark.parametrize(("mode", "least", "most"), [("bounded", 0, 64), ("unbounded", 100, 10_000)])
def test_a_description_of_two_hundred_mebibytes_is_refused(mode: str, least: int, most: int) -> None:
    done = subprocess.run([sys.executable, "-c", HOSTILE, mode], capture_output=True, text=True, timeout=60, check=True)
    *_, grown_mib = done.stdout.split()
    assert least <= int(grown_mib) <= most


def test_pictures_of_8k_are_still_decoded() -> None:
    code = """
import av, numpy as np
from anpr.video.memory import limit_blocks
assert limit_blocks()
frame = av.VideoFrame(7680, 4320, "yuv420p10le")
assert frame.reformat(format="gray10le").planes[0].buffer_size >= 7680 * 4320 * 2
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
