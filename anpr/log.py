"""Log lines: one JSON object each on stderr, or coloured text on a terminal. Credentials never pass, plates are masked.

Events are stable snake_case names (`camera_connected`), facts are keyword values: `log.info("worker_started", pid=17)`.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
import warnings
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog

from anpr.privacy import HIDDEN, masked

Level = Literal["debug", "info", "warning", "error"]
Plates = Literal["masked", "clear"]

_SECRET_NAMES = frozenset({"password", "passwd", "secret", "token", "authorization"})
_NAMES = frozenset({"camera", "cameras", "fingerprint", "models", "pipeline", "version", "worker"})
"""Facts that are names from a file, or hashes: they may look like a plate, and are none."""


def configure(
    *, level: Level = "info", as_json: bool | None = None, plates: Plates = "masked", stream: TextIO | None = None
) -> None:
    """Send every log line of this process to `stream` (stderr). Call once, when the process starts.

    `as_json` None means: JSON unless the stream is a terminal.
    """
    stream = stream or sys.stderr
    human = stream.isatty() if as_json is None else not as_json
    veil = _Veil(mask=plates == "masked")
    renderer = (
        structlog.dev.ConsoleRenderer(exception_formatter=veil.traceback)
        if human
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(() if human else (structlog.processors.format_exc_info,)),
            veil,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )


def take_over() -> None:
    """Log also what this process would else write to stderr by itself: faults that nobody catches, and the warnings of
    libraries. Call once, in a process of our own, after `configure`."""

    def tell_crash(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            structlog.get_logger().error("crashed", exc_info=(kind, error, trace))

    sys.excepthook = tell_crash
    threading.excepthook = lambda crash: tell_crash(
        crash.exc_type, crash.exc_value or crash.exc_type(), crash.exc_traceback
    )
    logging.lastResort = _OfLibraries(logging.WARNING)
    warnings.showwarning = _tell_warning


def _tell_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    structlog.get_logger().warning("library_says", library=category.__name__, problem=f"{filename}:{lineno}: {message}")


class _OfLibraries(logging.Handler):
    """Hands what a library logs on to our own log."""

    def emit(self, record: logging.LogRecord) -> None:
        tell = structlog.get_logger()
        (tell.error if record.levelno >= logging.ERROR else tell.warning)(
            "library_says", library=record.name, problem=record.getMessage(), exc_info=record.exc_info
        )


class _Veil:
    """Structlog processor: no credential leaves, and no plate, however deep it lies in the event."""

    def __init__(self, *, mask: bool) -> None:
        self._mask = mask

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        return {name: self._fact(name, value) for name, value in event.items()}

    def traceback(self, stream: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
        """Write a traceback for people."""
        text = io.StringIO()
        structlog.dev.plain_traceback(text, exc_info)
        stream.write(masked(text.getvalue(), plates=self._mask))

    def _fact(self, name: str, value: object) -> object:
        if name.lower() in _SECRET_NAMES:
            return HIDDEN
        if name == "exc_info":
            return value  # the renderer for people asks `traceback`
        return self._shown(value, mask=self._mask and name not in _NAMES)

    def _shown(self, value: object, *, mask: bool) -> object:
        match value:
            case str():
                return masked(value, plates=mask)
            case bytes():
                return masked(value.decode(errors="backslashreplace"), plates=mask)
            case Mapping():
                return {
                    masked(str(name), plates=mask): HIDDEN
                    if str(name).lower() in _SECRET_NAMES
                    else self._shown(item, mask=mask)
                    for name, item in value.items()
                }
            case list() | tuple() | set() | frozenset():
                return [self._shown(item, mask=mask) for item in value]
            case bool() | int() | float() | None:
                return value
            case _:
                return masked(str(value), plates=mask)
