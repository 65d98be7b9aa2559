"""Words of the rules in Vietnamese and English. A `Said` is the same thing in both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from anpr.plates.provinces import VIETNAM_TIME


class Said(NamedTuple):
    """One thing in both languages."""

    vi: str
    en: str


NOTHING = Said("?", "?")

KINDS: Mapping[str, Said] = {
    "car": Said("ô tô", "car"),
    "special": Said("sê-ri đặc biệt", "special series"),
    "agricultural": Said("máy nông nghiệp", "agricultural"),
    "motorbike": Said("mô tô", "motorbike"),
    "motorbike_electric": Said("mô tô điện", "electric motorbike"),
    "foreign": Said("nước ngoài", "foreign"),
    "temporary": Said("đăng ký tạm thời", "temporary"),
    "military": Said("quân đội", "military"),
}
COLOURS: Mapping[str, Said] = {
    "white": Said("trắng", "white"),
    "yellow": Said("vàng", "yellow"),
    "blue": Said("xanh", "blue"),
    "red": Said("đỏ", "red"),
}
DIRECTIONS: Mapping[str, Said] = {
    "approaching": Said("đi về phía camera", "towards the camera"),
    "receding": Said("đi xa khỏi camera", "away from the camera"),
}
BOUNDS: Mapping[str, Said] = {
    "in": Said("đi vào tỉnh", "into the province"),
    "out": Said("đi ra khỏi tỉnh", "out of the province"),
}
CLASSES: Mapping[str, Said] = {
    "car": Said("xe con", "car"),
    "van": Said("xe tải van", "van"),
    "bus": Said("xe khách", "bus"),
    "truck": Said("xe tải", "truck"),
    "trailer": Said("rơ-moóc", "trailer"),
    "motorbike": Said("mô tô", "motorbike"),
    "other": Said("loại khác", "other"),
}
DAYS: Mapping[str, Said] = {
    "mon": Said("thứ Hai", "Monday"),
    "tue": Said("thứ Ba", "Tuesday"),
    "wed": Said("thứ Tư", "Wednesday"),
    "thu": Said("thứ Năm", "Thursday"),
    "fri": Said("thứ Sáu", "Friday"),
    "sat": Said("thứ Bảy", "Saturday"),
    "sun": Said("Chủ nhật", "Sunday"),
}


def same(text: str) -> Said:
    """A name or a number, which needs no translation; `?` if there is none."""
    return Said(text, text) if text else NOTHING


def word(words: Mapping[str, Said], key: str) -> Said:
    """A word of one of the tables above; the key itself if it is not there."""
    return words.get(key) or same("" if key == "unknown" else key)


def any_word(words: Mapping[str, Said], keys: Iterable[str]) -> Said:
    """`A, B or C`."""
    return one_of(word(words, key) for key in keys)


def one_of(things: Iterable[Said]) -> Said:
    """`A, B or C`."""
    listed = list(things)
    return Said(_joined([each.vi for each in listed], "hoặc"), _joined([each.en for each in listed], "or"))


def _joined(texts: list[str], conjunction: str) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {conjunction} {texts[-1]}"


def duration(seconds: float) -> Said:
    """`35 min`, `4 h 10 min`, `3 days`."""
    seconds = round(seconds)
    if seconds < 60:
        return Said(f"{seconds} giây", f"{seconds} s")
    minutes, rest = divmod(seconds, 60)
    if minutes < 10 and rest:
        return Said(f"{minutes} phút {rest} giây", f"{minutes} min {rest} s")
    if minutes < 120:
        return Said(f"{minutes} phút", f"{minutes} min")
    hours, minutes = divmod(minutes, 60)
    if hours < 72:
        tail = Said(f" {minutes} phút", f" {minutes} min") if minutes else Said("", "")
        return Said(f"{hours} giờ{tail.vi}", f"{hours} h{tail.en}")
    days, hours = divmod(hours, 24)
    tail = Said(f" {hours} giờ", f" {hours} h") if hours else Said("", "")
    return Said(f"{days} ngày{tail.vi}", f"{days} days{tail.en}")


def date_of(seconds: float) -> Said:
    """`20/05/2021`, `2021-05-20`."""
    day = datetime.fromtimestamp(seconds, VIETNAM_TIME).date()
    return Said(f"{day.day:02}/{day.month:02}/{day.year}", day.isoformat())


def time_of(seconds: float) -> Said:
    """`10:00:05`."""
    return same(datetime.fromtimestamp(seconds, VIETNAM_TIME).time().isoformat("seconds"))


def moment_of(seconds: float) -> Said:
    """Time and date."""
    date, time = date_of(seconds), time_of(seconds)
    return Said(f"{time.vi} ngày {date.vi}", f"{date.en} {time.en}")


def number(value: float, digits: int = 0) -> Said:
    """`141`, `0,98`, `0.98`."""
    text = f"{value:.{digits}f}"
    return Said(text.replace(".", ","), text)


def percent(share: float) -> Said:
    """`98 %`; rounded down, so that it never promises more than there is."""
    return same(f"{int(share * 100 + 1e-9)} %")
