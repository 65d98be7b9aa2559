"""Log lines: one JSON object each, in UTC, without credentials and plates."""

import io
import json
import subprocess
import sys

import pytest
import structlog

from anpr import log
from anpr.privacy import Private


def lines(**options: object) -> tuple[io.StringIO, structlog.stdlib.BoundLogger]:
    stream = io.StringIO()
    log.configure(stream=stream, **options)  # type: ignore[arg-type]
    return stream, structlog.get_logger()


def test_one_json_object_per_line() -> None:
    stream, logger = lines()
    logger.info("camera_connected", camera="Bắc", width_px=1920)
    logger.debug("too_fine")
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event["event"] == "camera_connected"
    assert event["level"] == "info"
    assert event["camera"] == "Bắc"
    assert event["timestamp"].endswith("Z")


def test_credentials_never_pass_however_deep() -> None:
    stream, logger = lines()
    url = "rtsp://admin:hunter2@10.0.0.1/a?password=hunter3&x=1"
    logger.info("open", url=url, nested={"list": [url], "password": "hunter4"}, error=OSError(f"cannot open {url}"))
    try:
        raise OSError(url)
    except OSError:
        logger.exception("failed")
    text = stream.getvalue()
    assert "hunter" not in text
    assert "rtsp://***@10.0.0.1/a?password=***&x=1" in text


def test_a_terminal_gets_text_without_credentials() -> None:
    stream, logger = lines(as_json=False)
    logger.warning("open", url="rtsp://a:hunter2@h/")
    try:
        raise OSError("rtsp://a:hunter2@h/")
    except OSError:
        logger.exception("failed")
    assert "Traceback" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_plates_are_masked_however_deep() -> None:
    stream, logger = lines()
    bad = Private("line 5: '30A-1O3.45' is no plate", masked="line 5: no plate")
    logger.warning(
        "told", problem="30A-123.45 is there twice", deep=[{"29-H1 123.45": ("AB-12-34", bad)}], raw=b"30A12345"
    )
    try:
        raise KeyError("30A12345")
    except KeyError:
        logger.exception("failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["problem"] == "30A*** is there twice"
    assert first["deep"] == [{"29-***": ["AB-***", "line 5: no plate"]}]
    assert first["raw"] == "30A***"
    assert "KeyError: '30A***'" in second["exception"]


def test_names_and_numbers_stay_as_they_are() -> None:
    stream, logger = lines()
    logger.info("told", camera="12A-3456", version="30a12345", pid=123456, share=0.5, open=True, none=None)
    event = json.loads(stream.getvalue())
    assert (event["camera"], event["version"]) == ("12A-3456", "30a12345")
    assert (event["pid"], event["share"], event["open"], event["none"]) == (123456, 0.5, True, None)


def test_plates_stand_in_clear_only_if_asked_for() -> None:
    stream, logger = lines(plates="clear")
    logger.info("told", problem=Private("'30A-123.45'"), url="rtsp://a:hunter2@h/")
    event = json.loads(stream.getvalue())
    assert event["problem"] == "'30A-123.45'"
    assert event["url"] == "rtsp://***@h/"


def test_a_terminal_gets_text_without_plates() -> None:
    stream, logger = lines(as_json=False)
    try:
        raise KeyError("30A12345")
    except KeyError as error:
        logger.error("failed", exc_info=error, problem="30A12345")
    assert "Traceback" in stream.getvalue()
    assert "30A12345" not in stream.getvalue()
    assert stream.getvalue().count("30A***") >= 2


CRASHES = {
    "main": "raise KeyError('30A12345')",
    "thread": "import threading; t = threading.Thread(target=lambda: {}['30A12345']); t.start(); t.join()",
    "library": "import logging; logging.getLogger('kafka').error('30A12345 at %s', 'rtsp://a:hunter2@h/')",
    "warning": "import warnings; warnings.warn('30A12345')",
}


@pytest.mark.parametrize("how", CRASHES)
def test_what_others_write_to_stderr_goes_through_the_log(how: str) -> None:
    program = f"from anpr import log\nlog.configure()\nlog.take_over()\n{CRASHES[how]}\n"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    (line,) = ended.stderr.splitlines()
    assert json.loads(line)["event"] == ("crashed" if how in ("main", "thread") else "library_says")
    assert "30A***" in line
    assert "30A12345" not in line
    assert "hunter2" not in line
    assert ended.returncode == (1 if how == "main" else 0)
