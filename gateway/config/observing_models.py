"""The models of what an operator looks at: the journal, the console and the log."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from gateway.config.section import Section
from gateway.config.value_checks import EMBEDDED, check_postgres_url
from gateway.signatures.units import Duration, Size


class PostgresConfig(Section):
    """The database that several machines share."""

    url: Annotated[str, AfterValidator(check_postgres_url)] = Field(
        EMBEDDED,
        repr=False,  # it may contain a password
        description="postgresql://, or `embedded` for SQLite in data_dir. Several gateways that share it have one journal.",
    )


class JournalConfig(Section):
    """The journal, the record of what happened to each request and each event."""

    enabled: bool = Field(default=True, description="Whether the journal is written.")
    max_age: Duration = Field(1_209_600.0, description="How long an entry is kept.")
    max_size: Size = Field(2 * 1024**3, description="Bytes of entries, beyond which the oldest are deleted.")
    addresses: Literal["network", "full", "none"] = Field(
        "network",
        description="How a client's address is kept: its network (/24 or /48), in full, or not at all.",
    )
    sample: float = Field(
        1.0,
        gt=0,
        le=1,
        description="The share of accepted events that get an entry, such as 0.1; every failure gets one in any case.",
    )


class ConsoleConfig(Section):
    """The console: web pages and API on `server.admin_bind`."""

    enabled: bool = Field(
        default=True,
        description="Whether the console runs, as a process of its own; without it that address has metrics and health "
        "alone.",
    )
    auth: Literal["token", "proxy", "none"] = Field(
        "token",
        description="Who may use it: those with a token; those whom a proxy in `server.trusted_proxies` names in "
        "X-Forwarded-User and X-Forwarded-Groups; or everybody, on a loopback address only.",
    )
    groups: dict[
        Annotated[str, StringConstraints(min_length=1, max_length=255)],
        Literal["viewer", "operator", "admin"],
    ] = Field(
        {},
        description='With `auth: proxy`: the role of each group in X-Forwarded-Groups; `"*"` is everybody whom the proxy '
        "lets in. The highest role counts.",
    )
    payloads: Literal["masked", "full", "off"] = Field(
        "masked",
        description="What operators see of payloads: their shape until they ask for the values, the values at once, or "
        "nothing.",
    )
    hosts: list[Annotated[str, StringConstraints(min_length=1, max_length=255)]] = Field(
        [],
        description="Further names by which browsers may call the console, beside loopback and the bound addresses.",
    )
    trace_url: str = Field(
        "",
        description="A link to the tracing system, such as `https://traces.example.com/{trace_id}`.",
    )


class LogConfig(Section):
    """The log."""

    exception_messages: bool = Field(
        default=False,
        description="Whether a worker logs the texts of its handlers' exceptions, which may quote an event. On a terminal "
        "they are always shown.",
    )
