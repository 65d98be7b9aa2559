"""Values of CloudEvents attributes as headers of another protocol."""

from __future__ import annotations

from urllib.parse import quote

_ALLOWED = "!#$&'()*+,/:;<=>?@[\\]^`{|}"
"""Of printable ASCII, what a header need not encode: all but space, `"` and `%`."""


def header_value(value: object) -> str:
    """`value` with spaces, `"`, `%` and all beyond printable ASCII percent-encoded, as CloudEvents asks."""
    return quote(str(value), safe=_ALLOWED, errors="replace")
