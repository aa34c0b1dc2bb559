"""TLS towards our own servers: a private authority, a client's certificate, and errors that name their cause."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


class TlsFileError(OSError):
    """A file of the TLS settings cannot be used; the text names it."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The PEM files of a connection; empty for what is not given.

    Attributes:
        ca: the authorities that are believed, in place of those of the system.
        cert: the certificate that is shown to the server, with those that lead to its authority.
        key: the private key of ``cert``; empty where it is in the same file.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""

    def __bool__(self) -> bool:
        return bool(self.ca or self.cert or self.key)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what makes a file unusable, by the name of its field."""
        if self.key and not self.cert:
            yield "key", "is the key of no certificate; name that as well, in cert"
            return
        for name in ("ca", "cert", "key"):
            if file := getattr(self, name):
                try:
                    with Path(file).open("rb"):
                        pass
                except OSError as error:
                    yield name, f"{file} cannot be read: {error.strerror}"
                    return
        try:
            self.ca and ssl.create_default_context(cafile=self.ca)
        except ssl.SSLError:
            yield "ca", f"{self.ca} holds no certificate in PEM"
        try:
            self._show_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        except ssl.SSLError as error:
            key = self.key or self.cert
            is_other = error.reason == "KEY_VALUES_MISMATCH"
            cause = (
                "does not belong to it" if is_other else "holds no private key in PEM without a passphrase"
            )
            yield "cert", f"{self.cert} holds no certificate in PEM, or {key} {cause}"

    def context(self) -> ssl.SSLContext:
        """Make the context of a connection, which verifies the server's certificate and its name.

        Raises:
            TlsFileError: a file cannot be used.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            self._show_certificate(context)
        except OSError as error:
            for name, problem in self.problems():
                raise TlsFileError(f"tls.{name}: {problem}") from error
            raise
        return context

    def _show_certificate(self, context: ssl.SSLContext) -> None:
        if self.cert:
            # Without the function OpenSSL would ask on the terminal for the passphrase of a key.
            context.load_cert_chain(self.cert, self.key or None, password=lambda: "")


NO_FILES = TlsFiles()
"""The authorities of the system, and no certificate of ours."""


def explain_tls(error: ssl.SSLError, server: str, files: TlsFiles) -> str:
    """Say in one line why there is no TLS connection to ``server``, ``host:port``."""
    if isinstance(error, ssl.SSLCertVerificationError):
        believed = files.ca or "the authorities of the system"
        return f"the certificate of {server} is not valid: {error.verify_message} (believed: {believed})"
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "wrong version" in reason or "record layer" in reason or "http request" in reason:
        return f"{server} does not speak TLS"
    if "certificate required" in reason or ("handshake failure" in reason and not files.cert):
        return f"{server} wants a certificate of its clients ({reason}); name it in tls.cert and tls.key"
    if "alert" in reason and files.cert:
        return f"{server} refuses the certificate {files.cert}: {reason}"
    return f"no TLS with {server}: {reason}"


def explain_loss(error: OSError, server: str, files: TlsFiles) -> str:
    """Say why a connection ended while we logged in over TLS, as far as that can be told.

    A client believes the handshake to be over before the server has looked at its certificate, or missed it. What the
    server then says is often lost with the connection.
    """
    cause = str(error) or type(error).__name__
    if server in cause:  # it is explained already
        return cause
    if files.cert:
        return f"{server} ended the connection ({cause}); it may refuse the certificate {files.cert}"
    return f"{server} ended the connection ({cause}); it may want a certificate of its clients, in tls.cert and tls.key"
