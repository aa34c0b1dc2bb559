"""X.509 certificates whose addresses stand in deliveries: what of them has to hold before their keys are believed."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.schemes.asymmetric import checked_key

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from gateway.signatures.schemes.asymmetric import PublicKey

_LONGEST_CHAIN = 6
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class CertifiedKey(NamedTuple):
    """A key, and the Unix seconds between which its certificate is valid."""

    key: PublicKey
    valid_from: float
    valid_until: float

    def valid_at(self, now: float) -> PublicKey:
        """The key.

        Raises:
            SignatureRejected: its certificate is not valid, or no longer.
        """
        if not self.valid_from <= now <= self.valid_until:
            raise SignatureRejected("unknown_key")
        return self.key


def read_chain(pem: bytes) -> list[Certificate]:
    """The certificates in ``pem``: the sender's own, and those that lead from it towards a root.

    Raises:
        ValueError: there is none, or something else.
    """
    from cryptography.x509 import InvalidVersion, load_pem_x509_certificates  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of what no authority issues, such as a negative serial number
            return load_pem_x509_certificates(pem)[:_LONGEST_CHAIN]
    except (InvalidVersion, Warning) as error:
        raise ValueError(str(error)) from None


def key_of(certificate: Certificate, now: float) -> CertifiedKey:
    """The key of a certificate.

    Raises:
        ValueError: it is not valid at ``now``, in Unix seconds, or the key is of a kind that no sender signs with.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415

    valid_from = certificate.not_valid_before_utc.timestamp()
    valid_until = certificate.not_valid_after_utc.timestamp()
    if not valid_from <= now <= valid_until:
        raise ValueError("the certificate is not valid now")
    try:
        return CertifiedKey(checked_key(certificate.public_key()), valid_from, valid_until)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None


def check_chain(chain: Sequence[Certificate], roots: Sequence[Certificate], name: str, now: float) -> None:
    """Hold a certificate to its name, and to being issued by way of the rest of the chain by one of ``roots``.

    Raises:
        ValueError: it has another name, or nobody who is trusted has issued it.
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
        .max_chain_depth(_LONGEST_CHAIN)
        # It signs messages: what a certificate needs for a TLS server or client is not asked of it.
        .extension_policies(
            ee_policy=ExtensionPolicy.permit_all(), ca_policy=ExtensionPolicy.webpki_defaults_ca()
        )
    )
    try:
        builder.build_client_verifier().verify(certificate, intermediates)
    except VerificationError:
        raise ValueError("nobody who is trusted has issued the certificate") from None


def usual_roots() -> list[Certificate]:
    """The authorities that programs trust when they are told nothing else."""
    import certifi  # noqa: PLC0415
    from cryptography.utils import CryptographyDeprecationWarning  # noqa: PLC0415
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415

    roots = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        for pem in _PEM.findall(certifi.contents().encode()):
            # A few are so old that they break the rules, and reading them is about to become an error.
            with suppress(ValueError, CryptographyDeprecationWarning):
                roots.append(load_pem_x509_certificate(pem))
    return roots
