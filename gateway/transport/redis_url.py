"""Addresses of Redis, in the form of redis-py, with those of its parameters that apply.

redis-py's own ``parse_url`` is not used. It accepts parameters that it does not know, takes a database that is no number
for 0, drops empty parameters and takes the first of repeated ones; here each of these is an error at the start. Importing it
takes 170 ms (2026-11), which every command would pay that reads a configuration.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote

from gateway.transport.address import add_parameters, host_and_port, parse_parameters, split_url
from gateway.transport.tls import NO_FILES, TlsFiles

_TLS = {"ssl_ca_certs": "ca", "ssl_certfile": "cert", "ssl_keyfile": "key", "ssl_server_name": "server_name"}
"""The parameters of TLS, with their fields; the last one is ours, as redis-py has none."""

_PARAMETERS = dict.fromkeys(_TLS, "") | {
    "ssl_cert_reqs": "required",
    "ssl_check_hostname": "true",
    "db": "",
}
"""The supported parameters; ``ssl_cert_reqs`` and ``ssl_check_hostname`` may only say what is done anyway."""

_SOCKET_PARAMETERS = _PARAMETERS | {"username": "", "password": ""}
"""Those of a Unix socket, whose address has no place for a user."""

_NUMBER = re.compile(r"[0-9]{1,4}")
"""The number of a database; Redis has 16 by default, and nobody configures more than 9999."""

_FORM = "is not an address of Redis; write redis://host:6379/0, rediss://, unix:// or embedded"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """The parts of an address.

    Attributes:
        host: Empty for a Unix socket.
        port: The port of the host.
        path: The path of the Unix socket; empty for a host.
        username: Empty for the default user.
        password: Empty for none.
        database: The number of the database.
        is_tls: Whether the connection is encrypted.
        tls: The files of an encrypted connection.
    """

    host: str
    port: int
    path: str
    username: str
    password: str
    database: int
    is_tls: bool
    tls: TlsFiles = NO_FILES

    @classmethod
    def parse(cls, url: str) -> RedisUrl:
        """Read ``url``, with the defaults of redis-py.

        Raises:
            ValueError: It is no ``redis://``, ``rediss://`` or ``unix://`` address, or cannot be used; the text
                quotes no part of it.
        """
        parts, stated_port = split_url(url, _FORM)
        port = 6379 if stated_port is None else stated_port
        is_socket = parts.scheme == "unix"
        if (
            parts.scheme not in ("redis", "rediss", "unix")
            or not port
            or (is_socket and parts.path in ("", "/"))
        ):
            raise ValueError(_FORM)
        parameters = _parameters_of(parts, is_socket=is_socket)
        database = "" if is_socket else parts.path.strip("/")
        if database and not _NUMBER.fullmatch(database):
            raise ValueError(_FORM)
        return cls(
            "" if is_socket else parts.hostname or "localhost",
            port,
            unquote(parts.path) if is_socket else "",
            unquote(parts.username or "") or parameters.get("username", ""),
            unquote(parts.password or "") or parameters.get("password", ""),
            int(database or parameters.get("db", "0")),
            parts.scheme == "rediss",
            TlsFiles(**{field: parameters.get(name, "") for name, field in _TLS.items()}),
        )

    @property
    def server(self) -> str:
        """Return host and port, or the socket, for log lines and error texts."""
        return self.path or host_and_port(self.host, self.port)


def with_tls(url: str, files: TlsFiles) -> str:
    """Return the address with the settings of ``redis.tls`` as its parameters."""
    return add_parameters(url, {name: getattr(files, field) for name, field in _TLS.items()})


def _parameters_of(parts: SplitResult, *, is_socket: bool) -> dict[str, str]:
    known = _SOCKET_PARAMETERS if is_socket else _PARAMETERS
    parameters = parse_parameters(parts.query, known, "ssl_ca_certs")
    if parts.scheme != "rediss" and any(name.startswith("ssl_") for name in parameters):
        raise ValueError("has parameters of TLS, and is not encrypted; write rediss://")
    if not _NUMBER.fullmatch(parameters.get("db", "0")):
        raise ValueError(_FORM)
    return parameters
