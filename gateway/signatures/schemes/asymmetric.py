"""Public keys: how their texts are read, and how signatures are checked and made with them.

The cryptography package is imported within the functions that use it: it adds some 10 MB of resident memory,
and most gateways have no sender that needs it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from gateway.signatures.secrets import SecretFormatError, SecretPair, decode_secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    PublicKey = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey
    PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey

KeyFormat = Literal["hex", "base64", "der", "pem"]
"""``hex`` and ``base64``: the 32 bytes of an Ed25519 key; ``der``: base64 of DER; ``pem``: a key or a certificate."""

Check = Callable[[bytes, bytes], bool]
"""Whether a signature, decoded, is one of a message."""

MIN_RSA_BITS = 2048


class KeyAlgorithm(NamedTuple):
    """A way of signing with a private key.

    Attributes:
        family: PKCS#1 v1.5 where it is ``rsa``, and a signature in DER where it is ``ecdsa``.
        digest: what of the message is signed; Ed25519 has its own.
        curve: of an ECDSA key.
    """

    family: Literal["ed25519", "rsa", "ecdsa"]
    digest: Literal["", "sha1", "sha256", "sha384", "sha512"] = ""
    curve: Literal["", "secp256r1", "secp384r1", "secp521r1"] = ""


def load_public_key(text: str, key_format: KeyFormat) -> PublicKey:
    """The key in ``text``.

    Raises:
        SecretFormatError: there is none, or it is one that nobody should trust.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        load_der_public_key,
        load_pem_public_key,
    )

    match key_format:
        case "hex" | "base64":
            raw = decode_secret(text, key_format)
            return _load(Ed25519PublicKey.from_public_bytes, raw, "an Ed25519 key of 32 bytes")
        case "der":
            return _load(load_der_public_key, decode_secret(text, "base64"), "a public key in DER")
        case "pem":
            pem = decode_secret(text, "raw")
    if b"PRIVATE KEY-----" in pem:
        raise SecretFormatError("is the sender's private key; a receiver is given the public one")
    if b"-----BEGIN CERTIFICATE-----" in pem:
        return _load(_key_of_certificate, pem, "a certificate in PEM")
    return _load(load_pem_public_key, pem, "a public key in PEM")


def load_private_key(text: str) -> PrivateKey:
    """The private key of a sender, in PEM without a passphrase.

    Raises:
        SecretFormatError: there is none.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError):
        raise SecretFormatError("is not a private key in PEM, which this sender signs with") from None
    checked_key(key.public_key())
    return key  # type: ignore[return-value]  # its public key is of a kind that we know


def checked_key(key: object) -> PublicKey:
    """``key``, if it is of a kind that senders sign with.

    Raises:
        SecretFormatError: it is of another kind, or so short that it can be broken.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415

    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        raise SecretFormatError(f"is an RSA key of less than {MIN_RSA_BITS} bits")
    if isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        return key
    raise SecretFormatError("is neither an Ed25519 nor an ECDSA nor an RSA key")


def check_with(key: PublicKey, algorithm: KeyAlgorithm) -> Check:
    """How signatures of the owner of ``key`` are checked.

    Raises:
        SecretFormatError: the algorithm takes other keys.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed  # noqa: PLC0415

    _check_fits(key, algorithm)
    hashed = Prehashed(_digest(algorithm))

    def matches(signature: bytes, message: bytes) -> bool:
        try:
            if isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, hashlib.new(algorithm.digest, message).digest(), PKCS1v15(), hashed)
            elif isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, hashlib.new(algorithm.digest, message).digest(), ec.ECDSA(hashed))
            else:
                key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return matches


def sign_with(key: PrivateKey, algorithm: KeyAlgorithm, message: bytes) -> bytes:
    """The signature of ``message``.

    Raises:
        SecretFormatError: the algorithm takes other keys.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415

    _check_fits(key.public_key(), algorithm)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, PKCS1v15(), _digest(algorithm))
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(_digest(algorithm)))
    return key.sign(message)


def make_key_pair(algorithm: KeyAlgorithm, key_format: KeyFormat = "pem") -> SecretPair:
    """A new private key in PEM, and its public key in the format that receivers are given."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key: PrivateKey
    match algorithm.family:
        case "ed25519":
            key = ed25519.Ed25519PrivateKey.generate()
        case "rsa":
            key = rsa.generate_private_key(65537, MIN_RSA_BITS)
        case "ecdsa":
            curves = {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1(), "secp521r1": ec.SECP521R1()}
            key = ec.generate_private_key(curves[algorithm.curve])
    public = key.public_key()
    match key_format:
        case "hex":
            text = public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
        case "base64":
            text = base64.b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
        case "der":
            der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            text = base64.b64encode(der).decode()
        case "pem":
            text = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return SecretPair(private.decode().strip(), text.strip())


def _load(load: Callable[[bytes], object], content: bytes, expected: str) -> PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.x509 import InvalidVersion  # noqa: PLC0415

    try:
        key = load(content)
    except (ValueError, UnsupportedAlgorithm, InvalidVersion):
        raise SecretFormatError(f"is not {expected}") from None
    return checked_key(key)


def _key_of_certificate(pem: bytes) -> object:
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415

    return load_pem_x509_certificate(pem).public_key()


def _check_fits(key: PublicKey, algorithm: KeyAlgorithm) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415

    if isinstance(key, rsa.RSAPublicKey):
        kind: tuple[str, str] = ("rsa", "")
    elif isinstance(key, ec.EllipticCurvePublicKey):
        kind = ("ecdsa", key.curve.name)
    else:
        kind = ("ed25519", "")
    if kind != (algorithm.family, algorithm.curve):
        raise SecretFormatError(f"is not a key for {algorithm.family} {algorithm.curve}".rstrip())


def _digest(algorithm: KeyAlgorithm) -> HashAlgorithm:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

    match algorithm.digest:
        case "sha1":
            return hashes.SHA1()  # noqa: S303  # what the sender signs with is not our choice
        case "sha256":
            return hashes.SHA256()
        case "sha384":
            return hashes.SHA384()
        case _:
            return hashes.SHA512()
