"""TLS to RabbitMQ and Redis: private authorities, client certificates, and error texts."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override


class TlsFileError(OSError):
    """Raised when a file of the TLS settings cannot be used; the text names both."""


class _NamedContext(ssl.SSLContext):
    """Asks for the certificate of one name, whatever host is connected to: the clients of AMQP have no parameter for that."""

    server_name = ""

    @classmethod
    def like(cls, default: ssl.SSLContext, files: TlsFiles) -> _NamedContext:
        """Return a context as strict as the ``default``, for the name and the authorities of ``files``."""
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.server_name = files.server_name
        context.verify_flags = default.verify_flags
        if files.ca:
            context.load_verify_locations(files.ca)
        else:
            context.load_default_certs()
        return context

    @override
    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side, self.server_name, session)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The PEM files of a connection, and the name of its server; each is empty if it is not configured.

    Attributes:
        ca: The certificate authorities that are trusted, in place of those of the system.
        cert: The client certificate, with the intermediate certificates that lead to its authority.
        key: The private key of ``cert``; empty if it is in the same file.
        server_name: The name that the server's certificate must have, in place of the host that is connected to.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""
    server_name: str = ""

    def __bool__(self) -> bool:
        return bool(self.ca or self.cert or self.key or self.server_name)

    def fingerprint(self) -> bytes:
        """Return a digest of what is in the files now; a file that cannot be read counts as empty."""
        found = hashlib.sha256()
        for file in (self.ca, self.cert, self.key):
            with suppress(OSError):
                found.update(hashlib.sha256(Path(file).read_bytes()).digest() if file else b"-")
        return found.digest()

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield the name of each field whose file cannot be used, and the reason."""
        if self.key and not self.cert:
            yield "key", "is a key without its certificate; name that as well, in cert"
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
        """Return the context of a connection, which verifies the server's certificate and its name.

        Raises:
            TlsFileError: A file cannot be used.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.server_name:
                context = _NamedContext.like(context, self)
            self._show_certificate(context)
        except OSError as error:
            for name, problem in self.problems():
                raise TlsFileError(f"tls.{name}: {problem}") from error
            raise
        return context

    def _show_certificate(self, context: ssl.SSLContext) -> None:
        if self.cert:
            # Without a password function OpenSSL would prompt on the terminal for the passphrase of the key.
            context.load_cert_chain(self.cert, self.key or None, password=lambda: "")


NO_FILES = TlsFiles()
"""The authorities of the system, and no client certificate."""


def explain_tls(error: ssl.SSLError, server: str, files: TlsFiles) -> str:
    """Explain in one line why there is no TLS connection to ``server`` (``host:port``)."""
    if isinstance(error, ssl.SSLCertVerificationError):
        trusted = files.ca or "the authorities of the system"
        return f"the certificate of {server} is not valid: {error.verify_message} (trusted: {trusted})"
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "wrong version" in reason or "record layer" in reason or "http request" in reason:
        return f"{server} does not speak TLS"
    if "certificate required" in reason or ("handshake failure" in reason and not files.cert):
        return f"{server} requires a client certificate ({reason}); name it in tls.cert and tls.key"
    if "alert" in reason and files.cert:
        return f"{server} refuses the certificate {files.cert}: {reason}"
    return f"no TLS with {server}: {reason}"


def explain_loss(error: OSError, server: str, files: TlsFiles) -> str:
    """Explain why a connection ended during the login over TLS, as far as that is known.

    In TLS 1.3 a client finishes the handshake before the server has checked the client's certificate. The alert that
    the server then sends is often lost with the connection.
    """
    cause = str(error) or type(error).__name__
    if server in cause:  # it is explained already
        return cause
    if files.cert:
        return f"{server} ended the connection ({cause}); it may refuse the certificate {files.cert}"
    return f"{server} ended the connection ({cause}); it may require a client certificate, in tls.cert and tls.key"
