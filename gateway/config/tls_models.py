"""The settings of encrypted connections to servers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints

from gateway.config.section import Section
from gateway.config.value_checks import check_path
from gateway.transport.tls import TlsFiles

_PemFile = Annotated[Path, BeforeValidator(check_path)]

_HostName = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9_-]+\.)*[A-Za-z0-9_-]+$", max_length=253)]


class TlsConfig(Section):
    """The settings of an encrypted connection to a server. Files are PEM, relative to the working directory."""

    ca: _PemFile | None = Field(
        None, description="The certificate authorities to trust, in place of those of the system."
    )
    cert: _PemFile | None = Field(None, description="The client certificate.")
    key: _PemFile | None = Field(
        None, description="The private key of the client certificate, if it is not in the same file."
    )
    server_name: _HostName | None = Field(
        None,
        description="The name that the server's certificate must have, in place of the host in the address: nodes behind an "
        "address may share one.",
    )

    @property
    def files(self) -> TlsFiles:
        """The paths as texts; empty for what is not set."""
        return TlsFiles(*(str(path or "") for path in (self.ca, self.cert, self.key, self.server_name)))
