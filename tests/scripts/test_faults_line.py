"""What lies between box and centre in the fault matrix does what its rows say it does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import zmq

from anpr.bus.keys import fingerprint
from scripts.fault_matrix.ioc import Ioc, read_ledger
from scripts.fault_matrix.key_rows import fingerprint_of
from scripts.fault_matrix.mangler import Mangler
from scripts.fault_matrix.network import Network, why_no_network


@pytest.mark.parametrize("harm", ["messages", "bytes"])
def test_the_mangler_harms_what_it_says_and_nothing_else(harm: str) -> None:
    with zmq.Context() as context, context.socket(zmq.PULL) as box, context.socket(zmq.PUSH) as centre:
        box.linger = centre.linger = 0
        port = box.bind_to_random_port("tcp://127.0.0.1")
        with Mangler(port, share=0.2) as mangler:
            centre.connect(f"tcp://127.0.0.1:{mangler.port}")
            centre.send_multipart([b"0", b"whole"])
            assert box.poll(30_000)
            assert box.recv_multipart() == [b"0", b"whole"]
            assert mangler.harmed == 0
            mangler.harm = harm  # type: ignore[assignment]
            for number in range(1, 201):
                centre.send_multipart([b"%d" % number, b"whole"])
            got: list[int] = []
            everything = set(range(1, 201))
            while box.poll(30_000 if harm == "messages" and set(got) != everything else 1000):
                first, second = box.recv_multipart()
                assert second == b"whole"
                got.append(int(first))
            assert mangler.harmed > 20
            if harm == "messages":
                assert set(got) == everything
                assert len(got) > 200
                assert got != sorted(got)


def test_a_network_cuts_resets_and_heals() -> None:
    if reason := why_no_network():
        pytest.skip(reason)
    with Network() as network, socket.create_server((network.box, 0)) as box:
        port = box.getsockname()[1]

        def connects(*, patience_seconds: float = 30.0) -> str:
            """What is said of a connection from the centre; nothing if it stands. A wire that has just been laid may
            lose the first packet."""
            program = f"import socket; socket.create_connection(({network.box!r}, {port}), {patience_seconds})"
            called = subprocess.run(
                network.within(sys.executable, "-c", program), capture_output=True, text=True, check=False
            )
            return called.stderr.strip().rpartition("\n")[2]

        assert connects() == ""
        network.drop()
        assert "timed out" in connects(patience_seconds=1.0)
        network.reset()
        assert "refused" in connects()
        network.slow(64)
        network.heal()
        network.slow(0)
        assert connects() == ""
    assert f"anpr{os.getpid()}:" not in Path("/proc/net/dev").read_text()


def test_a_centre_restored_from_a_backup_asks_for_what_followed(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    entry = {"lane": "rest", "seq": 4, "id": "sighting.a.0", "epoch": 1, "at": 1.0, "committed": ""}
    ledger.write_bytes(json.dumps(entry).encode() + b'\n{"lane": "rest", "se')  # cut by a crash
    centre = Ioc("tcp://127.0.0.1:1", ledger, die="", count=0, keys=None)
    assert centre.held == {"hits": {"seq": 0}, "rest": {"seq": 4, "id": "sighting.a.0"}}
    centre.socket.close()
    centre.file.close()
    centre.diary.close()
    assert read_ledger(ledger) == [entry]


def test_a_key_is_named_in_the_matrix_as_in_the_log() -> None:
    public, _ = zmq.curve_keypair()
    assert fingerprint_of(public) == fingerprint(public)
