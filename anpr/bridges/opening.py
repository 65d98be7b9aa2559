"""A bridge from its file: its broker's client, and its place at the box."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

from pydantic import SecretStr

from anpr.bridges.bridge import Bridge
from anpr.bridges.dead_letters import DeadLetters
from anpr.bridges.sink import Sink
from anpr.bus import ClientKeys, DurableSubscriber
from anpr.clock import Clock
from anpr.config.bridge import BridgeFile, Kafka, Mqtt, Nats, Secured, Webhook
from anpr.errors import ConfigError

WINDOW = 256
"""Events that may be on their way from the box."""


@asynccontextmanager
async def open_bridge(config: BridgeFile, *, clock: Clock) -> AsyncIterator[Bridge]:
    """Connected to the box; the broker is connected with the first event.

    Raises ConfigError if a package, a certificate or a key is missing, BusError if a key or the cursor is wrong.
    """
    feed = config.feed
    async with open_sink(config, clock=clock) as sink:
        keys = ClientKeys.load(feed.key_file, *feed.box_keys) if feed.key_file is not None else None
        with DurableSubscriber(
            feed.endpoint, feed.consumer, clock=clock, cursor=feed.cursor, keys=keys, window=WINDOW
        ) as subscriber:
            letters = DeadLetters(config.dead_letters, clock=clock)
            yield Bridge(subscriber, sink, dead_letters=letters, clock=clock, topics=feed.topics)


@asynccontextmanager
async def open_sink(config: BridgeFile, *, clock: Clock) -> AsyncIterator[Sink]:
    """The broker alone, connected with the first event. Raises ConfigError if a package or a certificate is missing."""
    if not config.dead_letters.parent.is_dir():
        raise ConfigError("no such folder", place=str(config.dead_letters.parent), cure="make it for dead_letters")
    sink = _sink(config, clock=clock)
    try:
        yield sink
    finally:
        await sink.close()


def _sink(config: BridgeFile, *, clock: Clock) -> Sink:
    """The client of the one broker that the file names; its package is imported only now."""
    try:
        if config.webhook is not None:
            return _webhook(config.webhook, clock=clock)
        if config.mqtt is not None:
            return _mqtt(config.mqtt, client_id=config.mqtt.client_id or config.feed.consumer)
        if config.nats is not None:
            return _nats(config.nats, name=f"anpr {config.feed.consumer}")
        if config.kafka is not None:
            return _kafka(config.kafka, client_id=f"anpr-{config.feed.consumer}")
        raise AssertionError("a bridge file names one broker")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the package {error.name} is missing", place="anpr bridge", cure="pip install 'anpr[bridges]'"
        ) from error
    except ValueError as error:
        raise ConfigError(f"the secret cannot be used: {error}", place="[webhook]", cure="copy it anew") from error
    except OSError as error:
        raise ConfigError(f"the certificates cannot be read: {error.strerror or error}", cure="see ca_file") from error


def _webhook(webhook: Webhook, *, clock: Clock) -> Sink:
    from anpr.bridges.ngsi_ld import upsert_request
    from anpr.bridges.signature import key_of
    from anpr.bridges.webhook import WebhookOptions, WebhookSink

    secret = _shown(webhook.secret or webhook.secret_file)
    places = {(spot.site, spot.camera): (spot.latitude, spot.longitude) for spot in webhook.places}
    options = WebhookOptions(
        url=webhook.url,
        timeout_seconds=webhook.timeout_seconds,
        key=None if secret is None else key_of(secret),
        token=_shown(webhook.token or webhook.token_file),
        tls=_tls(webhook),
        make=partial(upsert_request, places=places, tenant=webhook.tenant) if webhook.form == "ngsi-ld" else None,
    )
    return WebhookSink(options, clock=clock)


def _mqtt(mqtt: Mqtt, *, client_id: str) -> Sink:
    from anpr.bridges.mqtt import MqttSink, cloud_letter
    from anpr.bridges.mqtt_connection import MqttOptions
    from anpr.bridges.onvif import onvif_letter

    parts = urlsplit(mqtt.url)
    encrypted = parts.scheme == "mqtts"
    options = MqttOptions(
        host=parts.hostname or "",
        port=parts.port or (8883 if encrypted else 1883),
        client_id=client_id,
        tls=_tls(mqtt) if encrypted else None,
        user=_shown(mqtt.user),
        password=_shown(mqtt.secret),
        timeout_seconds=mqtt.timeout_seconds,
    )
    form = onvif_letter if mqtt.form == "onvif" else cloud_letter
    return MqttSink(options, make=partial(form, prefix=mqtt.topic_prefix))


def _nats(broker: Nats, *, name: str) -> Sink:
    from anpr.bridges.nats import NatsOptions, NatsSink

    return NatsSink(
        NatsOptions(
            url=broker.url,
            name=name,
            subject_prefix=broker.subject_prefix,
            stream=broker.stream,
            tls=_tls(broker) if urlsplit(broker.url).scheme == "tls" else None,
            user=_shown(broker.user),
            password=_shown(broker.secret),
            token=_shown(broker.token or broker.token_file),
            timeout_seconds=broker.timeout_seconds,
        )
    )


def _kafka(cluster: Kafka, *, client_id: str) -> Sink:
    from anpr.bridges.kafka import KafkaOptions, KafkaSink

    if cluster.tls:
        _tls(cluster)  # librdkafka reads certificates itself, and tells of bad ones only later
    return KafkaSink(
        KafkaOptions(
            servers=cluster.servers,
            client_id=client_id,
            topic_prefix=cluster.topic_prefix,
            tls=cluster.tls,
            ca_file=cluster.ca_file,
            certificate_file=cluster.certificate_file,
            key_file=cluster.key_file,
            sasl=cluster.sasl,
            user=_shown(cluster.user),
            password=_shown(cluster.secret),
            timeout_seconds=cluster.timeout_seconds,
        )
    )


def _tls(secured: Secured) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=secured.ca_file)


def _shown(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
