import pytest

from anpr.watch.reasons import difference


@pytest.mark.parametrize(
    ("read", "listed", "reason"),
    [
        ("30A12345", "30A12345", "exact"),
        ("30B12345", "30812345", "8 read as B at position 3"),
        ("30A12345", "29A12345", "2 read as 3 at position 1, 9 read as 0 at position 2"),
        ("30A1245", "30A12345", "one character missing, 3 at position 6"),
        ("30A12345", "30A1234", "one character too many, 5 at position 8"),
        ("30A1123", "30A123", "one character too many, 1 at position 4"),
        ("30A91246", "30A1245", "one character too many, 9 at position 4, 5 read as 6 at position 8"),
        ("30A1234567", "30A12345", "30A12345 read as 30A1234567"),
        ("30A12345", "30A12?45", "wildcard"),
        ("30B12345", "*A12?4*", "wildcard, A read as B at position 3"),
        ("30A12345", "3?B1*9", "wildcard, B read as A at position 3, 9 read as 5 at position 8"),
        ("30A12345", "30A1?", "wildcard"),
    ],
)
def test_a_reason_names_the_fewest_mistakes(read: str, listed: str, reason: str) -> None:
    assert difference(read, listed) == reason
