"""A Kafka cluster on real TCP ports: librdkafka's own stand-in, whose brokers can be told to fail.

Python's client has no door to it (`rdkafka_mock.h`), so the library that it brings is called itself.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

PRODUCE = 0
"""Of Kafka's kinds of requests."""
PARTITIONS = 4


@dataclass(frozen=True)
class Kept:
    """A message as a consumer finds it."""

    topic: str
    partition: int
    key: bytes
    headers: dict[str, str]
    value: bytes


class Cluster:
    """Three brokers. Their topics are made when they are needed, with four partitions."""

    def __init__(self, brokers: int = 3) -> None:
        self._library = library = _library()
        new = _function(library, "rd_kafka_new", ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, _SIZE)
        problem = ctypes.create_string_buffer(512)
        self._client = new(0, self._settings(), problem, len(problem))
        assert self._client, problem.value
        self._cluster = _function(library, "rd_kafka_mock_cluster_new", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)(
            self._client, brokers
        )
        servers = _function(library, "rd_kafka_mock_cluster_bootstraps", ctypes.c_char_p, ctypes.c_void_p)
        self.servers = tuple(servers(self._cluster).decode().split(","))
        self.brokers = range(1, brokers + 1)

    def _settings(self) -> int:
        settings: int = _function(self._library, "rd_kafka_conf_new", ctypes.c_void_p)()
        change = _function(
            self._library,
            "rd_kafka_conf_set",
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_char_p,
            ctypes.c_char_p,
            _SIZE,
        )
        for name, value in ((b"bootstrap.servers", b"127.0.0.1:1"), (b"log_level", b"0")):
            assert change(settings, name, value, None, 0) == 0
        return settings

    def _tell(self, name: str, *values: int | bytes) -> None:
        """Call a function of the cluster that returns nothing, or 0 if all is well."""
        kinds = [ctypes.c_char_p if isinstance(value, bytes) else ctypes.c_int for value in values]
        function = _function(self._library, f"rd_kafka_mock_{name}", ctypes.c_int, ctypes.c_void_p, *kinds)
        function(self._cluster, *values)

    def make_topic(self, name: str) -> None:
        self._tell("topic_create", name.encode(), PARTITIONS, len(self.brokers))

    def fail_topic(self, name: str, error: int) -> None:
        self._tell("topic_set_error", name.encode(), error)

    def fail_requests(self, *errors: int) -> None:
        """Answer the next produce requests so."""
        array = (ctypes.c_int * len(errors))(*errors)
        push = _function(
            self._library,
            "rd_kafka_mock_push_request_errors_array",
            None,
            ctypes.c_void_p,
            ctypes.c_int16,
            _SIZE,
            ctypes.c_void_p,
        )
        push(self._cluster, PRODUCE, len(errors), ctypes.addressof(array))

    def forgive_requests(self) -> None:
        _function(self._library, "rd_kafka_mock_clear_request_errors", None, ctypes.c_void_p, ctypes.c_int16)(
            self._cluster, PRODUCE
        )

    def slow_down(self, milliseconds: int) -> None:
        """Every answer takes so long."""
        for broker in self.brokers:
            self._tell("broker_set_rtt", broker, milliseconds)

    def go_down(self) -> None:
        """All brokers refuse connections."""
        for broker in self.brokers:
            self._tell("broker_set_down", broker)

    def come_up(self) -> None:
        for broker in self.brokers:
            self._tell("broker_set_up", broker)

    def advertise(self, port: int) -> None:
        """Have clients come to another port of this machine."""
        for broker in self.brokers:
            self._tell("broker_set_host_port", broker, b"127.0.0.1", port)

    def messages(self) -> list[Kept]:
        """All that it holds, partition by partition, in the order of each."""
        silent = logging.Logger("librdkafka")
        silent.addHandler(logging.NullHandler())
        consumer = Consumer(
            {"bootstrap.servers": ",".join(self.servers), "group.id": "test", "enable.partition.eof": True},
            logger=silent,
        )
        try:
            topics = consumer.list_topics(timeout=10.0).topics
            places = [
                TopicPartition(name, part, OFFSET_BEGINNING) for name in topics for part in topics[name].partitions
            ]
            consumer.assign(places)
            found: list[Kept] = []
            ends = 0
            while ends < len(places):
                message = consumer.poll(10.0)
                assert message is not None, f"{len(found)} messages, then nothing"
                if message.error() is not None:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    ends += 1
                    continue
                headers = {name: value.decode() for name, value in message.headers() or ()}
                found.append(
                    Kept(message.topic(), message.partition(), message.key() or b"", headers, message.value() or b"")
                )
        finally:
            consumer.close()
        return sorted(found, key=lambda kept: (kept.topic, kept.partition))

    def close(self) -> None:
        _function(self._library, "rd_kafka_mock_cluster_destroy", None, ctypes.c_void_p)(self._cluster)
        _function(self._library, "rd_kafka_destroy", None, ctypes.c_void_p)(self._client)


@contextmanager
def running_cluster(brokers: int = 3) -> Iterator[Cluster]:
    cluster = Cluster(brokers)
    try:
        yield cluster
    finally:
        cluster.close()


_SIZE = ctypes.c_size_t


def _library() -> ctypes.CDLL:
    """librdkafka as the wheel brings it; skips where the client was built against the system's."""
    package = Path(confluent_kafka.__file__).parent
    found = sorted((package.parent / "confluent_kafka.libs").glob("librdkafka*"))
    if not found:
        pytest.skip("needs librdkafka from the wheel of confluent-kafka")
    return ctypes.CDLL(str(found[0]))


def _function(library: ctypes.CDLL, name: str, result: object, *arguments: object) -> ctypes._NamedFuncPointer:
    function = library[name]  # a new one each time: its types are our own
    function.restype, function.argtypes = result, arguments
    return function
