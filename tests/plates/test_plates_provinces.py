from datetime import UTC, date, datetime

import pytest

from anpr.errors import PlateError
from anpr.plates.provinces import MERGER, codes, never_assigned, province, vietnam_date

EVE = date(2025, 6, 30)


@pytest.mark.parametrize(
    ("code", "before", "after"),
    [
        ("97", "Bắc Kạn", "Thái Nguyên"),
        ("20", "Thái Nguyên", "Thái Nguyên"),
        ("98", "Bắc Giang", "Bắc Ninh"),
        ("75", "Thừa Thiên Huế", "Huế"),
        ("94", "Bạc Liêu", "Cà Mau"),
        ("93", "Bình Phước", "Đồng Nai"),
        ("39", "Đồng Nai", "Đồng Nai"),
        ("41", "Hồ Chí Minh", "Hồ Chí Minh"),
        ("80", "", ""),
    ],
)
def test_the_map_is_dated(code: str, before: str, after: str) -> None:
    assert (province(code, EVE), province(code, MERGER)) == (before, after)


def test_counts_of_the_gazette() -> None:
    assert len(codes()) == 81
    assert len({entry.before for entry in codes().values() if entry.before}) == 63
    assert len({entry.after for entry in codes().values() if entry.after}) == 34
    assert sum(entry.before != entry.after for entry in codes().values()) == 30
    assert [code for code, entry in codes().items() if entry.issuer] == ["80"]


@pytest.mark.parametrize("code", ["13", "42", "44", "45", "46", "87", "91", "96", "10", "00", "1", "３０"])
def test_codes_never_assigned(code: str) -> None:
    with pytest.raises(PlateError, match="never assigned"):
        province(code, EVE)


def test_never_assigned_lists_them() -> None:
    assert never_assigned() == ("13", "42", "44", "45", "46", "87", "91", "96")


def test_the_day_begins_at_midnight_in_viet_nam() -> None:
    midnight = datetime(2025, 6, 30, 17, 0, tzinfo=UTC).timestamp()
    assert vietnam_date(midnight) == MERGER
    assert vietnam_date(midnight - 1) == EVE
