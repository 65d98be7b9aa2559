"""A bridge file: which box to hear, as which consumer, and where to hand its events on."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from anpr.config.fields import (
    AsTuple,
    BusEndpoint,
    EnvironmentSecret,
    FilePath,
    Identifier,
    Log,
    PathValue,
    SecretFile,
    Table,
    UserName,
    mistake,
)
from anpr.endpoints import host_and_port, stays_on_this_machine
from anpr.privacy import redact

Seconds = Annotated[float, Field(ge=0.1, le=300.0)]
_LONGEST_TOPIC_PREFIX = 200
"""Of 249 characters that a topic may have."""


def _address(*schemes: str, example: str) -> Callable[[str], str]:
    def check(url: str) -> str:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise mistake("not an address", f"write {example}") from None
        if any(character.isspace() or not character.isprintable() for character in url):
            raise mistake("an address must not contain spaces or control characters")
        if "@" in url:  # anywhere: a password may hold / ? or #
            raise mistake("an address must not carry a user name or password", "take it out; see docs/bridges.md")
        if parts.scheme not in schemes or not parts.hostname or port == 0:
            raise mistake(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}", f"write {example}")
        return url

    return check


def _topic(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", value):
        raise mistake(f"{value!r} cannot begin a topic", "use letters, digits, - and _, with / between the parts")
    return value


def _subject(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", value):
        raise mistake(f"{value!r} cannot begin a subject", "use letters, digits, - and _, with . between the parts")
    return value


def _on_this_machine(url: str) -> bool:
    parts = urlsplit(url)
    return stays_on_this_machine(f"tcp://{parts.hostname if ':' not in (parts.hostname or '') else '[::1]'}:1")


class Feed(Table):
    """The box's reliable feed, and who we are there."""

    endpoint: BusEndpoint
    consumer: Identifier
    """A name under `[[bus.consumers]]` of the box's site file, of this bridge alone."""
    cursor: PathValue | None = None
    """Where we remember how far we are; None: the box does."""
    key_file: PathValue | None = None
    """Our `NAME.key_secret`, if the box encrypts."""
    box_keys: Annotated[tuple[PathValue, ...], AsTuple] = ()
    """The box's `NAME.key`; two while it changes its key."""
    topics: Annotated[tuple[str, ...], AsTuple] = ()
    """Beginnings of topics; what begins otherwise is acknowledged and not handed on. Empty: everything is."""

    @model_validator(mode="after")
    def _keys_together(self) -> Self:
        if (self.key_file is None) != (not self.box_keys):
            raise mistake("key_file and box_keys go together", "give our NAME.key_secret and the box's NAME.key")
        return self


class Secured(Table):
    """Something that is reached over a network."""

    ca_file: PathValue | None = None
    """Certificates to trust, PEM; None: those of the system."""
    allow_unencrypted: bool = False
    """Let events go to other machines in the clear, over a network that is your own."""
    timeout_seconds: Seconds = 10.0
    """For a connection, and for an acknowledgement."""

    def check_reach(self, url: str, encrypted: str) -> None:
        """Raises a mistake if events would leave this machine in the clear."""
        if urlsplit(url).scheme != encrypted and not _on_this_machine(url) and not self.allow_unencrypted:
            raise mistake(
                f"events would leave this machine unencrypted to {url}",
                f"write {encrypted}://…, or set allow_unencrypted = true if the network is your own",
            )


class Login(Secured):
    """Something that may ask who we are."""

    user: UserName | None = None
    password: EnvironmentSecret | None = None
    password_file: SecretFile | None = None

    @model_validator(mode="after")
    def _whole_login(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise mistake("both password and password_file", "give at most one")
        if (self.user is None) != (self.secret is None):
            raise mistake("a user and a password go together", 'give user and password = "${NAME}" or password_file')
        return self

    @property
    def secret(self) -> SecretStr | None:
        """The password, from wherever it comes."""
        return self.password if self.password is not None else self.password_file


class Spot(Table):
    """Where a camera stands."""

    site: Identifier
    camera: Identifier
    latitude: Annotated[float, Field(ge=-90.0, le=90.0)]
    longitude: Annotated[float, Field(ge=-180.0, le=180.0)]


class Webhook(Secured):
    """An HTTP address that takes one event, or one entity, with each POST."""

    url: Annotated[str, AfterValidator(_address("https", "http", example="https://HOST/PATH"))]
    form: Literal["cloudevents", "ngsi-ld"] = "cloudevents"
    secret: EnvironmentSecret | None = None
    """Signs each request."""
    secret_file: SecretFile | None = None
    token: EnvironmentSecret | None = None
    """Sent as `Authorization: Bearer …`."""
    token_file: SecretFile | None = None
    tenant: Identifier | None = None
    """Of an NGSI-LD broker: sent as `NGSILD-Tenant`."""
    places: Annotated[tuple[Spot, ...], AsTuple] = ()
    """For `ngsi-ld`, which wants to know where: a table for each camera."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for one, other in (("secret", "secret_file"), ("token", "token_file")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise mistake(f"both {one} and {other}", "give at most one")
        if self.form == "ngsi-ld" and not self.places:
            raise mistake("ngsi-ld needs the cameras' places", "add [[webhook.places]] for each camera")
        if self.form != "ngsi-ld" and (self.places or self.tenant is not None):
            raise mistake("places and tenant belong to the form ngsi-ld", 'set form = "ngsi-ld", or remove them')
        self.check_reach(self.url, "https")
        return self


class Mqtt(Login):
    """An MQTT 5 broker."""

    url: Annotated[str, AfterValidator(_address("mqtts", "mqtt", example="mqtts://HOST:8883"))]
    form: Literal["cloudevents", "onvif"] = "cloudevents"
    topic_prefix: Annotated[str, AfterValidator(_topic)] = "anpr"
    client_id: Identifier | None = None
    """None: the consumer's name."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.check_reach(self.url, "mqtts")
        return self


class Nats(Login):
    """A NATS server with JetStream."""

    url: Annotated[str, AfterValidator(_address("tls", "nats", example="tls://HOST:4222"))]
    subject_prefix: Annotated[str, AfterValidator(_subject)] = "anpr"
    stream: Identifier | None = None
    """The stream that must take what is published; None: whichever has its subject."""
    token: EnvironmentSecret | None = None
    token_file: SecretFile | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(each is not None for each in (self.user, self.token, self.token_file)) > 1:
            raise mistake("more than one of user, token and token_file", "give at most one")
        self.check_reach(self.url, "tls")
        return self


def _server(value: str) -> str:
    try:
        host, _ = host_and_port(value)
    except ValueError as error:
        raise mistake(str(error), "write HOST:9093, without kafka:// before it") from error
    if not re.fullmatch(r"[A-Za-z0-9._:-]+", host):
        raise mistake(f"no host: {host[:40]!r}", "write HOST:9093")
    return value


def _kafka_topic(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", value) or len(value) > _LONGEST_TOPIC_PREFIX:
        raise mistake(f"{value[:60]!r} cannot begin a topic", "use letters, digits, - and _, with . between the parts")
    return value


class Kafka(Login):
    """A Kafka cluster."""

    servers: Annotated[tuple[Annotated[str, AfterValidator(_server)], ...], AsTuple, Field(min_length=1)]
    """`HOST:PORT` of some of its brokers."""
    tls: bool = True
    certificate_file: FilePath | None = None
    """Our own certificate, PEM, where brokers ask for one."""
    key_file: FilePath | None = None
    """Its secret key, PEM."""
    sasl: Literal["plain", "scram-sha-256", "scram-sha-512"] = "scram-sha-512"
    """How user and password are shown, if they are given."""
    topic_prefix: Annotated[str, AfterValidator(_kafka_topic)] = "anpr"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise mistake("certificate_file and key_file go together", "give both or neither")
        if not self.tls and (self.ca_file is not None or self.certificate_file is not None):
            raise mistake("certificates belong to tls", "remove tls = false, or the certificates")
        if not self.tls and not self.allow_unencrypted:  # wherever the first broker is: it names the others
            raise mistake(
                "events would go unencrypted to whichever brokers the cluster names",
                "remove tls = false, or set allow_unencrypted = true if the network is your own",
            )
        if not self.tls and self.user is not None and self.sasl == "plain":
            raise mistake("the password would go unencrypted", "use tls, or scram-sha-512")
        return self

    @property
    def url(self) -> str:
        """The brokers, for a person."""
        return ",".join(self.servers)


class BridgeFile(Table):
    """From one box to one broker."""

    feed: Feed
    dead_letters: PathValue
    """Where events are written that the other side refuses for good."""
    log: Log = Log()
    webhook: Webhook | None = None
    mqtt: Mqtt | None = None
    nats: Nats | None = None
    kafka: Kafka | None = None

    @model_validator(mode="after")
    def _one_broker(self) -> Self:
        given = [name for name in ("webhook", "mqtt", "nats", "kafka") if getattr(self, name) is not None]
        if len(given) != 1:
            what = f"both {' and '.join(given)}" if given else "nowhere to hand events on to"
            raise mistake(what, "give exactly one of [webhook], [mqtt], [nats], [kafka]")
        return self

    @property
    def address(self) -> str:
        """Where the events go, without secrets."""
        broker = self.webhook or self.mqtt or self.nats or self.kafka
        return "" if broker is None else redact(broker.url)
