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

from gateway.adapters.spec import DeliverySpec, ParameterName
from gateway.config.bind_addresses import Binds
from gateway.signatures.extractors import Pointer
from gateway.signatures.schemes import SignatureSpec
from gateway.signatures.secrets import MAX_SECRETS
from gateway.signatures.units import Duration, Rate, Size
from gateway.transport import amqp_url, redis_url
from gateway.transport.amqp_url import BrokerUrl
from gateway.transport.redis_url import RedisUrl
from gateway.transport.tls import TlsFiles

EMBEDDED = "embedded"
"""In place of an address: the store that comes with the gateway."""

_PUBLIC_URL = re.compile(r"https?://[!-\"$-~]+")


def _check_redis_url(text: str) -> str:
    if text != EMBEDDED:
        RedisUrl.parse(text)
    return text


def _check_amqp_url(text: str) -> str:
    if text != EMBEDDED:
        BrokerUrl.parse(text)
    return text


def _check_public_url(text: str) -> str:
    if not _PUBLIC_URL.fullmatch(text) or not urlsplit(text).hostname:
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


NetworkSetting = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(_parse_network),
    WithJsonSchema({"type": "string", "examples": ["192.0.2.0/24", "2001:db8::/32", "127.0.0.1"]}),
]
Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
EventPattern = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,255}$")]


class Section(BaseModel):
    """A part of the configuration; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ServerConfig(Section):
    """The two listeners."""

    bind: Binds = Field(
        ["127.0.0.1:8080"],
        description="Where senders call, one address or a list; `[::]:8080` is IPv6 and IPv4. Put a TLS proxy before it.",
    )
    admin_bind: Binds = Field(
        ["127.0.0.1:8081"],
        description="Metrics and health for the operator, one address or a list; never public.",
    )
    trusted_proxies: list[NetworkSetting] = Field(
        [],
        description="Networks of proxies that are believed where a request comes from (for `allow_ips`), and which "
        "address its sender called.",
    )
    forwarded: Literal["x-forwarded", "forwarded"] = Field(
        "x-forwarded",
        description="What those proxies write: X-Forwarded-For, -Proto and -Host, or Forwarded (RFC 7239). The other "
        "is not read, since a sender can write it.",
    )
    processes: int = Field(1, ge=1, le=64, strict=True, description="Processes that share the two addresses.")
    max_body: Size = Field(
        1024**2,
        description="The largest body of a request; where it is not set, an adapter may let larger ones in.",
    )
    deadline: Duration = Field(
        8.0, description="For a whole request, from its head to its answer; less for an impatient sender."
    )
    max_connections: Count = Field(
        2000,
        description="Open connections of a process. Beyond it, a new connection replaces the one that has been idle "
        "longest, or is answered 503 if all have a request under way.",
    )
    max_connections_per_client: Count | None = Field(
        None,
        description="Of them, of one address (of IPv6, a network of 64 bits) that is not in `trusted_proxies`; all, "
        "where it is not set.",
    )
    keep_alive: Duration = Field(
        75.0,
        description="How long a connection may be idle between requests: longer than a load balancer keeps its own "
        "(most often 60s), or that sends a request into a connection that ends.",
    )
    max_in_flight: Count = Field(
        1000, description="Requests that a process handles at a time; further ones are answered 503."
    )
    max_buffered: Size = Field(
        256 * 1024**2,
        description="Bytes of requests in the memory of a process, beyond which requests are answered 503.",
    )
    shutdown_delay: Duration | None = Field(
        None,
        description="How long /readyz says no before the listener closes, for a load balancer to notice.",
    )


def _check_named(path: object) -> object:
    if path == "":
        raise ValueError("is empty; leave it out, or name a file")
    return path


_PemFile = Annotated[Path, BeforeValidator(_check_named)]


class TlsConfig(Section):
    """What an encrypted connection to one of our servers is made with; PEM files, relative to the working directory."""

    ca: _PemFile | None = Field(
        None, description="The authorities that are believed, in place of those of the system."
    )
    cert: _PemFile | None = Field(None, description="The certificate that is shown to the server.")
    key: _PemFile | None = Field(
        None, description="The private key of the certificate, where it is not in the same file."
    )

    @property
    def files(self) -> TlsFiles:
        """The paths as texts, empty for those that are not given."""
        return TlsFiles(*(str(path or "") for path in (self.ca, self.cert, self.key)))


class RedisConfig(Section):
    """Where claims are kept."""

    url: Annotated[str, AfterValidator(_check_redis_url)] = Field(
        EMBEDDED,
        repr=False,  # there may be a password in it
        description="redis://, rediss:// or unix://, or `embedded` for SQLite in data_dir.",
    )
    timeout: Duration = Field(0.25, description="For Redis to answer; there is one attempt.")
    tls: TlsConfig = Field(TlsConfig(), description="Of a rediss:// address with a private authority.")

    @property
    def address(self) -> str:
        """The address with all that is said of TLS: what everything that connects to Redis takes."""
        return redis_url.with_tls(self.url, self.tls.files)


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
    tls: TlsConfig = Field(TlsConfig(), description="Of an amqps:// address with a private authority.")

    @property
    def address(self) -> str:
        """The address with all that is said of TLS: what everything that connects to RabbitMQ takes."""
        return amqp_url.with_tls(self.url, self.tls.files)


class DedupeConfig(Section):
    """How repetitions are recognised."""

    lease: Duration = Field(30.0, description="How long an event that is being handled is held.")
    retention: Duration = Field(345_600.0, description="How long an event that is done is remembered.")
    on_unavailable: Literal["accept", "reject"] = Field(
        "accept", description="Without claims, publish events marked `dedupe: unchecked`, or answer 503."
    )


class ProviderDedupeConfig(Section):
    """How the repetitions of one provider are recognised."""

    retention: Duration | None = Field(
        None,
        description="How long its events are remembered; by default `dedupe.retention`, or longer where the provider "
        "repeats a delivery for longer.",
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
        [],
        description="Event types to publish, as the sender or as routing keys spell them: `*` stands for one word, "
        "`#` for any number; empty for all.",
    )
    allow_ips: list[NetworkSetting] = Field([], description="Networks from which it sends; empty for all.")
    rate_limit: Rate | None = Field(
        None,
        description="Verified events that a process accepts, such as `100/s`; further ones are answered 429.",
    )
    max_body: Size | None = Field(
        None,
        description="The largest body; otherwise `server.max_body` where that is set, or what the sender documents.",
    )
    tolerance: Duration | None = Field(
        None,
        description="How far a signed moment may be from our clock, where it is not as `gateway providers NAME` says.",
    )
    dedupe: ProviderDedupeConfig = Field(
        ProviderDedupeConfig(),
        description="`{retention: 10d}` is how long its events are remembered; by default `dedupe.retention`, or longer "
        "where the provider repeats a delivery for longer.",
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
        None,
        description="The address as the sender has it, with its query if it has one. Needed where its signature covers "
        "the address, unless `server.trusted_proxies` tell that.",
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
    providers: dict[ProviderName, ProviderConfig] = Field(
        min_length=1, description="The senders, by the last part of their path."
    )
