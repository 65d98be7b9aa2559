from pathlib import Path

import pytest
from making_sites import write_site

from anpr.config import load_site
from anpr.config.times import Hours, parse_moment, write_moment
from anpr.errors import ConfigError

ALL_KEYS = """
[[lists]]
name = "night"
file = "night.csv"
purpose = "lorries banned at night"
authority = "PC08"
severity = "CHECK"
owner = "tunnel control"
note = "until the works end"
valid_from = 2026-01-01
valid_until = 2026-06-30T18:00:00+07:00
days = ["fri", "sat"]
hours = ["22:00-05:00"]
sites = ["km12"]
directions = ["approaching"]
kinds = ["car", "special"]
false_hits_per_day = 0.5
"""


def site_with(folder: Path, lists: str) -> Path:
    (folder / "night.csv").write_text("plate\n30A12345\n")
    return write_site(folder, lists)


def test_a_list_with_all_its_keys(tmp_path: Path) -> None:
    (listed,) = load_site(site_with(tmp_path, ALL_KEYS), environment={}).lists
    assert (listed.purpose, listed.owner, listed.severity) == ("lorries banned at night", "tunnel control", "CHECK")
    assert listed.valid_from == parse_moment("2026-01-01")
    assert listed.valid_until == parse_moment("2026-06-30 18:00")
    assert (listed.days, listed.hours) == (("fri", "sat"), (Hours(1320, 300),))
    assert (listed.sites, listed.directions, listed.kinds) == (("km12",), ("approaching",), ("car", "special"))
    assert listed.false_hits_per_day == 0.5


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('["fri", "sat"]', '["friday"]', ":days"),
        ('"22:00-05:00"', '"22-5"', "no hours: '22-5' (like \"06:00-22:00\""),
        ("2026-01-01", '"1/1/2026"', "no date: '1/1/2026' (like 2026-03-31"),
        ("2026-01-01", "2027-01-01", "the list ends before it begins"),
        ('["car", "special"]', '["lorry"]', "kinds"),
        ("purpose =", "pupose =", "unknown key 'pupose'"),
        ("0.5", "-1.0", "false_hits_per_day"),
    ],
)
def test_mistakes_have_their_place(tmp_path: Path, before: str, after: str, told: str) -> None:
    path = site_with(tmp_path, ALL_KEYS.replace(before, after))
    with pytest.raises(ConfigError) as caught:
        load_site(path, environment={})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}:")
    assert told.removeprefix(":") in problem


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("9999-12-31", "9999-12-31T23:59:59+07:00"),
        ("9999-12-31T23:59-05:00", "9999-12-31T23:59:59+07:00"),
        ("0001-01-01T00:00", "0001-01-01T07:00:00+07:00"),
    ],
)
def test_dates_that_mean_for_ever_stay_in_the_calendar(written: str, meant: str) -> None:
    seconds = parse_moment(written, end_of_day=True)
    assert write_moment(seconds) == meant
    assert parse_moment(meant) == seconds
