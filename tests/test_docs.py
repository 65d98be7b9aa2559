"""The documents tell the truth: links, verbs, options, examples, and nothing of the software left out."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
import typer.main

from anpr.bus.events import Heartbeat, VolatileHit, decode
from anpr.cli import application, exits
from anpr.config import bridge, load_pipeline, load_site, pipeline, site
from anpr.config.fields import Table
from anpr.nets import model
from anpr.nets.reader import REASONS
from anpr.records import NO_PLATE, TOO_SMALL, Event
from anpr.rules.fixtures import FixtureFile, read_fixtures
from anpr.rules.load import RuleSet, load_rules
from anpr.tracking.sighting import unreadable_reason
from anpr.watch.entries import COLUMNS
from anpr.watch.lists import read_csv

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
ANPR = re.compile(r"(?:[\w./-]*/)?anpr ((?:(?:watch|cameras|rules|keys|store|evidence|audit) )?[a-z][a-z-]+)((?: .*)?)")
MODULE = re.compile(r"python -m ((?:scripts|bench)\.\w+)(?: ([a-z]+))?((?: .*)?)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [body for name, body in FENCE.findall(text) if name == language]


def commands(text: str) -> Iterator[str]:
    """What a reader may type: lines of shell and unit blocks, and code within a line."""
    for language in ("sh", "ini"):
        for block in blocks(text, language):
            for line in block.replace("\\\n", " ").splitlines():
                yield line.removeprefix("ExecStart=").partition("#")[0].strip()
    yield from re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def verbs() -> dict[str, set[str]]:
    """Every verb of the program with its options."""
    found: dict[str, set[str]] = {}

    def walk(command: Any, name: str) -> None:
        if hasattr(command, "commands"):
            for word, below in command.commands.items():
                walk(below, f"{name} {word}".strip())
        else:
            found[name] = {option for parameter in command.params for option in parameter.opts} | {"--help"}

    walk(typer.main.get_command(application()), "")
    return found


def options_of(file: Path) -> set[str]:
    """The options that a script's parser takes; read, not run: training needs packages that the tests do without."""
    calls = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    added = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"]
    values = [argument.value for call in added for argument in call.args if isinstance(argument, ast.Constant)]
    return {value for value in values if isinstance(value, str) and value.startswith("--")} | {"--help"}


def module_options(module: str, verb: str) -> set[str]:
    """The options of `python -m MODULE VERB`. Fails if there is no such module or verb."""
    place = ROOT / module.replace(".", "/")
    if place.with_suffix(".py").exists():
        return options_of(place.with_suffix(".py")) | options_of(ROOT / "bench/report.py")
    table = re.search(r"^VERBS = \{\n(.*?)^\}", (place / "__main__.py").read_text(encoding="utf-8"), re.M | re.S)
    if table is None and not verb:
        return options_of(place / "__main__.py")
    assert table is not None, f"{module} has no verbs"
    line = re.search(rf'^    "{verb}": (?:\("(\w+)")?', table[1], re.M)
    assert line is not None, f"{module} has no verb {verb!r}"
    file = place / f"{line[1] or verb}.py"
    shared = place / "loop.py"
    if "add_loop_arguments(" in file.read_text(encoding="utf-8"):
        return options_of(file) | options_of(shared)
    return options_of(file)


def options_in(line: str) -> set[str]:
    """The options of a command line, up to a pipe or a next command."""
    words = shlex.split(re.split(r"[|;&]", line)[0]) if line else []
    return {word.partition("=")[0] for word in words if word.startswith("--") and len(word) > 2}


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", path.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        aim = (path.parent / file).resolve() if file else path
        assert aim.exists(), f"{path.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", FENCE.sub("", aim.read_text(encoding="utf-8")), re.M)
            assert anchor in map(slug, headings), f"{path.name} links to {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_verb_and_option_exists(path: Path) -> None:
    known = verbs()
    for command in commands(path.read_text(encoding="utf-8")):
        if match := ANPR.fullmatch(command):
            verb, rest = match.groups()
            verb = verb if verb in known else verb.split()[0]
            if verb == "watch":  # `anpr watch import|check FILE`
                continue
            assert verb in known, f"{path.name}: {command}"
            assert options_in(rest) <= known[verb], f"{path.name}: {command}"
        elif match := MODULE.fullmatch(command):
            module, verb, rest = match.groups()
            if module == "scripts.schemas":
                continue
            assert options_in(rest or "") <= module_options(module, verb or ""), f"{path.name}: {command}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_option_named_alone_exists(path: Path) -> None:
    known = set().union(*verbs().values(), *(options_of(file) for file in ROOT.glob("bench/*.py")))
    known |= set().union(*(options_of(file) for file in ROOT.glob("scripts/**/*.py")))
    known |= {"--realtime", "--check", "--strict"}  # of scripts/demo, ruff and mypy
    for command in commands(path.read_text(encoding="utf-8")):
        if command.startswith("--"):
            assert options_in(command) <= known, f"{path.name}: {command}"


def test_every_toml_example_loads(tmp_path: Path) -> None:
    loaded: list[object] = []
    for block in (block for path in DOCUMENTS for block in blocks(path.read_text(encoding="utf-8"), "toml")):
        values = tomllib.loads(block)
        file = tmp_path / "example.toml"
        file.write_text(block, encoding="utf-8")
        if "box" in values:
            for named in (*values["cameras"], *values["lists"]):
                if "file" in named:
                    (tmp_path / named["file"]).parent.mkdir(parents=True, exist_ok=True)
                    (tmp_path / named["file"]).touch()
            loaded.append(load_site(file, environment=None))
        elif "cases" in values:
            loaded.append(read_fixtures(file)[0])
        elif "zones" in values:
            loaded.append(load_rules([file]))
        elif "task" in values:
            loaded.append(msgspec.convert(values, model.Facts))
        else:
            loaded.append(load_pipeline(file))
    assert {type(each) for each in loaded} == {site.Site, pipeline.Pipeline, model.Facts, FixtureFile, RuleSet}


def test_every_event_example_is_one_of_ours() -> None:
    examples = blocks((ROOT / "docs/events.md").read_text(encoding="utf-8"), "json")
    kinds = [re.search(r'"type": "([\w.-]+)"', example) for example in examples]
    assert {kind[1] for kind in kinds if kind} == {path.stem for path in (ROOT / "anpr/schemas").glob("*.json")}
    for example in examples:
        assert isinstance(decode(example.encode()), Event | Heartbeat | VolatileHit)


def test_every_watch_list_example_is_whole() -> None:
    (example,) = blocks((ROOT / "docs/watch-lists.md").read_text(encoding="utf-8"), "csv")
    assert example.splitlines()[0] == ",".join(COLUMNS)
    assert read_csv(example.encode())[1] == ()


def test_every_python_example_compiles() -> None:
    examples = [block for path in DOCUMENTS for block in blocks(path.read_text(encoding="utf-8"), "python")]
    parsed = [ast.parse(example) for example in examples]
    assert any("anpr.bus" in ast.unparse(each) for each in parsed)
    assert all(each.body for each in parsed)


@pytest.mark.parametrize(
    ("module", "name"),
    [(site, "operate.md"), (pipeline, "tuning.md"), (model, "models.md"), (bridge, "bridges.md")],
)
def test_every_key_is_described(module: ModuleType, name: str) -> None:
    rows = [line for line in (ROOT / "docs" / name).read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    keys = set(keys_of(module))
    assert len(keys) > 15
    assert [
        key for key in keys if not any(f"`{w}`" in row for row in rows for w in (key, f"[{key}]", f"[[{key}]]"))
    ] == []


def keys_of(module: ModuleType) -> Iterator[str]:
    """The keys of all tables of a file that `module` describes."""
    for table in vars(module).values():
        if isinstance(table, type) and table.__module__ == module.__name__:
            if issubclass(table, Table):
                yield from table.model_fields
            elif issubclass(table, msgspec.Struct):
                yield from table.__struct_fields__


def test_every_log_event_and_counter_is_described() -> None:
    text = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
    found = set()
    for file in (ROOT / "anpr").rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        found |= set(re.findall(r'counters\.add\(\s*"(\w+)"', source))
        found |= set(re.findall(r'(?:log|logger|get_logger\(\))\.(?:info|warning|error|exception)\(\s*"(\w+)"', source))
    assert len(found) > 30
    assert [name for name in sorted(found) if f"`{name}`" not in text] == []


def test_every_reason_for_no_text_is_described() -> None:
    source = (ROOT / "anpr/nets/reader.py").read_text(encoding="utf-8")
    source += inspect.getsource(unreadable_reason)
    reasons = {*REASONS.values(), NO_PLATE, TOO_SMALL}
    reasons |= set(re.findall(r'(?:unreadable = |return |else )"([a-z][\w ]+)"', source, re.IGNORECASE))
    assert {"no contrast", "reads disagree", "only damaged pictures", "blurred"} <= reasons
    text = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
    table = text[text.index("\n| `unreadable` |") :].partition("\n\n")[0]
    assert [reason for reason in sorted(reasons) if f"`{reason}`" not in table] == []


def test_every_exit_code_and_verb_is_described() -> None:
    text = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
    codes = [value for name, value in vars(exits).items() if name.isupper()]
    assert [code for code in codes if f"\n| {code} |" not in text] == []
    assert [verb for verb in verbs() if f"\n| `anpr {verb}` |" not in text] == []


def test_no_document_names_a_folder_of_this_machine() -> None:
    for path in DOCUMENTS:
        assert str(ROOT) not in path.read_text(encoding="utf-8")
