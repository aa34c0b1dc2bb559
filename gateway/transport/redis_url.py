"""Addresses of Redis, with the parameters of redis-py as far as they are kept; others are refused, not ignored."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from gateway.transport.address import check_address
from gateway.transport.tls import NO_FILES, TlsFiles

_FILES = {"ssl_ca_certs": "ca", "ssl_certfile": "cert", "ssl_keyfile": "key"}
_ALWAYS = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"}
_DATABASE = "db"
_CREDENTIALS = ("username", "password")
_NAME = re.compile(r"[a-z_]{1,40}")
_NUMBER = re.compile(r"[0-9]{1,4}")
_FORM = "is not an address of Redis; write redis://host:6379/0, rediss://, unix:// or embedded"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """The parts of an address.

    Attributes:
        host: empty for a Unix socket.
        port: of the host.
        path: of the Unix socket; empty for a host.
        username: empty for the default user.
        password: empty for none.
        database: its number.
        is_tls: whether the connection is encrypted.
        tls: the files for that.
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
        """Read ``url``.

        Raises:
            ValueError: it is no ``redis://``, ``rediss://`` or ``unix://`` address; the text has no part of it.
        """
        check_address(url)
        try:
            parts = urlsplit(url)
            port = 6379 if parts.port is None else parts.port
        except ValueError:  # its text can be a part of the password: no cause, and no word of it
            raise ValueError(_FORM) from None
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
            int(database or parameters.get(_DATABASE, "0")),
            parts.scheme == "rediss",
            TlsFiles(**{field: parameters.get(name, "") for name, field in _FILES.items()}),
        )

    @property
    def server(self) -> str:
        """Host and port, or the socket, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path or f"{host}:{self.port}"


def with_tls(url: str, files: TlsFiles) -> str:
    """Return the address with the files of ``tls:`` in the configuration as its parameters."""
    if not files:
        return url
    given = {"ssl_ca_certs": files.ca, "ssl_certfile": files.cert, "ssl_keyfile": files.key}
    query = "&".join(f"{name}={quote(file, safe='/')}" for name, file in given.items() if file)
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _parameters_of(parts: SplitResult, *, is_socket: bool) -> dict[str, str]:
    known = (*_FILES, *_ALWAYS, _DATABASE, *(_CREDENTIALS if is_socket else ()))
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in known:
            shown = f"the parameter {name}" if _NAME.fullmatch(name) else "a parameter"
            raise ValueError(f"has {shown}, which is not supported; there are {', '.join(known)}")
        if name in parameters or not value:
            raise ValueError(f"has {name} twice or empty")
        if name in _ALWAYS and value.lower() != _ALWAYS[name]:
            raise ValueError(
                f"has {name} other than {_ALWAYS[name]}; a certificate is always verified, with its name, by the "
                "authority that ssl_ca_certs names"
            )
        if name.startswith("ssl_") and parts.scheme != "rediss":
            raise ValueError("has parameters of TLS, and is not encrypted; write rediss://")
        if name == _DATABASE and not _NUMBER.fullmatch(value):
            raise ValueError(_FORM)
        parameters[name] = value
    return parameters
