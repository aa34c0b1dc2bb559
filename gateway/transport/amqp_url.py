"""Addresses of RabbitMQ, read in one way by the gateway, by workers and by commands.

The parameters are those of RabbitMQ's own clients (https://www.rabbitmq.com/docs/uri-query-parameters) and of
aio-pika, as far as they are kept. One that would be ignored is refused: who writes it relies on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from gateway.transport.address import check_address
from gateway.transport.tls import NO_FILES, TlsFiles

_FILES = {"cacertfile": "ca", "cafile": "ca", "certfile": "cert", "keyfile": "key"}
_VERIFY = "verify"
_VERIFIED = "verify_peer"
_NAME = re.compile(r"[a-z_]{1,40}")
_FORM = "is not an address of RabbitMQ; write amqp://user:password@host:5672/vhost"


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """The parts of ``amqp://user:password@host:port/vhost?cacertfile=…``."""

    host: str
    port: int
    user: str
    password: str
    vhost: str
    is_tls: bool
    tls: TlsFiles = NO_FILES

    @classmethod
    def parse(cls, url: str) -> BrokerUrl:
        """Read ``url``, with the usual defaults.

        Raises:
            ValueError: it is no ``amqp://`` or ``amqps://`` address; the text has no part of it.
        """
        check_address(url)
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:  # its text can be a part of the password: no cause, and no word of it
            raise ValueError(_FORM) from None
        if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
            raise ValueError(_FORM)
        is_tls = parts.scheme == "amqps"
        files = _files_of(parts.query)
        if files and not is_tls:
            raise ValueError("has parameters of TLS, and is not encrypted; write amqps://")
        return cls(
            parts.hostname,
            port or (5671 if is_tls else 5672),
            unquote(parts.username or "guest"),
            unquote(parts.password or "guest"),
            unquote(parts.path[1:]) or "/",
            is_tls,
            files,
        )

    @property
    def server(self) -> str:
        """Host and port, for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def without_parameters(url: str) -> str:
    """Return the address alone, for a client that would read the parameters in another way."""
    return urlunsplit(urlsplit(url)._replace(query="", fragment=""))


def with_tls(url: str, files: TlsFiles) -> str:
    """Return the address with the files of ``tls:`` in the configuration as its parameters."""
    if not files:
        return url
    given = {"cacertfile": files.ca, "certfile": files.cert, "keyfile": files.key}
    query = "&".join(f"{name}={quote(file, safe='/')}" for name, file in given.items() if file)
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _files_of(query: str) -> TlsFiles:
    files = NO_FILES
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == _VERIFY:
            if value != _VERIFIED:
                raise ValueError(
                    f"has {_VERIFY} other than {_VERIFIED}; a certificate is always verified, by the authority "
                    "that cacertfile names"
                )
            continue
        if name not in _FILES:
            known = ", ".join((*_FILES, _VERIFY))
            shown = f"the parameter {name}" if _NAME.fullmatch(name) else "a parameter"
            raise ValueError(f"has {shown}, which is not supported; there are {known}")
        if not value or getattr(files, _FILES[name]):
            raise ValueError(f"has {name} empty, or the same file twice")
        files = replace(files, **{_FILES[name]: value})
    return files
