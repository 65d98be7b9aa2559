"""The command line: exit codes, one message for each mistake, and never a traceback."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from making_sites import write_site

from anpr import __version__, cli, errors
from anpr.cli import exits


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Verbs own their process: put back what they set for it."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def anpr(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Run the command in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["anpr", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.fixture
def site(tmp_path: Path) -> Path:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"")
    return write_site(tmp_path, clip=clip)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 78),
        (errors.ModelError("x"), 78),
        (errors.WatchListError("x"), 78),
        (errors.PlateError("x"), 2),
        (errors.VideoError("x"), 74),
        (errors.StoreError("x"), 74),
        (errors.StreamAuthError("x"), 69),
        (errors.BusError("x"), 69),
        (errors.DeviceError("x"), 69),
    ],
)
def test_every_error_has_its_exit_code(error: errors.AnprError, code: int) -> None:
    assert exits.code_of(error) == code


def test_version_and_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert anpr(monkeypatch, "--version") == 0
    assert __version__ in capsys.readouterr().out
    assert anpr(monkeypatch, "--help") == 0
    shown = capsys.readouterr().out
    for verb in ("run", "replay", "read", "listen", "search", "watch", "check-config", "doctor"):
        assert verb in shown
        assert anpr(monkeypatch, verb, "--help") == 0


def test_help_loads_nothing_heavy() -> None:
    program = "import sys; from anpr.cli import application; application(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "cv2", "numba", "onnxruntime", "av", "zmq", "lmdb", "pydantic", "structlog"} & set(loaded)


@pytest.mark.parametrize(
    "arguments", [("fly",), ("run",), ("replay",), ("replay", "--nonsense", "x"), ("check-config",), ("watch", "fly")]
)
def test_wrong_usage_is_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert anpr(monkeypatch, *arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_check_config_tells_every_mistake_of_every_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], site: Path, tmp_path: Path
) -> None:
    assert anpr(monkeypatch, "check-config", site) == 0
    assert "site, no mistakes" in capsys.readouterr().out
    wrong_site, wrong_pipeline = tmp_path / "wrong.toml", tmp_path / "pipeline.toml"
    wrong_site.write_text(site.read_text().replace("[store]", "[stor]").replace('"north"', "7"))
    wrong_pipeline.write_text("[detector]\nthreshold = 2.0\n")
    assert anpr(monkeypatch, "check-config", wrong_site, wrong_pipeline) == 78
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert f"{wrong_site}:5:2: unknown key 'stor' (did you mean 'store'?)" in lines
    assert lines[-1].startswith(f"{wrong_pipeline}:2:13: detector.threshold")


def test_check_config_as_json_and_its_lists(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], site: Path, tmp_path: Path
) -> None:
    (tmp_path / "list.csv").write_text("plate\n30A-123.45\nnonsense!\n")
    with site.open("a") as file:
        file.write('[[lists]]\nname = "stolen"\nfile = "list.csv"\n')
    assert anpr(monkeypatch, "check-config", "--json", site) == 78
    (told,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told["kind"] == "site"
    assert "line 3" in told["problems"][0]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("run", "none.toml"), 78, "none.toml: no such file (check the path)"),
        (("replay", "none.mp4"), 74, "none.mp4: no such file or folder (check the path)"),
        (("replay", "clip.mp4"), 74, "clip.mp4: the file is empty (0 bytes) (record or copy it again)"),
        (("replay", "empty"), 74, "empty: holds no clips and no images"),
        (("read", "empty"), 74, "empty: the folder holds no images"),
        (("replay", "clip.mp4", "--pipeline", "fast"), 78, "no pipeline named 'fast'"),
        (("replay", "clip.mp4", "--truth", "none.jsonl"), 74, "cannot read the truth file"),
        (("replay", "clip.mp4", "--bus", "udp://x"), 69, "udp://x: this is no endpoint"),
        (("listen", "nonsense"), 69, "this is no endpoint"),
        (("search", "--store", "nowhere", "--purpose", "theft", "--case", "1"), 74, "there is no store here"),
        (("doctor", "none.toml"), 78, "no such file"),
    ],
)
def test_what_a_person_did_wrong_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    site: Path,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(site.parent)
    (site.parent / "empty").mkdir()
    assert anpr(monkeypatch, *arguments) == code
    told = capsys.readouterr().err
    (line,) = [line for line in told.splitlines() if line.startswith("anpr: ")]
    assert message in line
    assert "Traceback" not in told


def test_passwords_never_reach_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], site: Path
) -> None:
    site.write_text(site.read_text().replace("file = ", "url = ").replace("clip.mp4", "rtsp://a:hunter2@h/"))
    assert anpr(monkeypatch, "run", site) == 78
    assert "hunter2" not in "".join(capsys.readouterr())
