"""Site and pipeline files: every mistake at once, at its place, with its cure; secrets never shown."""

from pathlib import Path

import pytest

from anpr import assets
from anpr.config import load_pipeline, load_site
from anpr.errors import ConfigError

SITE = """\
[box]
id = "box-1"
[site]
id = "km29"
[store]
path = "data"
[bus]
endpoint = "tcp://127.0.0.1:7781"
[[cameras]]
id = "north"
url = "rtsp://10.0.0.1:554/main"
user = "admin"
password = "${CAMERA_PASSWORD}"
"""
SECRET = "p@ss/wörd#1"


def write(folder: Path, text: str, name: str = "site.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(path: Path) -> list[str]:
    """The problems of a site file, without the path."""
    with pytest.raises(ConfigError) as caught:
        load_site(path, environment={})
    assert all(problem.startswith(f"{path}:") for problem in caught.value.problems)
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


def test_a_good_site_loads_and_resolves_paths_and_secrets(tmp_path: Path) -> None:
    site = load_site(write(tmp_path, SITE), environment={"CAMERA_PASSWORD": SECRET})
    assert site.store.path == tmp_path / "data"
    assert site.cameras[0].address() == "rtsp://admin:p%40ss%2Fw%C3%B6rd%231@10.0.0.1:554/main"


def test_no_secret_in_repr_or_dump(tmp_path: Path) -> None:
    site = load_site(write(tmp_path, SITE), environment={"CAMERA_PASSWORD": SECRET})
    for text in (repr(site), str(site.cameras), str(site.model_dump()), site.model_dump_json()):
        assert SECRET not in text


def test_a_password_file_is_read_from_beside_the_site_file(tmp_path: Path) -> None:
    write(tmp_path, f"{SECRET}\n", "camera.secret")
    text = SITE.replace('password = "${CAMERA_PASSWORD}"', 'password_file = "camera.secret"')
    site = load_site(write(tmp_path, text), environment={})
    assert site.cameras[0].address().startswith("rtsp://admin:p%40ss")


def test_a_file_can_be_checked_without_its_secrets(tmp_path: Path) -> None:
    path = write(tmp_path, SITE)
    assert load_site(path, environment=None).cameras[0].id == "north"
    assert problems_of(path) == [
        "13:12: cameras.password: the environment variable CAMERA_PASSWORD is not set "
        "(export CAMERA_PASSWORD before starting anpr)"
    ]


def test_all_mistakes_at_once_each_at_its_place(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
[box]
id = "km 29"
wokers = 2
[site]
name = "Đường"
[store]
path = "data"
[bus]
endpoint = "tcp://127.0.0.1"
[[cameras]]
id = "a"
url = "rtsp://admin:hunter2@10.0.0.1/"
password = "hunter2"
direction = "aproaching"
[[cameras]]
id = "a"
file = "x.mp4"
enabled = "yes"
pipeline = "cpuu"
[[lists]]
name = "stolen"
""",
    )
    problems = problems_of(path)
    starts = [
        "2:6: box.id: 'km 29' cannot be an id (",
        "3:1: unknown key 'wokers' (did you mean 'workers'?)",
        "4:1: site.id is missing (add id to [site])",
        "9:12: bus.endpoint: not an endpoint: 'tcp://127.0.0.1' (",
        "12:7: cameras.url: an address must not carry a user name or password (",
        "13:12: cameras.password: a secret must not stand in this file (",
        "14:13: cameras.direction cannot be 'aproaching' (did you mean 'approaching'?)",
        "16:6: id 'a' stands twice in cameras (",
        f"17:8: cameras.file: {tmp_path / 'x.mp4'} does not exist (",
        "18:11: cameras.enabled should be true or false, not 'yes'",
        "19:12: no pipeline named 'cpuu' (give a path, or one of: ",
        "20:1: lists.file is missing (add file to [[lists]])",
    ]
    assert len(problems) == len(starts)
    for problem, start in zip(problems, starts, strict=True):
        assert problem.startswith(start)
    assert "hunter2" not in "".join(problems)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('id = "box-1"', "id = 7", "2:6: box.id should be a string, not 7"),
        ("[bus]", "[[bus]]", "7:3: bus should be a table, not an array"),
        ('endpoint = "tcp', 'endpoint = "udp', "8:12: bus.endpoint: not an endpoint: 'udp://127.0.0.1:7781'"),
        ('url = "rtsp://10.0.0.1:554/main"', "", "9:1: camera 'north' has neither url nor file (give exactly one)"),
        ('user = "admin"', "", "9:1: camera 'north' has a password but no user"),
        ("rtsp://10.0.0.1:554", "http://10.0.0.1", "11:7: cameras.url: not a camera's address"),
        ("rtsp://10.0.0.1:554", "rtsp://10.0.0.1:99999", "11:7: cameras.url: not an address"),
        ("main", "ma in", "11:7: cameras.url: an address must not contain spaces"),
        ('user = "admin"', "user = 1", "12:8: cameras.user: must be a user name"),
        ('user = "admin"', 'user = "admin', "12:14: not TOML: "),
        ('user = "admin"', 'url = "x"', "12:10: not TOML: "),
        ("[[cameras]]", "[cameras]", "9:1: cameras should be an array, not a table"),
    ],
)
def test_one_mistake(tmp_path: Path, old: str, new: str, expected: str) -> None:
    path = write(tmp_path, SITE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_site(path, environment={"CAMERA_PASSWORD": SECRET})
    assert any(problem.startswith(f"{path}:{expected}") for problem in caught.value.problems), caught.value.problems
    assert SECRET not in str(caught.value)


def test_the_pipeline_of_a_camera_is_checked_in_its_own_file(tmp_path: Path) -> None:
    write(tmp_path, "[detector]\nthresold = 0.5\n", "mine.toml")
    problems = problems_of(write(tmp_path, SITE.replace("user =", 'pipeline = "mine.toml"\nuser =')))
    assert problems[0] == (
        f"12:12: in its pipeline: {tmp_path / 'mine.toml'}:2:1: unknown key 'thresold' (did you mean 'threshold'?)"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ":1:1: the file is empty"),
        (b" \n\n", ":1:1: the file is empty"),
        (b"#" * (1 << 20) + b"\n", ": larger than 1 MiB"),
        (b"[box]\nid = \"\xff\"\n", ":2:7: not UTF-8 (save the file as UTF-8)"),
        (b"[box", ":1:5: not TOML: "),
        (b"a = " + b"[" * 100_000, ":1:1: nested too deeply"),
        (b"\x00", ":1:1: not TOML: "),
    ],
)  # fmt: skip
def test_files_that_are_no_configuration(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "site.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_site(path)
    assert caught.value.problems[0].startswith(f"{path}{expected}")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SITE.replace("\n", "\r\n").encode())
    assert load_site(path, environment={"CAMERA_PASSWORD": SECRET}).box.id == "box-1"


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for path, what in ((tmp_path / "none.toml", "no such file"), (tmp_path, "cannot be read")):
        with pytest.raises(ConfigError, match=what):
            load_site(path)


@pytest.mark.parametrize(
    "track", ["max_gap_seconds = 0.8", "jump_seconds = 0.8", "max_gap_seconds = 5.0\njump_seconds = 0.5"]
)
def test_a_gate_must_look_before_a_passage_ends(tmp_path: Path, track: str) -> None:
    path = write(tmp_path, f"[gate]\nrelook_seconds = 0.8\n[track]\n{track}\n", "p.toml")
    with pytest.raises(ConfigError, match=r"is gone \(look more often, or raise max_gap_seconds and jump_seconds"):
        load_pipeline(path)


def test_a_pipeline_is_known_by_its_settings_not_its_comments(tmp_path: Path) -> None:
    bare = load_pipeline(write(tmp_path, "threads = 1\n", "p.toml"))
    same = load_pipeline(write(tmp_path, "# words\n[decode]\nthread_count = 1\n", "p.toml"))
    other = load_pipeline(write(tmp_path, "threads = 2\n", "p.toml"))
    assert bare.label == same.label != other.label
    assert bare.label.startswith("p@")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[detector]\nthreshold = nan\n", "2:13: detector.threshold should be a finite number, not nan"),
        ("[detector]\nthreshold = 1.5\n", "2:13: detector.threshold should be less than or equal to 1, not 1.5"),
        ("threads = true\n", "1:11: threads should be a whole number, not true"),
        ('device = "vulkan"\n', "1:10: device cannot be 'vulkan' (known: auto, cpu, cuda, openvino, tensorrt)"),
        (
            "[second_reader]\nbelow_probability = 0.9\n",
            "1:1: second_reader.model is missing (add model to [second_reader])",
        ),
        ('[second_reader]\nmodel = "x"\nmodle = "y"\n', "3:1: unknown key 'modle' (did you mean 'model'?)"),
        ("[decoder]\n", "1:2: unknown key 'decoder' (did you mean 'decode'?)"),
        (
            'device = "cuda"\n[reader]\ncut_again_below = 0.9\n',
            "1:1: on cuda each plate is cut out once (leave cut_again_below out of [reader])",
        ),
    ],
)
def test_mistakes_in_a_pipeline(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text, "p.toml")
    with pytest.raises(ConfigError) as caught:
        load_pipeline(path)
    assert caught.value.problems == (f"{path}:{expected}",)


@pytest.mark.parametrize("path", sorted(assets.folder("pipelines").rglob("*.toml")), ids=lambda path: path.name)
def test_every_preset_loads(path: Path) -> None:
    assert load_pipeline(path).name == path.stem


EXAMPLES = sorted(
    path for path in assets.folder("configs").rglob("*.toml") if path.parent.name not in ("rules", "bridges")
)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_site_loads(path: Path) -> None:
    assert load_site(path, environment=None).enabled_cameras()


def test_a_site_that_run_would_refuse_is_refused_by_the_check(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(
        '[box]\nid = "b"\n[site]\nid = "s"\nname = "S"\n[store]\npath = "store"\n[bus]\nendpoint = "tcp://0.0.0.0:7781"\n'
        '[[cameras]]\nid = "a"\nurl = "rtsp://10.0.0.1/x"\nenabled = false\n'
    )
    with pytest.raises(ConfigError) as caught:
        load_site(file)
    text = "\n".join(caught.value.problems)
    assert "events would leave this machine unencrypted" in text
    assert "no camera is enabled" in text


def test_a_model_with_a_slash_is_a_path_beside_the_pipeline_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[reader]\nmodel = "./nets/reader"\n')
    assert load_pipeline(file).settings.reader.model == str(tmp_path / "nets/reader")
    file.write_text('[reader]\nmodel = "reader"\n')
    assert load_pipeline(file).settings.reader.model == "reader"


def with_lanes(lanes: str) -> str:
    return SITE.replace('user = "admin"\npassword = "${CAMERA_PASSWORD}"\n', f"lanes = {lanes}\n")


def test_the_lanes_of_a_camera_are_polygons_in_the_picture(tmp_path: Path) -> None:
    site = load_site(write(tmp_path, with_lanes("[[[0.1, 0.9], [0.4, 0.2], [0.6, 0.2]]]")), environment={})
    assert site.cameras[0].lanes == (((0.1, 0.9), (0.4, 0.2), (0.6, 0.2)),)


@pytest.mark.parametrize(
    ("lanes", "expected"),
    [("[[[0.1, 0.9], [0.4, 0.2]]]", "at least 3"), ("[[[0.1, 9], [0.4, 0.2], [0, 0]]]", "less than or equal to 1")],
)
def test_a_lane_that_is_no_polygon_in_the_picture_is_refused(tmp_path: Path, lanes: str, expected: str) -> None:
    (problem,) = problems_of(write(tmp_path, with_lanes(lanes)))
    assert problem.startswith("12:")
    assert expected in problem
