"""The demo: replays the bundled clip with a subscriber listening in another process. Run it with `scripts/demo`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

from anpr.config import load_site

FOLDER = Path(__file__).resolve().parent.parent / "configs" / "demo"
SUBSCRIBE_SECONDS = 1.0
"""For the subscriber to start and connect: what is published before is not its to hear."""
HEAR_SECONDS = 0.5
"""For the last events to reach it."""
CLEAR_LINE = "\r\x1b[2K"


def main() -> int:
    """Run both processes; the exit code is the replay's."""
    site = FOLDER / "site.toml"
    endpoint = load_site(site).bus.endpoint
    anpr = [sys.executable, "-m", "anpr"]
    terminal = sys.stdout.isatty()
    colours = {"FORCE_COLOR": "1"} if terminal else {}
    print(f"in another process: anpr listen {endpoint}", flush=True)
    listener = subprocess.Popen(
        [*anpr, "listen", endpoint], stdout=subprocess.PIPE, text=True, env={**os.environ, **colours}
    )
    assert listener.stdout is not None
    printer = threading.Thread(target=copy, args=(listener.stdout, CLEAR_LINE if terminal else ""))
    printer.start()
    try:
        time.sleep(SUBSCRIBE_SECONDS)
        clip, truth = FOLDER / "expressway.mp4", FOLDER / "expressway.truth.jsonl"
        replay = [*anpr, "replay", str(clip), "--truth", str(truth), "--site", str(site), *sys.argv[1:]]
        replayed = subprocess.run([*replay, "--summary-only"], check=False)
        time.sleep(HEAR_SECONDS)
        return replayed.returncode
    finally:
        listener.terminate()
        listener.wait()
        printer.join()


def copy(lines: IO[str], before: str) -> None:
    """Print the subscriber's lines as they come; `before` wipes the other process's progress bar off the line."""
    for line in lines:
        print(before + line, end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
