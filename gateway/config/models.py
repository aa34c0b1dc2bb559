"""The models of the configuration, one field a setting.

The reference page and the JSON Schema for editors are generated from them, descriptions included. The module is longer
than 200 lines because it is one table of declarations, in the order of the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
)

from gateway.adapters.spec import DeliverySpec, ParameterName
from gateway.config.bind_addresses import Binds
from gateway.config.observing_models import ConsoleConfig, JournalConfig, LogConfig, PostgresConfig
from gateway.config.outbound_models import EndpointConfig, EndpointName, OutboundConfig
from gateway.config.section import Section
from gateway.config.tls_models import TlsConfig
from gateway.config.value_checks import (
    EMBEDDED,
    check_amqp_node,
    check_amqp_url,
    check_exchange,
    check_management_url,
    check_public_url,
    check_redis_node,
    check_redis_url,
    check_url_path,
    parse_network,
)
from gateway.signatures.extractors import Pointer
from gateway.signatures.schemes import SignatureSpec
from gateway.signatures.secrets import MAX_SECRETS
from gateway.signatures.units import Duration, Rate, Size
from gateway.transport import amqp_url, redis_url
from gateway.transport.amqp_nodes import BrokerNodes

NetworkSetting = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(parse_network),
    WithJsonSchema({"type": "string", "examples": ["192.0.2.0/24", "2001:db8::/32", "127.0.0.1"]}),
]
"""An IP network, or a single address."""

Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
"""A positive number of things, such as connections."""

ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""The key of a provider: a segment of its path, and the first word of its routing keys; at most 63 characters."""

EventPattern = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,255}$")]
"""A pattern of event types, without control characters."""


class ServerConfig(Section):
    """The two listeners and their limits."""

    bind: Binds = Field(
        ["127.0.0.1:8080"],
        description="Where providers call: one address or a list; `[::]:8080` is IPv6 and IPv4. Put a TLS proxy before it.",
    )
    admin_bind: Binds = Field(
        ["127.0.0.1:8081"],
        description="The console, metrics and health for the operator: one address or a list; never public.",
    )
    trusted_proxies: list[NetworkSetting] = Field(
        [],
        description="Networks of proxies whose headers are believed: for the client's address (see `allow_ips`) and the "
        "URL that the provider called.",
    )
    forwarded: Literal["x-forwarded", "forwarded"] = Field(
        "x-forwarded",
        description="The headers that those proxies write: X-Forwarded-For, -Proto and -Host, or Forwarded (RFC 7239). "
        "The other kind is ignored, because a client could write it.",
    )
    processes: int = Field(1, ge=1, le=64, strict=True, description="Processes that share the two addresses.")
    max_body: Size = Field(
        1024**2,
        description="The largest body of a request. Unless it is set, an adapter may raise it for its provider.",
    )
    deadline: Duration = Field(
        8.0,
        description="Time for a whole request, from its head to the response; less for a provider that times out earlier.",
    )
    max_connections: Count = Field(
        2000,
        description="Open connections of a process. Beyond it, a new connection replaces the one that has waited longest "
        "for a request, or is answered 503 if all have a request under way.",
    )
    max_connections_per_client: Count | None = Field(
        None,
        description="Open connections of one address (for IPv6, of a network of 64 bits) that is not in "
        "`trusted_proxies`; by default no limit of its own.",
    )
    keep_alive: Duration = Field(
        75.0,
        description="How long a connection may be idle between requests. Set it longer than your load balancer's own "
        "timeout (most often 60s), or the balancer will send requests into connections that are closing.",
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
        description="How long /readyz answers 503 before the listener closes, for a load balancer to notice.",
    )


class RedisConfig(Section):
    """The store of claims."""

    url: Annotated[str, AfterValidator(check_redis_url)] = Field(
        EMBEDDED,
        repr=False,  # it may contain a password
        description="redis://, rediss:// or unix://, or `embedded` for SQLite in data_dir.",
    )
    sentinels: list[Annotated[str, AfterValidator(check_redis_node)]] = Field(
        [],
        repr=False,
        max_length=16,
        description="Redis Sentinels that name the primary, in place of `url`; redis:// or rediss://, with the user of the "
        "Sentinels if they have one.",
    )
    master: str = Field("", description="The name under which the Sentinels watch the primary.")
    username: str = Field("", description="The user of the primary that Sentinels name.")
    password: SecretStr | None = Field(None, description="The password of the primary that Sentinels name.")
    cluster: list[Annotated[str, AfterValidator(check_redis_node)]] = Field(
        [],
        repr=False,
        max_length=16,
        description="Some nodes of a Redis Cluster, in place of `url`; they name the others.",
    )
    timeout: Duration = Field(0.25, description="Time for Redis to answer; a command is never repeated.")
    tls: TlsConfig = Field(
        TlsConfig(), description="Files for a rediss:// connection, such as those of a private authority."
    )

    @property
    def is_embedded(self) -> bool:
        """Whether claims and leases are kept in the data directory rather than in Redis."""
        return self.url == EMBEDDED and not (self.sentinels or self.cluster)

    def with_tls(self, url: str) -> str:
        """Return an address with all TLS settings in its query, as every client of Redis here takes it."""
        return redis_url.with_tls(url, self.tls.files)


class RabbitConfig(Section):
    """The broker that events are published to."""

    url: Annotated[str, AfterValidator(check_amqp_url)] = Field(
        EMBEDDED,
        repr=False,  # it may contain a password
        description="amqp:// or amqps://, or `embedded` for a queue in SQLite in data_dir.",
    )
    urls: list[Annotated[str, AfterValidator(check_amqp_node)]] = Field(
        [],
        repr=False,
        max_length=16,
        description="The nodes of a cluster, in place of `url`: any of them serves, and another takes over when it is gone.",
    )
    exchange: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,200}$"), AfterValidator(check_exchange)
    ] = Field(
        "webhooks",
        description="The topic exchange; .unrouted, .quarantine and .archive are added to its name.",
    )
    confirm_timeout: Duration = Field(2.0, description="Time for the broker to confirm an event.")
    management_url: Annotated[str, AfterValidator(check_management_url)] = Field(
        "",
        repr=False,  # it may contain a password
        description="RabbitMQ's management API, such as `http://localhost:15672`, for `gateway status` to list all queues "
        "with their unacknowledged messages; with the user of `url` unless it names another.",
    )
    tls: TlsConfig = Field(
        TlsConfig(), description="Files for an amqps:// connection, such as those of a private authority."
    )

    @property
    def is_embedded(self) -> bool:
        """Whether events are queued in the data directory rather than in RabbitMQ."""
        return not self.urls and self.url == EMBEDDED

    @property
    def nodes(self) -> BrokerNodes:
        """The broker or the nodes of its cluster, with all TLS settings, as every client of RabbitMQ here takes them."""
        return BrokerNodes(*(amqp_url.with_tls(url, self.tls.files) for url in self.urls or [self.url]))


class DedupeConfig(Section):
    """How duplicates are recognised."""

    lease: Duration = Field(30.0, description="How long one attempt to publish an event holds its claim.")
    retention: Duration = Field(345_600.0, description="How long a published event is remembered.")
    on_unavailable: Literal["accept", "reject"] = Field(
        "accept",
        description="Without the deduplication store, publish events marked `dedupe: unchecked`, or answer 503.",
    )


class ProviderDedupeConfig(Section):
    """How the duplicates of one provider are recognised."""

    retention: Duration | None = Field(
        None,
        description="How long its events are remembered; by default `dedupe.retention`, or longer if the provider "
        "retries for longer.",
    )


class SpoolConfig(Section):
    """The spool, in which events wait on disk while RabbitMQ is unavailable."""

    enabled: bool = Field(
        default=True, description="Whether events are spooled; otherwise they are answered 503."
    )
    max_size: Size = Field(
        1024**3, description="Bytes of spooled events, beyond which events are answered 503."
    )


class ArchiveConfig(Section):
    """The archive of published events, for `gateway replay`."""

    enabled: bool = Field(
        default=False,
        description="Whether events are archived: in the stream EXCHANGE.archive, or in SQLite in data_dir.",
    )
    max_age: Duration = Field(
        604_800.0, description="How long an event is kept; a stream may keep it longer."
    )
    max_size: Size = Field(10 * 1024**3, description="Bytes of events, beyond which the oldest are deleted.")


class ProviderConfig(DeliverySpec):
    """One provider. Keys that describe its requests override its adapter; `hmac` needs them."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    adapter: str = Field(description="The adapter for this kind of provider; `gateway providers` lists them.")
    secrets: list[SecretStr] = Field(
        max_length=MAX_SECRETS,
        description="The secrets in use; several while rotating. Empty only if `enrol` waits for the first.",
    )
    signature: SignatureSpec | None = Field(None, description="For adapter hmac: how the provider signs.")
    parameters: dict[ParameterName, str] = Field(
        {}, description="Further values that the adapter needs; `gateway providers NAME` lists them."
    )
    handshake_token: SecretStr | None = Field(
        None, description="The token that the provider sends in its handshake, if it has one."
    )
    enrol: bool = Field(
        default=False,
        description="Whether to accept a secret that the provider sends in a handshake, if it sends one.",
    )
    events: list[EventPattern] = Field(
        [],
        description="Event types to publish, spelled as by the provider or as in routing keys: `*` is one word, `#` any "
        "number of words; empty for all.",
    )
    allow_ips: list[NetworkSetting] = Field(
        [], description="Networks from which the provider sends; empty for all."
    )
    rate_limit: Rate | None = Field(
        None,
        description="Verified events that a process accepts, such as `100/s`; further ones are answered 429.",
    )
    max_body: Size | None = Field(
        None,
        description="The largest body; by default `server.max_body` if that is set, or what the provider documents.",
    )
    tolerance: Duration | None = Field(
        None,
        description="How far a signed timestamp may be from our clock, if not as `gateway providers NAME` says.",
    )
    dedupe: ProviderDedupeConfig = Field(
        ProviderDedupeConfig(),
        description="`{retention: 10d}` is how long its events are remembered; by default `dedupe.retention`, or longer "
        "if the provider retries for longer.",
    )
    on_invalid: Literal["quarantine", "reject"] = Field(
        "quarantine", description="What to do with a genuine event that does not match its schema."
    )
    schema_file: Path | None = Field(
        None,
        alias="schema",
        description="A JSON Schema for every event of this provider, in JSON or YAML, relative to this file.",
    )
    redact: list[Pointer] = Field(
        [],
        max_length=64,
        description="JSON Pointers, such as `/customer/*/email`, to values that nobody behind the gateway may see; they "
        "become `***`.",
    )
    path: Annotated[str, AfterValidator(check_url_path)] | None = Field(
        None,
        description="A further path at which the provider may call, such as `/stripe/hook`, beside `/webhooks/NAME`: for "
        "addresses that are configured at the provider already.",
    )
    type_prefix: (
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", max_length=100)]
        | None
    ) = Field(
        None,
        description="The beginning of the CloudEvents `type`, such as `com.example.shop`; by default `com.` and the adapter, "
        "or for adapter hmac `com.` and the name of the provider.",
    )
    public_url: Annotated[str, AfterValidator(check_public_url)] | None = Field(
        None,
        description="The URL as the provider calls it, with its query if it has one. Needed if the signature covers the "
        "URL, unless `server.trusted_proxies` forward it.",
    )

    def handshake_token_text(self) -> str | None:
        """Return the ``handshake_token`` in clear text, for the adapter alone."""
        return None if self.handshake_token is None else self.handshake_token.get_secret_value()

    def secret_texts(self) -> list[str]:
        """Return the secrets in clear text, for the adapter alone."""
        return [secret.get_secret_value() for secret in self.secrets]


class Config(Section):
    """The whole configuration file."""

    _document_warnings: tuple[str, ...] = PrivateAttr(())

    server: ServerConfig = Field(ServerConfig(), description="The listeners.")
    redis: RedisConfig = Field(RedisConfig(), description="The deduplication store.")
    rabbitmq: RabbitConfig = Field(RabbitConfig(), description="The broker.")
    data_dir: Path = Field(
        Path("var"),
        description="The folder of the spool and the embedded stores, relative to the working directory.",
    )
    dedupe: DedupeConfig = Field(DedupeConfig(), description="Deduplication.")
    spool: SpoolConfig = Field(SpoolConfig(), description="The spool.")
    archive: ArchiveConfig = Field(ArchiveConfig(), description="The archive.")
    postgres: PostgresConfig = Field(
        PostgresConfig(), description="The database that several machines share."
    )
    journal: JournalConfig = Field(JournalConfig(), description="The journal.")
    console: ConsoleConfig = Field(ConsoleConfig(), description="The console.")
    capture: Literal["refused", "off"] = Field(
        "refused",
        description="Whether the last refused requests are kept in memory, with secrets masked, for `gateway explain` and "
        "the console.",
    )
    log: LogConfig = Field(LogConfig(), description="The log.")
    outbound: OutboundConfig = Field(
        OutboundConfig(), description="The way out: events to endpoints, by a process of its own."
    )
    endpoints: dict[EndpointName, EndpointConfig] = Field(
        {}, max_length=10_000, description="The endpoints that events are POSTed to, by name."
    )
    providers: dict[ProviderName, ProviderConfig] = Field(
        min_length=1, description="The providers, by the last segment of their path."
    )

    @property
    def has_way_out(self) -> bool:
        """Whether events are delivered to endpoints."""
        enabled = self.outbound.enabled
        return bool(self.endpoints) if enabled == "auto" else enabled

    @property
    def document_warnings(self) -> tuple[str, ...]:
        """Return what is odd about the file, which its values no longer show, one line each."""
        return self._document_warnings

    def note_document_warnings(self, warnings: Iterable[str]) -> None:
        """Keep the warnings about the file, each once."""
        self._document_warnings = tuple(dict.fromkeys(warnings))
