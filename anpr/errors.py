"""Every error that anpr raises on purpose.

    AnprError
    ├── ConfigError        a site, pipeline or rule file          (also ValueError)
    ├── PlateError         a text that is no Vietnamese plate     (also ValueError)
    ├── WatchListError     a watch-list file                      (also ValueError)
    ├── DeclarationError   a declaration, or a file of them       (also ValueError)
    ├── MediaError         a clip, an image or a camera           (also OSError)
    │   ├── ImageError     an image file
    │   ├── VideoError     a video file
    │   └── StreamError    a camera's stream
    │       └── StreamAuthError   the camera refused the password
    ├── ModelError         a model folder                         (also ValueError)
    ├── DeviceError        a processor that was asked for and is missing (also RuntimeError)
    │   └── DeviceMemoryError   its memory is full
    ├── StoreError         the store or its evidence files        (also OSError)
    └── BusError           an endpoint or a message               (also OSError)

Each carries what is wrong, where (file, line, camera), and the cure. `str(error)` is one line for a person.
"""

from __future__ import annotations

from collections.abc import Mapping

from anpr.privacy import Private


class AnprError(Exception):
    """The root. `place` is the file, `file:line:column`, camera or endpoint; `cure` what a person can do about it.

    A `problem` that is `Private` makes the whole text so.
    """

    def __init__(self, problem: str, *, place: str = "", cure: str = "") -> None:
        self.problem = problem
        self.place = place
        self.cure = cure
        head = f"{place}: " if place else ""
        text = f"{head}{problem} ({cure})" if cure else f"{head}{problem}"
        super().__init__(Private(text, masked=head + problem.masked) if isinstance(problem, Private) else text)

    def __str__(self) -> str:
        text: str = self.args[0]
        return text


class ConfigError(AnprError, ValueError):
    """A site, pipeline or rule file is wrong. `problems` holds a line per mistake, `file:line:column: what (cure)`."""

    def __init__(self, problem: str, *, place: str = "", cure: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(problem, place=place, cure=cure)
        self.problems = problems or (str(self),)


class PlateError(AnprError, ValueError):
    """A text cannot be a Vietnamese plate; the problem says why, and quotes it."""

    def __init__(self, problem: str, *, place: str = "", cure: str = "") -> None:
        super().__init__(Private(problem), place=place, cure=cure)


class WatchListError(AnprError, ValueError):
    """A watch-list file cannot be taken. `problems` holds one line per bad row, `details` the same for a program."""

    def __init__(
        self,
        problem: str,
        *,
        place: str = "",
        cure: str = "",
        problems: tuple[str, ...] = (),
        details: tuple[Mapping[str, object], ...] = (),
    ) -> None:
        super().__init__(problem, place=place, cure=cure)
        self.problems = problems or (str(self),)
        self.details = details

    @property
    def summary(self) -> str:
        """Why it is refused as a whole, in one line that quotes nothing of it, with the cure."""
        problem = self.problem.masked if isinstance(self.problem, Private) else self.problem
        return f"{self.place}: {problem}" + (f" ({self.cure})" if self.cure else "")


class DeclarationError(AnprError, ValueError):
    """A declaration cannot be taken. `problems` holds one line per mistake."""

    def __init__(self, problem: str, *, place: str = "", cure: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(problem, place=place, cure=cure)
        self.problems = problems or (str(self),)


class MediaError(AnprError, OSError):
    """Footage cannot be opened, read or decoded."""


class ImageError(MediaError):
    """An image file is missing, empty, no image, or too large."""


class VideoError(MediaError):
    """A video file is missing, empty or corrupt."""


class StreamError(MediaError):
    """A camera's stream cannot be opened or has stopped."""


class StreamAuthError(StreamError):
    """The camera refused the user name or password: retry slowly, some cameras lock the account."""


class ModelError(AnprError, ValueError):
    """A model folder is incomplete, damaged, or not what its model.toml says."""


class DeviceError(AnprError, RuntimeError):
    """A processor or execution provider was asked for and is not there, or does not answer."""


class DeviceMemoryError(DeviceError):
    """A GPU's memory is full: smaller batches may still fit."""


class StoreError(AnprError, OSError):
    """The store cannot be opened, read or written."""


class BusError(AnprError, OSError):
    """An endpoint cannot be bound or connected, or a message is not ours."""
