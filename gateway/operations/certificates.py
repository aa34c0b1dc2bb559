"""When the certificates end that the gateway depends on: those in its TLS settings, and those of fetched keys."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway.config import Config
from gateway.receive.key_files import FOLDER

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

_MAX_FILE = 4 * 1024 * 1024
"""Bytes of a file that are read."""

_MAX_CERTIFICATES = 500
"""Certificates of a file that are parsed; a file of authorities has about 150."""


class CertificateEnd(NamedTuple):
    """When a certificate ends.

    Attributes:
        part: What needs it: `rabbitmq` or `redis`, or the provider whose keys come in certificates.
        use: `client` for our own certificate, `ca` for the authorities that we trust, `key` for a fetched key.
        ends_at: When it ends, in Unix seconds. Of a chain, the first certificate to end. Of authorities and keys, the last:
            old ones stay beside those that replaced them.
    """

    part: str
    use: str
    ends_at: float


class _Key(msgspec.Struct):
    content: str


class _Keys(msgspec.Struct):
    keys: list[_Key]


def certificate_ends(config: Config) -> list[CertificateEnd]:
    """Return when each certificate ends. A file that cannot be read or holds no certificate is left out.

    `gateway check` and the connections themselves say what is wrong with such a file.
    """
    return [*_configured(config), *_fetched(config)]


def _configured(config: Config) -> Iterator[CertificateEnd]:
    for part, files in (("rabbitmq", config.rabbitmq.tls.files), ("redis", config.redis.tls.files)):
        for use, file, decisive in (("client", files.cert, min), ("ca", files.ca, max)):
            if file and (ends := _ends_in(_read(Path(file)))):
                yield CertificateEnd(part, use, decisive(ends))


def _fetched(config: Config) -> Iterator[CertificateEnd]:
    for provider in config.providers:
        try:
            found = msgspec.json.decode(_read(config.data_dir / FOLDER / f"{provider}.json"), type=_Keys)
        except msgspec.MsgspecError:
            continue
        # The first certificate of a chain is the key's own.
        first = [
            ends[0] for key in found.keys if (ends := _ends_in(key.content.encode("latin-1", "replace")))
        ]
        if first:
            yield CertificateEnd(provider, "key", max(first))


def _read(path: Path) -> bytes:
    """Return the beginning of a file; nothing if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE)
    except OSError:
        return b""


def _ends_in(pem: bytes) -> list[float]:
    """Return when each certificate in a text ends."""
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415 -- most gateways have none

    ends = []
    with warnings.catch_warnings():
        warnings.simplefilter(
            "error"
        )  # about certificates that no authority issues, such as a negative serial number
        for text in _PEM.findall(pem)[:_MAX_CERTIFICATES]:
            with suppress(ValueError, Warning):
                ends.append(load_pem_x509_certificate(text).not_valid_after_utc.timestamp())
    return ends
