"""`anpr WORDS` in the process of the test."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from anpr.cli import application

REASON = ("--purpose", "a theft", "--case", "17/2026")
"""Of who asks for what is stored."""


def run(*words: object) -> Result:
    """What a verb prints, its exit code, and what it raises."""
    return CliRunner().invoke(application(), [str(each) for each in words])
