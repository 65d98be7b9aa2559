"""Log lines: one JSON object each, in UTC, without credentials."""

import io
import json
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from anpr import log


@pytest.fixture(autouse=True)
def _structlog_as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


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


@given(st.from_regex(r"[A-Za-z0-9:%!.-]{1,20}", fullmatch=True))
def test_redact_hides_every_user_info_and_is_idempotent(user_info: str) -> None:
    text = log.redact(f"see rtsp://{user_info}@host:554/path now")
    assert text == "see rtsp://***@host:554/path now"
    assert log.redact(text) == text


def test_masked_plates_keep_too_little_to_find_a_vehicle() -> None:
    assert log.mask_plate("30A12345") == "30A1***5"
    assert log.mask_plate("30A") == "***"


@pytest.mark.parametrize("url", ["rtsp://a:hunter2@host/x", "rtsp:/a:hunter2@host/x", "rtsp://a:p/hunter2?@host/x"])
def test_redact_hides_passwords_of_any_spelling(url: str) -> None:
    assert log.redact(f"{url}: no such file") == f"{url.partition('a:')[0]}***@host/x: no such file"
