"""The harness's name server says what a resolver understands."""

import struct

import pytest

from scripts.fault_matrix.name_server import answer

A, AAAA = 1, 28


def question(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", 77, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


@pytest.mark.parametrize(
    ("name", "kind", "code", "answers"),
    [("first.cameras.test", A, 0, 1), ("first.cameras.test", AAAA, 0, 0), ("first.cameras.example", A, 3, 0)],
)
def test_names_of_the_zone_are_this_machine(name: str, kind: int, code: int, answers: int) -> None:
    asked = question(name, kind)
    said = answer(asked)
    number, flags, questions, found, _, _ = struct.unpack_from(">HHHHHH", said)
    assert (number, flags & 0xF, questions, found) == (77, code, 1, answers)
    assert flags >> 15 == 1
    assert said[12 : len(asked)] == asked[12:]
    assert said.endswith(bytes([127, 0, 0, 1])) == bool(answers)
