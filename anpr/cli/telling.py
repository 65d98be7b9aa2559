"""What a verb says beside its answer, on stderr."""

from __future__ import annotations

import sys

from anpr.privacy import masked


def tell(text: str, *, head: str = "") -> None:
    """Say `head` and `text`, never with a credential.

    Plates, and what a message quotes of a list, are shown to a person at a terminal alone: else stderr is a log.
    """
    if sys.stderr is None:
        return  # who has closed it wants to hear nothing, and `print` would put it among the answer
    print(f"{head}{masked(text, plates=not sys.stderr.isatty())}", file=sys.stderr)
