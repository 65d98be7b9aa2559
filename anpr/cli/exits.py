"""The exit codes of every verb, after sysexits.h where it has one."""

from __future__ import annotations

from anpr.errors import AnprError, BusError, DeviceError, MediaError, PlateError, StoreError, StreamError

OK = 0
FINDINGS = 1
"""The verb worked and found something wrong, or nothing at all."""
USAGE = 2
UNAVAILABLE = 69
"""A camera, an endpoint or a processor cannot be reached."""
INPUT_OUTPUT = 74
"""Footage or the store cannot be read or written."""
CONFIGURATION = 78
"""A site or pipeline file, a model folder or a watch-list is wrong."""
INTERRUPTED = 130
"""Ctrl-C; as a shell tells of SIGINT."""
CUT_SHORT = 143
"""`anpr run` was asked a second time to end, and did not wait; as a shell tells of SIGTERM."""


def code_of(error: AnprError) -> int:
    """The exit code that tells a program what kind of error ended the verb."""
    match error:
        case PlateError():
            return USAGE
        case StreamError() | BusError() | DeviceError():
            return UNAVAILABLE
        case MediaError() | StoreError():
            return INPUT_OUTPUT
        case _:
            return CONFIGURATION
