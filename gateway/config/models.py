"""What can be configured. The reference and the editors' JSON Schema are generated from these models."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
)

from gateway.publishers.amqp import BrokerUrl, check_address
from providers.schemes import SignatureSpec
from providers.sources import Pointer
from providers.spec import DeliverySpec, ParameterName
from providers.units import Duration, Rate, Size

EMBEDDED = "embedded"
"""In place of an address: the store that comes with the gateway."""

MAX_SECRETS = 5
"""Secrets that a provider can have at a time."""

_BIND = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})")
_REDIS_URL = re.compile(r"rediss?://[^/?#]*(/[0-9]*)?(\?.*)?|unix://.+")
_PUBLIC_URL = re.compile(r"https?://[!-~]+")
_HIGHEST_PORT = 65_535


def split_bind(bind: str) -> tuple[str, int]:
    """Host and port of an address to listen at."""
    host, _, port = bind.rpartition(":")
    return host.strip("[]"), int(port)


def check_bind(text: str) -> str:
    """An address to listen at, as it is.

    Raises:
        ValueError: it is none.
    """
    match = _BIND.fullmatch(text)
    if not match or int(match["port"]) > _HIGHEST_PORT:
        raise ValueError("is not an address to listen at; write HOST:PORT, such as 127.0.0.1:8080")
    return text


def _check_redis_url(text: str) -> str:
    if text != EMBEDDED:
        check_address(text)
    if text != EMBEDDED and not (_REDIS_URL.fullmatch(text) and _is_read_by_redis(text)):
        raise ValueError(
            "is not an address of Redis; write redis://host:6379/0, rediss://, unix:// or embedded"
        )
    return text


def _is_read_by_redis(url: str) -> bool:
    from redis.asyncio.connection import parse_url  # noqa: PLC0415 -- slow, and most often not needed

    try:
        parse_url(url)
        return urlsplit(url).port != 0
    except ValueError:  # most likely a password that is not percent-encoded
        return False


def _check_amqp_url(text: str) -> str:
    if text != EMBEDDED:
        BrokerUrl.parse(text)
    return text


def _check_public_url(text: str) -> str:
    if not _PUBLIC_URL.fullmatch(text) or "?" in text:
        raise ValueError(
            "is not an address; write it as the sender has it, such as https://hooks.example.com/webhooks/acme"
        )
    return text


def _check_exchange(text: str) -> str:
    if text.startswith("amq."):
        raise ValueError("must not begin with amq., which RabbitMQ keeps to itself")
    return text


def _parse_network(text: object) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text if isinstance(text, str) else "", strict=False)
    except ValueError:
        raise ValueError("is not a network; write an address, or a network such as 192.0.2.0/24") from None
    if str(network.network_address) != str(ip_address(str(text).partition("/")[0])):
        raise ValueError(f"is an address within a network; write {network}, or the address alone")
    return network


Network = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(_parse_network),
    WithJsonSchema({"type": "string", "examples": ["192.0.2.0/24", "2001:db8::/32", "127.0.0.1"]}),
]
Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
Bind = Annotated[str, AfterValidator(check_bind)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
EventPattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.*#/-]{1,128}$")]


class Section(BaseModel):
    """A part of the configuration; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ServerConfig(Section):
    """The two listeners."""

    bind: Bind = Field("127.0.0.1:8080", description="Where senders call; put a TLS proxy before it.")
    admin_bind: Bind = Field(
        "127.0.0.1:8081", description="Metrics and health for the operator; never public."
    )
    trusted_proxies: list[Network] = Field(
        [], description="Networks of proxies whose X-Forwarded-For is believed, for `allow_ips`."
    )
    workers: int = Field(1, ge=1, le=64, strict=True, description="Processes that share the two addresses.")
    max_body: Size = Field(
        1024**2,
        description="The largest body of a request; where it is not set, an adapter may let larger ones in.",
    )
    deadline: Duration = Field(
        8.0, description="For a whole request, from its head to its answer; less for an impatient sender."
    )
    max_connections: Count = Field(
        2000, description="Open connections of a worker beyond which new ones are answered 503."
    )
    max_in_flight: Count = Field(
        1000, description="Requests that a worker handles at a time, beyond which they are answered 503."
    )
    max_buffered: Size = Field(
        256 * 1024**2,
        description="Bytes of bodies in a worker's memory beyond which requests are answered 503.",
    )
    shutdown_delay: Duration | None = Field(
        None,
        description="How long /readyz says no before the listener closes, for a load balancer to notice.",
    )


class RedisConfig(Section):
    """Where claims are kept."""

    url: Annotated[str, AfterValidator(_check_redis_url)] = Field(
        EMBEDDED,
        repr=False,  # there may be a password in it
        description="redis://, rediss:// or unix://, or `embedded` for SQLite in data_dir.",
    )
    timeout: Duration = Field(0.25, description="For Redis to answer; there is one attempt.")


class RabbitConfig(Section):
    """Where events go."""

    url: Annotated[str, AfterValidator(_check_amqp_url)] = Field(
        EMBEDDED,
        repr=False,  # there may be a password in it
        description="amqp:// or amqps://, or `embedded` for a queue in SQLite in data_dir.",
    )
    exchange: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,200}$"), AfterValidator(_check_exchange)
    ] = Field(
        "webhooks",
        description="The topic exchange; .unrouted, .quarantine and .archive are added to its name.",
    )
    confirm_timeout: Duration = Field(2.0, description="For the broker to confirm an event.")


class DedupeConfig(Section):
    """How repetitions are recognised."""

    lease: Duration = Field(30.0, description="How long an event that is being handled is held.")
    retention: Duration = Field(345_600.0, description="How long an event that is done is remembered.")
    on_unavailable: Literal["accept", "reject"] = Field(
        "accept", description="Without claims, publish events marked `dedupe: unchecked`, or answer 503."
    )


class SpoolConfig(Section):
    """Where events wait on disk while RabbitMQ is away."""

    enabled: bool = Field(default=True, description="Whether they do; else they are answered 503.")
    max_size: Size = Field(
        1024**3, description="Bytes of events beyond which they are answered 503 all the same."
    )


class ArchiveConfig(Section):
    """Where published events are kept for `gateway replay`."""

    enabled: bool = Field(
        default=False,
        description="Whether they are: in the stream EXCHANGE.archive, or embedded in SQLite in data_dir.",
    )
    max_age: Duration = Field(
        604_800.0, description="How long an event is kept; a stream may keep it longer."
    )
    max_size: Size = Field(10 * 1024**3, description="Bytes of events beyond which the oldest go.")


class ProviderConfig(DeliverySpec):
    """One sender. The keys on its deliveries override what its adapter says; adapter hmac needs them."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    adapter: str = Field(description="What kind of sender this is; `gateway providers` lists them.")
    secrets: list[SecretStr] = Field(
        max_length=MAX_SECRETS,
        description="The secrets in use; several while rotating. None only where `enrol` waits for the first.",
    )
    signature: SignatureSpec | None = Field(None, description="For adapter hmac: how the sender signs.")
    parameters: dict[ParameterName, str] = Field(
        {}, description="What the adapter has to be told besides; `gateway providers NAME` lists it."
    )
    handshake_token: SecretStr | None = Field(
        None, description="The token that the sender shows in its handshake, where it has one."
    )
    enrol: bool = Field(
        default=False, description="Whether a sender that tells its secret in a handshake may do so now."
    )
    events: list[EventPattern] = Field(
        [], description="Event types to publish: * stands for one word, # for any number; empty for all."
    )
    allow_ips: list[Network] = Field([], description="Networks from which it sends; empty for all.")
    rate_limit: Rate | None = Field(
        None, description="Verified events, such as `100/s`, beyond which a worker answers 429."
    )
    max_body: Size | None = Field(
        None,
        description="The largest body; otherwise `server.max_body` where that is set, or what the sender documents.",
    )
    tolerance: Duration | None = Field(
        None,
        description="How far a signed moment may be from our clock, where it is not as `gateway providers NAME` says.",
    )
    on_invalid: Literal["quarantine", "reject"] = Field(
        "quarantine", description="What happens to a genuine event that is against its schema."
    )
    schema_file: Path | None = Field(
        None,
        alias="schema",
        description="A JSON Schema for every event of this provider, relative to this file.",
    )
    redact: list[Pointer] = Field(
        [],
        max_length=64,
        description="JSON Pointers, such as `/customer/*/email`, to values in an event that nobody behind the "
        "gateway may see; they become `***`.",
    )
    public_url: Annotated[str, AfterValidator(_check_public_url)] | None = Field(
        None, description="The address as the sender has it, where its signature covers that."
    )

    def handshake_token_text(self) -> str | None:
        """The ``handshake_token`` in clear, for the adapter alone."""
        return None if self.handshake_token is None else self.handshake_token.get_secret_value()

    def secret_texts(self) -> list[str]:
        """The secrets in clear, for the adapter alone."""
        return [secret.get_secret_value() for secret in self.secrets]


class Config(Section):
    """The whole file."""

    server: ServerConfig = Field(ServerConfig(), description="The listeners.")
    redis: RedisConfig = Field(RedisConfig(), description="The claim store.")
    rabbitmq: RabbitConfig = Field(RabbitConfig(), description="The broker.")
    data_dir: Path = Field(
        Path("var"),
        description="The folder of the spool and the embedded stores, relative to the working directory.",
    )
    dedupe: DedupeConfig = Field(DedupeConfig(), description="Deduplication.")
    spool: SpoolConfig = Field(SpoolConfig(), description="The spool.")
    archive: ArchiveConfig = Field(ArchiveConfig(), description="The archive.")
    providers: dict[Name, ProviderConfig] = Field(
        min_length=1, description="The senders, by the last part of their path."
    )
