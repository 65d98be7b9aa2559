"""How a plate is printed: dashes, dots and Đ put back."""

from __future__ import annotations

import re

from anpr.plates.forms import Kind

_STROKED = {"TD": "TĐ", "MD": "MĐ"}
"""Series whose D is printed as Đ."""


def printed(kind: Kind, matched: re.Match[str]) -> str:
    """The printed form of a plate from the named parts that its form matched."""
    parts = matched.groupdict(default="")
    series, number = parts["series"], parts["number"]
    match kind:
        case "military":
            return f"{series}-{_pairs(number)}" + (f" {parts['suffix']}" if "suffix" in parts else "")
        case "foreign":
            middle = [parts["organisation"], series]
            if matched.start("series") < matched.start("organisation"):
                middle.reverse()
            return "-".join([parts["province"], *middle, number])
        case "temporary":
            return f"T{parts['province']}-{_dotted(number)}"
        case "motorbike":
            return f"{parts['province']}-{series} {_dotted(number)}"
        case "motorbike_electric":
            return f"{parts['province']}-{_STROKED['MD']}{series[2:]} {_dotted(number)}"
        case "car" | "special" | "agricultural":
            return f"{parts['province']}{_STROKED.get(series, series)}-{_dotted(number)}"


def _dotted(number: str) -> str:
    return f"{number[:3]}.{number[3:]}" if len(number) == 5 else number


def _pairs(number: str) -> str:
    return f"{number[:2]}-{number[2:]}" if len(number) == 4 else number
