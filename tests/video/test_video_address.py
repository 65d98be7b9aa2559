from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.errors import StreamError
from anpr.video.address import Address, redact

CANARY = "Kan4ri"
ODD_PASSWORDS = [f"{CANARY}{odd}{CANARY}" for odd in ("@", ":", "/", "?", "#", "%", "%zz", "%40", "@:/?#%", "&", "=")]


@pytest.mark.parametrize("password", ODD_PASSWORDS)
@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("tail", ["10.0.0.7:554/stream?channel=1", "cam.example.vn", "[fe80::1]:8554/a", "localhost/x"])
def test_odd_passwords_are_understood_and_hidden(password: str, encoded: bool, tail: str) -> None:
    location = f"rtsp://guard:{quote(password, safe='') if encoded else password}@{tail}"
    address = Address.parse(location)
    assert address.user == "guard"
    understood = password if encoded else password.replace("%40", "@")
    assert address.password == understood
    assert address.host + address.path == tail
    assert Address.parse(address.url) == address
    for shown in (redact(f"cannot open '{location}': refused"), str(address), repr(address), f"{address!r}"):
        assert CANARY not in shown
        assert "guard" not in shown
        assert tail.partition("?")[0] in shown
    for text in (understood, quote(understood, safe=""), address.url, location):
        assert CANARY not in address.hide(f"libav says: {text} is wrong")


def test_addresses_without_secrets_stay() -> None:
    for location in ("rtsp://10.0.0.7:554/cam/1", "rtsp://camera/live@main", "rtsp://10.0.0.7:554/cam@10.0.0.8"):
        address = Address.parse(location)
        assert (address.user, address.password) == ("", "")
        assert address.url == location
    assert redact("rtsp://10.0.0.7:554/cam/1 is offline, mail ops@example.vn") == (
        "rtsp://10.0.0.7:554/cam/1 is offline, mail ops@example.vn"
    )


def test_an_at_sign_in_the_query_is_not_the_password() -> None:
    address = Address.parse("rtsp://guard:secret@10.0.0.7/x?to=a@b")
    assert (address.password, address.host, address.path) == ("secret", "10.0.0.7", "/x?to=a@b")


def test_secrets_in_the_query_are_hidden() -> None:
    location = f"rtsp://10.0.0.7/user=admin&password={CANARY}&channel=1"
    assert redact(location) == "rtsp://10.0.0.7/user=***&password=***&channel=1"
    assert CANARY not in repr(Address.parse(location))
    assert Address.parse(location).url == location


@pytest.mark.parametrize(
    "location", ["", "rtsp://", "http://10.0.0.7/x", f"rtsp://u:{CANARY}@", f"rtsp://u:{CANARY}@/x"]
)
def test_bad_addresses_are_refused_without_showing_them(location: str) -> None:
    with pytest.raises(StreamError) as caught:
        Address.parse(location)
    assert CANARY not in str(caught.value)
    assert caught.value.cure


@given(
    st.text(
        st.characters(min_codepoint=33, max_codepoint=0x1EF9, exclude_categories=["Cs", "Z", "C"]),
        min_size=1,
        max_size=13,
    )
)
def test_any_password_survives_the_way_to_libav(password: str) -> None:
    location = f"rtsp://guard:{quote(password, safe='')}@10.0.0.7/x"
    address = Address.parse(location)
    assert address.password == password
    assert Address.parse(address.url) == address
