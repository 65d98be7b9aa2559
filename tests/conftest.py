"""What holds for every room; that this file is here also lets tests import the modules beside it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """Programs own their process, and set how it logs."""
    yield
    structlog.reset_defaults()
