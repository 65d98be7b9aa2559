"""Loads site, pipeline and bridge files. Every mistake is told at once, each as `file:line:column: what (cure)`."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from anpr import assets
from anpr.config import site as site_module
from anpr.config.bridge import BridgeFile
from anpr.config.fields import Context, Table
from anpr.config.pipeline import Pipeline, Preset
from anpr.config.positions import START, Position, Positions, locate
from anpr.config.site import Site
from anpr.endpoints import host_and_port
from anpr.errors import ConfigError
from anpr.privacy import redact

LARGEST_BYTES = 1 << 20
"""A configuration beyond this is a mistake: a clip or a list given in its place."""

_SYNTAX_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_WORDS = {
    "model_type": "should be a table",
    "tuple_type": "should be an array",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "bool_type": "should be true or false",
}
_SECRET_KEYS = frozenset({"user", "password", "password_file", "secret", "secret_file", "token", "token_file"})

Location = tuple[str | int, ...]
_Table = TypeVar("_Table", bound=Table)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in one file."""

    path: str
    position: Position
    what: str
    cure: str = ""

    def __str__(self) -> str:
        line, column = self.position
        text = f"{self.path}:{line}:{column}: {self.what}"
        return f"{text} ({self.cure})" if self.cure else text


def load_site(path: str | Path, *, environment: Mapping[str, str] | None = os.environ) -> Site:
    """The site file at `path`, its pipelines checked too.

    `environment` resolves `${NAME}`; None checks the file without its secrets. Raises ConfigError with all mistakes.
    """
    path = Path(path)
    data, positions = parse_file(path)
    problems = [Problem(str(path), positions.of_value(at), what, cure) for at, what, cure in site_module.repeated(data)]
    context = Context(path.parent.absolute(), environment)
    site, mistakes = validate(Site, data, path=path, positions=positions, context=context)
    problems += mistakes
    checked: set[str] = set()
    for index, camera in enumerate(_tables(data.get("cameras"))):
        name = camera.get("pipeline", "cpu")
        if isinstance(name, str) and name not in checked:
            checked.add(name)
            where = positions.of_value(("cameras", index, "pipeline"))
            problems += _pipeline_problems(name, Problem(str(path), where, ""), folder=path.parent)
    if site is None or problems:
        raise refusal(path, problems)
    return site


def health_address_of(path: str | Path) -> str:
    """Where the box of the site file at `path` answers questions, `host:port`; the rest of the file is not looked at.

    What the file names may be gone, while the box runs with what it has read. Raises ConfigError.
    """
    path = Path(path)
    data, positions = parse_file(path)
    table = data.get("health")
    if not isinstance(table, dict):
        raise ConfigError("the box answers no questions", place=str(path), cure="add [health] and start it anew")
    address = table.get("address", site_module.Health().address)
    try:
        host_and_port(str(address))
    except ValueError as error:
        where = positions.of_value(("health", "address"))
        raise refusal(path, [Problem(str(path), where, str(error), "write 127.0.0.1:7780")]) from error
    return str(address)


def load_bridge(path: str | Path, *, environment: Mapping[str, str] | None = os.environ) -> BridgeFile:
    """The bridge file at `path`; `environment` as for a site file. Raises ConfigError with all mistakes."""
    path = Path(path)
    data, positions = parse_file(path)
    context = Context(path.parent.absolute(), environment)
    bridge, problems = validate(BridgeFile, data, path=path, positions=positions, context=context)
    if bridge is None or problems:
        raise refusal(path, problems)
    return bridge


def load_any(path: str | Path, *, environment: Mapping[str, str] | None = os.environ) -> Site | Pipeline | BridgeFile:
    """The site, pipeline or bridge file at `path`, told apart by its keys. Raises ConfigError with all mistakes."""
    path = Path(path)
    keys = parse_file(path)[0].keys()
    if len(keys & BridgeFile.model_fields.keys()) > len(keys & Site.model_fields.keys()):
        return load_bridge(path, environment=environment)
    if len(keys & Preset.model_fields.keys()) > len(keys & Site.model_fields.keys()):
        return load_pipeline(path.absolute())
    return load_site(path, environment=environment)


def load_pipeline(name: str | Path, *, folder: Path | None = None) -> Pipeline:
    """The pipeline file at `name`: a path (relative to `folder` first, then to the work folder) or a preset's name.

    Raises ConfigError with all mistakes.
    """
    path = find_pipeline(str(name), folder=folder)
    data, positions = parse_file(path)
    context = Context(path.parent.absolute(), None)
    preset, problems = validate(Preset, data, path=path, positions=positions, context=context)
    if preset is None or problems:
        raise refusal(path, problems)
    return Pipeline.of(preset, name=path.stem)


def find_pipeline(name: str, *, folder: Path | None = None) -> Path:
    """The file that `name` means: beside `folder`, in the work folder, or a preset (with or without `.toml`).

    Raises ConfigError that lists the presets.
    """
    beside = (folder or Path()) / Path(name).expanduser()
    if beside.is_file():
        return beside
    preset = assets.folder("pipelines") / f"{name}.toml"
    return preset if "/" not in name and preset.is_file() else assets.find("pipelines", name)


def _pipeline_problems(name: str, at: Problem, *, folder: Path) -> list[Problem]:
    """What is wrong with the pipeline that a site file names at `at`."""
    try:
        path = find_pipeline(name, folder=folder)
    except ConfigError as error:
        return [replace(at, what=error.problem, cure=error.cure)]
    try:
        load_pipeline(path)
    except ConfigError as error:
        return [replace(at, what=f"in its pipeline: {each}") for each in error.problems]
    return []


def parse_file(path: Path) -> tuple[dict[str, Any], Positions]:
    """The values of a TOML file and where they stand. Raises ConfigError."""
    text = _read(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        match = _SYNTAX_PLACE.search(message)
        position = (int(match[1]), int(match[2])) if match and match[1] else _end(text)
        what = message[: match.start()] if match else message
        raise refusal(path, [Problem(str(path), position, f"not TOML: {what}")]) from error
    except RecursionError as error:
        raise refusal(path, [Problem(str(path), START, "nested too deeply")]) from error
    return data, locate(text)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError("no such file", place=str(path), cure="check the path") from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", place=str(path), cure="give a TOML file") from error
    if len(content) > LARGEST_BYTES:
        raise ConfigError("larger than 1 MiB", place=str(path), cure="give a TOML file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = len(content[content.rfind(b"\n", 0, error.start) + 1 : error.start].decode(errors="replace")) + 1
        raise refusal(path, [Problem(str(path), (line, column), "not UTF-8", "save the file as UTF-8")]) from error
    if not text.strip():
        raise refusal(path, [Problem(str(path), START, "the file is empty", "start from a file in configs/")])
    return text


def _end(text: str) -> Position:
    lines = text.split("\n")
    return len(lines), len(lines[-1]) + 1


def validate(
    model: type[_Table], data: dict[str, Any], *, path: Path, positions: Positions, context: Context
) -> tuple[_Table | None, list[Problem]]:
    """The table that `data` makes, or all that is wrong with it."""
    try:
        return model.model_validate(data, context=context), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        return None, [_problem(model, detail, path=path, positions=positions) for detail in details]


def _problem(model: type[Table], detail: ErrorDetails, *, path: Path, positions: Positions) -> Problem:
    """Pydantic's error in our words, with the place in the file."""
    location = detail["loc"]
    name = ".".join(str(part) for part in location if isinstance(part, str)) or "the file"
    key = str(location[-1]) if location else ""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            where = positions.of_value(location[:-1])
            return Problem(str(path), where, f"{name} is missing", f"add {key} to {_table_name(location[:-1])}")
        case "extra_forbidden":
            known = _keys_at(model, location[:-1])
            return Problem(str(path), positions.of_key(location), f"unknown key {key!r}", _suggestion(key, known))
        case "mistake":
            what = context["what"] if len(location) == 0 or _is_table(detail) else f"{name}: {context['what']}"
            return Problem(str(path), positions.of_value(location), what, context["cure"])
        case "literal_error":
            allowed = _allowed(model, location)
            cure = _suggestion(str(detail["input"]), allowed)
            return Problem(str(path), positions.of_value(location), f"{name} cannot be {detail['input']!r}", cure)
        case "too_short":
            what = f"{name} has too few values"
            return Problem(str(path), positions.of_value(location), what, f"give at least {context['min_length']}")
        case _:
            message = _WORDS.get(detail["type"]) or detail["msg"].replace("Input should", "should").replace(
                " valid", ""
            )
            shown = "" if key in _SECRET_KEYS else f", not {_brief(detail['input'])}"
            return Problem(str(path), positions.of_value(location), f"{name} {message}{shown}")


def _is_table(detail: ErrorDetails) -> bool:
    return isinstance(detail["input"], dict)


def _brief(value: object) -> str:
    match value:
        case dict():
            return "a table"
        case list():
            return "an array"
        case bool():
            return str(value).lower()
        case _:
            text = redact(repr(value))
            return text if len(text) <= 60 else f"{text[:57]}…"


def _table_name(location: Location) -> str:
    names = [str(part) for part in location if isinstance(part, str)]
    if not names:
        return "the file"
    return f"[[{'.'.join(names)}]]" if isinstance(location[-1], int) else f"[{'.'.join(names)}]"


def _suggestion(given: str, known: Iterable[str]) -> str:
    """`did you mean …?`, or what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def _keys_at(model: type[BaseModel], location: Location) -> list[str]:
    table = _annotation_at(model, location)
    return list(_fields(table)) if isinstance(table, type) and issubclass(table, BaseModel) else []


def _fields(table: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a table by the keys that a file writes."""
    return {field.alias or name: field for name, field in table.model_fields.items()}


def _allowed(model: type[BaseModel], location: Location) -> list[str]:
    return [str(value) for value in typing.get_args(_annotation_at(model, location))]


def _annotation_at(model: type[BaseModel], location: Location) -> Any:
    """The type that `location` has in `model`: a table, a Literal, or a plain type."""
    current: Any = model
    for part in location:
        if isinstance(part, int):
            current = typing.get_args(current)[0]
        elif isinstance(current, type) and issubclass(current, BaseModel) and part in _fields(current):
            current = _without_none(_fields(current)[part].annotation)
        else:
            return None
    return current


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(arg for arg in typing.get_args(annotation) if arg is not type(None))
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation


def _tables(value: object) -> list[dict[str, Any]]:
    return [item if isinstance(item, dict) else {} for item in value] if isinstance(value, list) else []


def refusal(path: Path, problems: list[Problem]) -> ConfigError:
    """One error for all `problems`, in the order of the file."""
    problems = sorted(set(problems))
    lines = tuple(str(problem) for problem in problems)
    if len(problems) == 1:
        line, column = problems[0].position
        return ConfigError(problems[0].what, place=f"{path}:{line}:{column}", cure=problems[0].cure, problems=lines)
    return ConfigError(f"{len(problems)} mistakes, the first: {lines[0]}", place=str(path), problems=lines)
