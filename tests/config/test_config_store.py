"""The table `[store]`: what a whole one says, and the mistakes that are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from anpr.config import load_site
from anpr.config.site import Storage
from anpr.errors import ConfigError

SITE = """
[box]
id = "b"
[site]
id = "s"
[store]
path = "store"
{store}
[bus]
endpoint = "tcp://127.0.0.1:7781"
[[cameras]]
id = "c"
url = "rtsp://10.0.0.1/x"
"""


def load(tmp_path: Path, store: str) -> Storage:
    path = tmp_path / "site.toml"
    path.write_text(SITE.format(store=store))
    return load_site(path, environment=None).store


def test_what_is_not_said_has_the_recommended_value(tmp_path: Path) -> None:
    store = load(tmp_path, "")
    assert (store.retention.passages_days, store.retention.hits_days, store.retention.audit_days) == (30, 365, 730)
    assert (store.disk.early_percent, store.disk.sparing_percent, store.disk.reserve_percent) == (85.0, 92.0, 97.0)
    assert store.quota.passage_pictures_gib is None
    assert store.retention.pseudonymise_after_days is None


def test_a_whole_table(tmp_path: Path) -> None:
    store = load(
        tmp_path,
        "[store.retention]\npassages_days = 7\npassage_pictures_days = 7\n[store.disk]\nreserve_mib = 0\n"
        "[store.quota]\nhit_pictures_gib = 0.5\n",
    )
    assert (store.retention.passages_days, store.disk.reserve_mib, store.quota.hit_pictures_gib) == (7, 0, 0.5)


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ("[store.retention]\npassages_days = 0\n", "passages_days"),
        ("[store.retention]\npassages_days = 20\n", "passage_pictures_days = 30 exceeds passages_days = 20"),
        ("[store.retention]\nhits_days = 20\n", "hits_days = 20 is below passages_days = 30"),
        ("[store.retention]\nhits_days = 20.5\n", "whole number"),
        ("[store.retention]\npseudonymise_after_days = 30\n", "is not below passages_days = 30"),
        ("[store.retention]\npseudonymise_after_days = 0\n", "pseudonymise_after_days"),
        ("[store.retention]\nhit_days = 200\n", "hits_days"),
        ("[store.disk]\nearly_percent = 95.0\n", "the percents must rise"),
        ("[store.disk]\nreserve_percent = 100.0\n", "reserve_percent"),
        ("[store.disk]\nreserve_mib = -1\n", "reserve_mib"),
        ("[store.disk]\nyoungest_days = 0\n", "youngest_days"),
        ("[store.quota]\npassage_pictures_gib = 0.0\n", "passage_pictures_gib"),
    ],
)
def test_mistakes_are_told_at_their_place(tmp_path: Path, store: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, store)
    assert words in str(caught.value)
    assert f"{tmp_path}/site.toml:" in str(caught.value)
