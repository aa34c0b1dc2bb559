"""Addresses of RabbitMQ, read in one way by the gateway, by workers and by commands.

The parameters are those of RabbitMQ's own clients (https://www.rabbitmq.com/docs/uri-query-parameters) and of aio-pika
that name the files of TLS. aio-pika's reader is not used: it ignores parameters that it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit

from gateway.transport.address import add_parameters, host_and_port, parse_parameters, split_url
from gateway.transport.tls import NO_FILES, TlsFiles

_TLS = {
    "cacertfile": "ca",
    "cafile": "ca",
    "certfile": "cert",
    "keyfile": "key",
    "server_name_indication": "server_name",
}
"""The parameters of TLS, with their fields; ``cafile`` is aio-pika's name for ``cacertfile``."""

_PARAMETERS = dict.fromkeys(_TLS, "") | {"verify": "verify_peer"}
"""The supported parameters; ``verify`` may only say what is done anyway."""

_FORM = "is not an address of RabbitMQ; write amqp://user:password@host:5672/vhost"


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """The parts of ``amqp://user:password@host:port/vhost?cacertfile=…``.

    Attributes:
        user: The name of the user; with ``is_external``, words for it.
        is_external: Whether the client certificate says who the user is: there is one, and the address names no user. RabbitMQ
            calls that EXTERNAL (https://www.rabbitmq.com/docs/access-control#mechanisms).
    """

    host: str
    port: int
    user: str
    password: str
    vhost: str
    is_tls: bool
    tls: TlsFiles = NO_FILES
    is_external: bool = False

    @classmethod
    def parse(cls, url: str) -> BrokerUrl:
        """Read ``url``, with the defaults of RabbitMQ's clients.

        Raises:
            ValueError: It is no ``amqp://`` or ``amqps://`` address, or cannot be used; the text quotes no part of it.
        """
        parts, port = split_url(url, _FORM)
        if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
            raise ValueError(_FORM)
        is_tls = parts.scheme == "amqps"
        files = _files_of(parts.query)
        if files and not is_tls:
            raise ValueError("has parameters of TLS, and is not encrypted; write amqps://")
        is_external = bool(files.cert and not parts.username)
        return cls(
            parts.hostname,
            port or (5671 if is_tls else 5672),
            f"of {files.cert}" if is_external else unquote(parts.username or "guest"),
            unquote(parts.password or "guest"),
            unquote(parts.path[1:]) or "/",
            is_tls,
            files,
            is_external,
        )

    @property
    def server(self) -> str:
        """Return host and port, for log lines and error texts."""
        return host_and_port(self.host, self.port)


def without_parameters(url: str) -> str:
    """Return the address without its parameters, for a client that reads them in another way."""
    return urlunsplit(urlsplit(url)._replace(query="", fragment=""))


def with_tls(url: str, files: TlsFiles) -> str:
    """Return the address with the settings of ``rabbitmq.tls`` as its parameters."""
    parameters = {
        "cacertfile": files.ca,
        "certfile": files.cert,
        "keyfile": files.key,
        "server_name_indication": files.server_name,
    }
    return add_parameters(url, parameters)


def _files_of(query: str) -> TlsFiles:
    files: dict[str, str] = {}
    for name, value in parse_parameters(query, _PARAMETERS, "cacertfile").items():
        if field := _TLS.get(name):
            if field in files:
                raise ValueError(f"has {name}, and the same file under another name")
            files[field] = value
    return TlsFiles(**files)
