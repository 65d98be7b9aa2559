"""What may stand in a log: no credential of any spelling, no plate of any form, nothing that a message quotes."""

from __future__ import annotations

import pickle
import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.config.site import Camera
from anpr.errors import PlateError
from anpr.plates.forms import FORMS
from anpr.plates.grammar import parse, require
from anpr.plates.patterns import parse_pattern
from anpr.privacy import HIDDEN, Private, mask_plate, mask_plates, masked, redact

CANARY = "Kan4ri"
ODD = ["@", ":", "/", "?", "#", "%", "%40", "'", "@:/?#%", ":/@", "#@", "12/34@"]


@st.composite
def plates(draw: st.DrawFn) -> str:
    """A plate of any form, in the engine's form."""
    form = draw(st.sampled_from(FORMS))
    text = ""
    for _, paths in form.parts:
        text += "".join(draw(st.sampled_from(characters)) for characters in draw(st.sampled_from(paths)))
    return text


def spellings(plate: str) -> set[str]:
    """As the engine, the plate and a clerk write it."""
    found = {plate, *(reading.display for reading in parse(plate))}
    found |= {text.replace(".", "") for text in found} | {text.replace(" ", "-") for text in found}
    found |= {text.replace("-", " ") for text in found if text[0].isdigit()}
    return found | {text.lower() for text in found if text[0].isdigit() and text[2] != " "}


def bare(text: str) -> str:
    """Letters and digits alone."""
    return re.sub(r"[\W_]", "", text).upper().replace("Đ", "D")


@given(plates())
def test_no_plate_of_any_form_and_spelling_passes(plate: str) -> None:
    for text in spellings(plate):
        for sentence in (text, f"seen {text}, again", f"('{text}',)", f"b'{text}'", f"http://register/{text}?x=1"):
            shown = mask_plates(sentence)
            assert text not in shown
            assert bare(plate) not in bare(shown)
            assert HIDDEN in shown
            assert mask_plates(shown) == shown


@given(plates(), st.integers(2, 5))
def test_no_pattern_that_says_much_passes(plate: str, hole: int) -> None:
    pattern = parse_pattern(f"{plate[:hole]}?{plate[hole + 1 :]}").text
    if sum(map(str.isdigit, pattern)) >= 3:
        assert pattern not in mask_plates(f"the pattern {pattern} is listed")


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T18:00:27.123456Z",
        "tcp://10.18.0.7:7781",
        "camera north, 1920x1080 h264 at 25 frames/s",
        "0.5 s, then 60 s; 12 of 4000 rows, 85 %",
        "sighting 3f2c9a71d04be85512ab90cc41aa77e0 at km12-north",
        "file.py:123: KeyError in worker-1 (pid 4711)",
        "*.toml and *? are no patterns of plates",
        "GPU 0 (NVIDIA H200, 139 GiB), exit code -9",
    ],
)
def test_what_is_no_plate_stays(text: str) -> None:
    assert masked(text) == text


def test_masked_plates_keep_too_little_to_find_a_vehicle() -> None:
    assert mask_plate("30A12345") == "30A***"
    assert mask_plate("30A-123.45") == "30A***"
    assert mask_plate("AB123") == "***"


@given(st.from_regex(r"[A-Za-z0-9:%!.-]{1,20}", fullmatch=True))
def test_redact_hides_every_user_info_and_is_idempotent(user_info: str) -> None:
    text = redact(f"see rtsp://{user_info}@host:554/path now")
    assert text == "see rtsp://***@host:554/path now"
    assert redact(text) == text


@pytest.mark.parametrize("url", ["rtsp://a:hunter2@host/x", "rtsp:/a:hunter2@host/x", "rtsp://a:p/hunter2?@host/x"])
def test_redact_hides_passwords_of_any_spelling(url: str) -> None:
    assert redact(f"{url}: no such file") == f"{url.partition('a:')[0]}***@host/x: no such file"


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize(
    "form",
    [
        "rtsp://10.0.0.7/s?user=admin&password={}&channel=1",
        "rtsp://10.0.0.7/user=admin_password={}_channel=1_stream=0.sdp",
        "rtsp://10.0.0.7:554/live?channel=1&pwd={}",
        "rtsp://10.0.0.7:554/live?access_token={}",
    ],
)
def test_a_camera_never_shows_the_secrets_of_its_address(odd: str, encoded: bool, form: str) -> None:
    secret = f"{CANARY}{odd}{CANARY}"
    url = form.format(quote(secret, safe="") if encoded else secret)
    shown = [redact(f"cannot open '{url}': refused")]
    if "@" not in url:
        camera = Camera.model_validate({"id": "north", "url": url})
        assert camera.address() == url
        shown += [repr(camera), str(camera), f"{camera!r}", repr([camera])]
    else:
        with pytest.raises(ValueError) as caught:
            Camera.model_validate({"id": "north", "url": url})
        shown.append(str(caught.value))
    for text in shown:
        assert CANARY not in text


@pytest.mark.parametrize("odd", ODD)
def test_an_address_that_carries_a_password_is_refused_without_showing_it(odd: str) -> None:
    with pytest.raises(ValueError) as caught:
        Camera.model_validate({"id": "north", "url": f"rtsp://admin:{CANARY}{odd}{CANARY}@10.0.0.7/x"})
    assert "must not carry a user name or password" in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("odd", ODD)
def test_a_password_from_the_environment_is_in_no_form_of_the_camera(odd: str) -> None:
    secret = f"{CANARY}{odd}{CANARY}"
    camera = Camera.model_validate({"id": "north", "url": "rtsp://10.0.0.7/x", "user": "admin"})
    camera = camera.model_copy(update={"password": type(camera.user)(secret)})
    assert quote(secret, safe="") in camera.address()
    assert CANARY not in f"{camera!r} {camera}"


def test_a_private_text_is_shown_without_what_it_quotes() -> None:
    text = Private("the file's line 7: 'Nguyễn Văn A' is no date, nor is \"O'Hara 30A-123.45\"; see 30A-123.45")
    assert masked(text) == "the file's line 7: *** is no date, nor is ***; see 30A***"
    assert masked(text, plates=False) == text
    assert masked(Private("x", masked="y")) == "y"
    again = pickle.loads(pickle.dumps(text))
    assert (again, again.masked) == (text, text.masked)


@pytest.mark.parametrize(
    "written", ["30A-1O3.45", "30W-123.45", "30A-123.456.7", "51Á-999.99", "30AB1234567", "Ng Van A"]
)
def test_what_is_wrong_with_a_plate_is_told_without_it(written: str) -> None:
    with pytest.raises(PlateError) as caught:
        require(written)
    assert bare(written) in bare(str(caught.value)) or repr(written) in str(caught.value)
    shown = masked(str(caught.value))
    assert bare(written)[2:] not in bare(shown)
    assert "'" not in shown
