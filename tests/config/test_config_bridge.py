"""Bridge files: every example loads, every mistake is told at its place, no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from anpr.config import BridgeFile, load_any, load_bridge
from anpr.errors import ConfigError

EXAMPLES = sorted((Path(__file__).parents[2] / "configs/bridges").glob("*.toml"))
HEAD = 'dead_letters = "dead.jsonl"\n[feed]\nendpoint = "tcp://127.0.0.1:7783"\nconsumer = "ioc"\n'


def load(folder: Path, text: str, **environment: str) -> BridgeFile:
    file = folder / "bridge.toml"
    file.write_text(text)
    return load_bridge(file, environment=environment)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_loads(path: Path) -> None:
    bridge = load_any(path, environment=None)
    assert isinstance(bridge, BridgeFile)
    assert bridge.address
    assert bridge.feed.consumer == path.stem


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ('[webhook]\nurl = "https://ioc.example/x"\nsecrt = "${S}"\n', ":7:1:", "did you mean 'secret'?"),
        ('[webhook]\nurl = "https://me:pw@ioc.example/x"\n', ":6:7:", "must not carry a user name"),
        ('[webhook]\nurl = "ftp://ioc.example/x"\n', ":6:7:", "must begin with https:// or http://"),
        ('[webhook]\nurl = "http://10.0.0.7/x"\n', ":5:1:", "unencrypted"),
        ('[webhook]\nurl = "https://a.example"\nsecret = "hunter2"\n', ":7:10:", "must not stand in this file"),
        ('[webhook]\nurl = "https://a.example"\nform = "ngsi-ld"\n', ":5:1:", "places"),
        ('[webhook]\nurl = "https://a.example"\ntenant = "x"\n', ":5:1:", "belong to the form ngsi-ld"),
        ('[webhook]\nurl = "https://a.example"\nform = "ngsild"\n', ":7:8:", "did you mean 'ngsi-ld'?"),
        ('[mqtt]\nurl = "mqtt://10.0.0.7"\n', ":5:1:", "unencrypted"),
        ('[mqtt]\nurl = "mqtt://localhost"\ntopic_prefix = "a/#"\n', ":7:16:", "cannot begin a topic"),
        ('[mqtt]\nurl = "mqtt://localhost"\nuser = "me"\n', ":5:1:", "go together"),
        ('[nats]\nurl = "nats://localhost"\nsubject_prefix = "a.>"\n', ":7:18:", "cannot begin a subject"),
        (
            '[nats]\nurl = "nats://localhost"\nuser = "me"\npassword = "${S}"\ntoken = "${S}"\n',
            ":5:1:",
            "more than one",
        ),
        ('[kafka]\nservers = ["10.0.0.7"]\n', ":6:", "is not host:port"),
        ('[kafka]\nservers = ["kafka://a:9093"]\n', ":6:", "without kafka://"),
        ("[kafka]\nservers = []\n", ":6:", "too few values"),
        ('[kafka]\nservers = ["localhost:9092"]\ntls = false\n', ":5:1:", "unencrypted"),
        ('[kafka]\nservers = ["a:1"]\ntopic_prefix = "a/b"\n', ":7:16:", "cannot begin a topic"),
        ('[kafka]\nservers = ["a:1"]\nkey_file = "site.key"\n', ":7:12:", "does not exist"),
        ('[kafka]\nservers = ["a:1"]\nuser = "me"\n', ":5:1:", "go together"),
        (
            '[kafka]\nservers = ["a:1"]\ntls = false\nallow_unencrypted = true\nsasl = "plain"\nuser = "me"\n'
            'password = "${S}"\n',
            ":5:1:",
            "the password would go unencrypted",
        ),
        ("", "", "nowhere to hand events on to"),
        ('[mqtt]\nurl = "mqtt://localhost"\n[nats]\nurl = "nats://localhost"\n', "", "both mqtt and nats"),
    ],
)
def test_a_mistake_is_told_at_its_place(tmp_path: Path, text: str, place: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, HEAD + text, S="hidden")
    assert what in str(caught.value)
    assert place in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_keys_go_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="key_file and box_keys go together"):
        load(tmp_path, HEAD + 'key_file = "ioc.key_secret"\n[nats]\nurl = "nats://localhost"\n')


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]:80/x"])
def test_on_this_machine_nothing_need_be_encrypted(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, HEAD + f'[webhook]\nurl = "{url}"\n').address == url


def test_secrets_are_found_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("let me in\n")
    text = '[webhook]\nurl = "https://a.example"\nsecret = "${S}"\ntoken_file = "token"\n'
    bridge = load(tmp_path, HEAD + text, S="hidden")
    assert bridge.webhook is not None
    assert bridge.webhook.secret is not None
    assert bridge.webhook.token_file is not None
    assert bridge.webhook.secret.get_secret_value() == "hidden"
    assert bridge.webhook.token_file.get_secret_value() == "let me in"
    assert "hidden" not in repr(bridge)
    assert "let me in" not in repr(bridge)
