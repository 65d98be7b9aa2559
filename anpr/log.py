"""Log lines: one JSON object each on stderr, or coloured text on a terminal. Credentials never pass.

Events are stable snake_case names (`camera_connected`), facts are keyword values: `log.info("worker_started", pid=17)`.
"""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog

Level = Literal["debug", "info", "warning", "error"]

_USER_INFO = re.compile(r"(:/{1,2})[^\s\"']*@")
"""A password may hold `/ ? #`, and a file name that was meant as a URL has lost one of its slashes."""
_QUERY_SECRET = re.compile(r"(?i)\b(password|passwd|pass|pwd|token|secret|key)=[^&\s\"']+")
_SECRET_NAMES = frozenset({"password", "passwd", "secret", "token", "authorization"})
_HIDDEN = "***"


def redact(text: str) -> str:
    """`text` without the credentials of its URLs (`rtsp://user:pw@host` becomes `rtsp://***@host`)."""
    return _QUERY_SECRET.sub(rf"\1={_HIDDEN}", _USER_INFO.sub(rf"\1{_HIDDEN}@", text))


def mask_plate(text: str) -> str:
    """A plate as logs may show it: `30A12345` becomes `30A1***5`. Short texts are hidden whole."""
    return text[:4] + _HIDDEN + text[-1] if len(text) >= 7 else _HIDDEN


def configure(*, level: Level = "info", as_json: bool | None = None, stream: TextIO | None = None) -> None:
    """Send every log line of this process to `stream` (stderr). Call once, when the process starts.

    `as_json` None means: JSON unless the stream is a terminal.
    """
    stream = stream or sys.stderr
    human = stream.isatty() if as_json is None else not as_json
    renderer = (
        structlog.dev.ConsoleRenderer(exception_formatter=_redacted_traceback)
        if human
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(() if human else (structlog.processors.format_exc_info,)),
            _redact_event,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )


def _redact_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Structlog processor: no credential leaves, however deep it lies in the event."""
    return {name: _HIDDEN if name.lower() in _SECRET_NAMES else _redacted(value) for name, value in event.items()}


def _redacted_traceback(stream: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    stream.write(redact(text.getvalue()))


def _redacted(value: object) -> object:
    match value:
        case str():
            return redact(value)
        case Mapping():
            return {
                name: _HIDDEN if str(name).lower() in _SECRET_NAMES else _redacted(item) for name, item in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [_redacted(item) for item in value]
        case BaseException():
            return redact(str(value))
        case _:
            return value
