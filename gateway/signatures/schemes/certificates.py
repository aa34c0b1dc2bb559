"""Checks of X.509 certificates that requests name, before their keys are trusted."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.signatures.schemes.asymmetric import checked_key
from gateway.signatures.schemes.key_cache import CachedKey

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_MAX_CHAIN = 6
"""Certificates from the sender's own to a root. Senders use three or four."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def read_chain(pem: bytes) -> list[Certificate]:
    """Parse the certificates in ``pem``: first the sender's own, then the intermediates.

    Raises:
        ValueError: The text contains no certificate, or a malformed one.
    """
    from cryptography.x509 import InvalidVersion, load_pem_x509_certificates  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error"
            )  # about certificates that no authority issues, such as a negative serial number
            return load_pem_x509_certificates(pem)[:_MAX_CHAIN]
    except (InvalidVersion, Warning) as error:
        raise ValueError(str(error)) from None


def key_of(certificate: Certificate, now: float) -> CachedKey:
    """Return the key of a certificate and its period of validity.

    Raises:
        ValueError: The certificate is not valid at ``now``, in Unix seconds, or no sender signs with such a key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415

    valid_from = certificate.not_valid_before_utc.timestamp()
    valid_until = certificate.not_valid_after_utc.timestamp()
    if not valid_from <= now <= valid_until:
        raise ValueError("the certificate is not valid now")
    try:
        return CachedKey(checked_key(certificate.public_key()), valid_from, valid_until)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None


def check_chain(chain: Sequence[Certificate], roots: Sequence[Certificate], name: str, now: float) -> None:
    """Check that the first certificate has the common name ``name`` and that its chain ends at one of ``roots``.

    Raises:
        ValueError: The certificate has another name, or no trusted authority issued it.
    """
    from cryptography.x509 import NameOID  # noqa: PLC0415
    from cryptography.x509.verification import (  # noqa: PLC0415
        ExtensionPolicy,
        PolicyBuilder,
        Store,
        VerificationError,
    )

    certificate, *intermediates = chain
    names = [attribute.value for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [name]:
        raise ValueError(f"the certificate is not one of {name}")
    builder = (
        PolicyBuilder()
        .store(Store(list(roots)))
        .time(datetime.fromtimestamp(now, UTC))
        .max_chain_depth(_MAX_CHAIN)
        # The certificate signs messages: it need not have the extensions of a TLS server or client.
        .extension_policies(
            ee_policy=ExtensionPolicy.permit_all(), ca_policy=ExtensionPolicy.webpki_defaults_ca()
        )
    )
    try:
        builder.build_client_verifier().verify(certificate, intermediates)
    except VerificationError:
        raise ValueError("no trusted authority issued the certificate") from None


def usual_roots() -> list[Certificate]:
    """Load the root certificates of certifi, which are those of Mozilla."""
    import certifi  # noqa: PLC0415
    from cryptography.utils import CryptographyDeprecationWarning  # noqa: PLC0415
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415

    roots = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        for pem in _PEM.findall(certifi.contents().encode()):
            # A few old roots violate the standard, and cryptography is about to refuse them.
            with suppress(ValueError, CryptographyDeprecationWarning):
                roots.append(load_pem_x509_certificate(pem))
    return roots
