"""Certificates and private keys for tests, from an authority and self-signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Issued:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> str:
        """The private key in PEM."""
        return private_pem(self.key)


def private_pem(key: Any) -> str:
    """A private key as senders have it here."""
    return str(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
    )


def public_pem(key: Any) -> str:
    """The public key of a private key, in PEM."""
    return str(
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


@cache
def rsa_key(name: str = "", bits: int = 2048) -> rsa.RSAPrivateKey:
    """An RSA key; the same for the same name, since making one takes long."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(name: str = "") -> ec.EllipticCurvePrivateKey:
    """A P-256 key; the same for the same name."""
    return ec.generate_private_key(ec.SECP256R1())


def issue(
    name: str,
    issuer: Issued | None = None,
    *,
    is_authority: bool = False,
    at: float = 1_736_942_400,
    days: float = 30,
    hosts: Sequence[str] = (),
    key: Any = None,
) -> Issued:
    """Issue a certificate valid from a day before ``at`` (Unix seconds); self-signed without issuer."""
    key = key or rsa_key(name)
    start = datetime.fromtimestamp(at, UTC) - timedelta(days=1)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signing = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1 + days))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False
        )
        .add_extension(_usage(is_authority=is_authority), critical=True)
    )
    if hosts:
        names = x509.SubjectAlternativeName([_name_of(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    return Issued(builder.sign(signing, hashes.SHA256()), key)


def _name_of(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
