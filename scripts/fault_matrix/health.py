"""What the daemon says of itself over HTTP, asked as a monitoring system would."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import Any
from urllib.error import HTTPError, URLError

ASK_SECONDS = 2.0
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class Health:
    """The endpoint at 127.0.0.1:`port`."""

    def __init__(self, port: int) -> None:
        self.port = port

    def camera(self, name: str) -> dict[str, Any]:
        """What `/healthz` says of one camera; empty if nobody answers."""
        report = json.loads(self._ask("/healthz?verbose") or "{}")
        return next((each for each in report.get("cameras", ()) if each["id"] == name), {})

    def verdict(self) -> str:
        """What `/healthz` says of the whole box; empty if nobody answers."""
        return str(json.loads(self._ask("/healthz?verbose") or "{}").get("verdict", ""))

    def metric(self, name: str, **labels: str) -> float | None:
        """The sum of all samples of a metric that carry `labels`; None if nobody answers or there is none."""
        values = []
        for line in self._ask("/metrics").splitlines():
            sample = _SAMPLE.match(line)
            if sample and sample[1] == name and labels.items() <= dict(_LABEL.findall(sample[2] or "")).items():
                values.append(float(sample[3]))
        return sum(values) if values else None

    def _ask(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=ASK_SECONDS) as answer:
                text: str = answer.read().decode()
                return text
        except HTTPError as error:
            return error.read().decode()
        except (URLError, OSError):
            return ""
