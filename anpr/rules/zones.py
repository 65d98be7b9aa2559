"""Zones: dated sets of provinces and places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from anpr.plates.provinces import codes
from anpr.rules.language import Period, ZoneText


@dataclass(frozen=True, slots=True)
class _Span:
    from_seconds: float
    until_seconds: float
    codes: frozenset[str]
    cameras: frozenset[str]
    sites: frozenset[str]


@dataclass(frozen=True, slots=True)
class Zone:
    """One zone, ready to be asked."""

    name: str
    vi: str
    en: str
    spans: tuple[_Span, ...]

    @classmethod
    def of(cls, text: ZoneText) -> Zone:
        """The zone as it was written."""
        return cls(text.name, text.vi, text.en, tuple(_span(period) for period in text.periods))

    def holds_code(self, code: str, at_seconds: float) -> bool:
        """Whether plates with a province code were registered in the zone, as it was at a wall time."""
        return any(code in span.codes for span in self.spans if span.from_seconds <= at_seconds < span.until_seconds)

    def holds_place(self, camera_id: str, site_id: str, at_seconds: float) -> bool:
        """Whether a camera stood in the zone as it was at a wall time."""
        for span in self.spans:
            here = camera_id in span.cameras or site_id in span.sites
            if here and span.from_seconds <= at_seconds < span.until_seconds:
                return True
        return False

    def ever_holds_place(self, camera_id: str, site_id: str) -> bool:
        """Whether a camera stood in the zone at any time."""
        return any(camera_id in span.cameras or site_id in span.sites for span in self.spans)

    def holds_province(self, name: str, at_seconds: float) -> bool:
        """Whether a province lay wholly in the zone at a wall time. A name of both maps means the smaller province:
        the Thái Nguyên of 2021 had no 97."""
        of_it = codes_of((name,), after=False) or codes_of((name,))
        return bool(of_it) and all(self.holds_code(code, at_seconds) for code in of_it)


def codes_of(names: Iterable[str], *, before: bool = True, after: bool = True) -> frozenset[str]:
    """The codes of provinces by their names before or after 2025-07-01."""
    wanted = frozenset(names)
    return frozenset(
        code.code for code in codes().values() if (before and code.before in wanted) or (after and code.after in wanted)
    )


def _span(period: Period) -> _Span:
    return _Span(
        from_seconds=-inf if period.begin is None else period.begin,
        until_seconds=inf if period.end is None else period.end,
        codes=frozenset(period.codes)
        | codes_of(period.provinces, before=False)
        | codes_of(period.provinces_before, after=False),
        cameras=frozenset(period.cameras),
        sites=frozenset(period.sites),
    )
