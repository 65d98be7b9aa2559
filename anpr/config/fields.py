"""Field types that site and pipeline files share: strict tables, identifiers, paths, secrets, addresses.

A file is validated with a `Context`, which tells where relative paths start and where secrets are found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo
from pydantic_core import PydanticCustomError

from anpr.endpoints import is_endpoint
from anpr.privacy import redact

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_CAMERA_SCHEMES = ("rtsp", "rtsps")
_MOST_SECRET_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Context:
    """What a file's values are read against."""

    folder: Path
    """Relative paths start here: the file's own folder."""
    environment: Mapping[str, str] | None
    """Where `${NAME}` is looked up; None leaves secrets unresolved, to check a file without having them."""


class Table(BaseModel):
    """A TOML table: no unknown keys, no conversions, no NaN, no changes afterwards."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """An address may carry a secret in its query."""
        for name, value in super().__repr_args__():
            yield name, redact(value) if isinstance(value, str) else value


class Log(Table):
    """What stands in the log."""

    plates: Literal["masked", "clear"] = "masked"
    """`clear`: as they were read, and what is wrong in a list with the words of the list."""


def mistake(what: str, cure: str = "") -> PydanticCustomError:
    """A validation error with our own words; the loader adds the place."""
    return PydanticCustomError("mistake", "{what}", {"what": redact(what), "cure": cure})


def _context(info: ValidationInfo) -> Context:
    return info.context if isinstance(info.context, Context) else Context(Path(), None)


def _absolute(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise mistake("must be a path, in quotes")
    return _context(info).folder / Path(value).expanduser()


def _existing_file(path: Path) -> Path:
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise mistake(f"{path} {what}", "relative paths start at this file's folder")
    return path


def _existing(path: Path) -> Path:
    if not path.exists():
        raise mistake(f"{path} does not exist", "relative paths start at this file's folder")
    return path


def _from_environment(value: object, info: ValidationInfo) -> SecretStr:
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise mistake("a secret must not stand in this file", 'write "${NAME}" for an environment variable')
    environment = _context(info).environment
    if environment is None:
        return SecretStr("")
    secret = environment.get(match[1], "")
    if not secret:
        raise mistake(f"the environment variable {match[1]} is not set", f"export {match[1]} before starting anpr")
    return SecretStr(secret)


def _from_file(value: object, info: ValidationInfo) -> SecretStr:
    path = _absolute(value, info)
    if _context(info).environment is None:
        return SecretStr("")
    _existing_file(path)
    try:
        secret = path.read_bytes()[:_MOST_SECRET_BYTES].decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise mistake(f"{path} cannot be read as text", "put the secret alone into the file, as UTF-8") from error
    if not secret or "\n" in secret:
        raise mistake(f"{path} must hold one line", "put the secret alone into the file")
    return SecretStr(secret)


def _user_name(value: object, info: ValidationInfo) -> SecretStr:
    if isinstance(value, str) and _REFERENCE.fullmatch(value):
        return _from_environment(value, info)
    if not isinstance(value, str) or not value:
        raise mistake("must be a user name, in quotes")
    return SecretStr(value)


def _model(name: str, info: ValidationInfo) -> str:
    return str(_context(info).folder / Path(name).expanduser()) if "/" in name else name


def _pipeline(name: str, info: ValidationInfo) -> str:
    beside = _context(info).folder / Path(name).expanduser()
    return str(beside) if beside.is_file() else name


def _camera_url(url: str) -> str:
    if any(character.isspace() or not character.isprintable() for character in url):
        raise mistake("an address must not contain spaces or control characters")
    if "@" in url:  # anywhere: a password may hold / ? or #
        raise mistake(
            "an address must not carry a user name or password",
            'take it out and add user = "…" and password = "${NAME}" or password_file = "…"; an @ of the path is %40',
        )
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise mistake("not an address", "write rtsp://HOST:554/PATH") from None
    if parts.scheme not in _CAMERA_SCHEMES or not parts.hostname:
        raise mistake("not a camera's address", "write rtsp://HOST:554/PATH; a clip is given with file = …")
    return url


def _bus_endpoint(endpoint: str) -> str:
    if not is_endpoint(endpoint):
        raise mistake(f"not an endpoint: {endpoint!r}", "write tcp://127.0.0.1:7781 or ipc:///run/anpr/bus")
    return endpoint


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _identifier(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", value):
        raise mistake(f"{value!r} cannot be an id", "use letters, digits, - and _, at most 64, no dots or spaces")
    return value


Identifier = Annotated[str, AfterValidator(_identifier)]
"""A part of topics and folder names."""
PathValue = Annotated[Path, BeforeValidator(_absolute)]
"""A path that need not exist yet."""
FilePath = Annotated[Path, BeforeValidator(_absolute), AfterValidator(_existing_file)]
Existing = Annotated[Path, BeforeValidator(_absolute), AfterValidator(_existing)]
"""A file or a folder."""
Footage = Existing
"""A clip or a folder of images."""
EnvironmentSecret = Annotated[SecretStr, BeforeValidator(_from_environment)]
SecretFile = Annotated[SecretStr, BeforeValidator(_from_file)]
UserName = Annotated[SecretStr, BeforeValidator(_user_name)]
PipelineName = Annotated[str, Field(min_length=1), AfterValidator(_pipeline)]
"""The absolute path of a pipeline file, or the name of a preset."""
ModelName = Annotated[str, Field(min_length=1), AfterValidator(_model)]
"""The absolute path of a model folder, or the name of a bundled one: with a `/` it is a path."""
CameraUrl = Annotated[str, AfterValidator(_camera_url)]
BusEndpoint = Annotated[str, AfterValidator(_bus_endpoint)]
AsTuple = BeforeValidator(_as_tuple)
"""TOML arrays arrive as lists; our values are tuples."""
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
