"""The requests that the libraries are asked about, and what some of them need that a made-up one does not give."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.devtools.samples import Sample, load_sample
from gateway.devtools.simulator import Simulator
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.secrets import SecretPair
from support.certificates import issue
from support.deliveries import URL, parameters_of

ADDRESS = f"{URL}?site=eu&data.id=123456"
"""Where all go; many senders sign it, one of them nothing but the id in it."""

NOTE = {"note": "naïve ☃"}
"""Is put into each body that is a JSON object, so that its bytes count and not its characters."""

LONGEST_MEMBER = 200
"""Characters of a member that the record keeps; what is longer is left out of the body before it is signed."""


class Change(NamedTuple):
    """A part of a body, and what stands there instead."""

    old: str
    new: str


SPOILED: Mapping[str, Change] = {}
"""What is changed in bodies of which not everything is signed."""

ASCII = frozenset({"airtable"})
"""Adapters whose libraries can read nothing else."""

THEIRS: Mapping[str, Callable[[str], str]] = {
    "bigcommerce": lambda secret: base64.b64encode(secret.encode()).decode(),
}
"""What a secret of ours is to the libraries, where that is something else."""

WHOLE = frozenset({"adyen", "gocardless", "workos"})
"""Adapters whose libraries want the body as it is."""


@dataclass(frozen=True)
class Case:
    """A request, and what its receiver knows.

    Attributes:
        adapter: of the sender.
        secret: what it is verified with.
        parameters: what the adapter is told besides.
        now: when it came, in Unix seconds.
        url: where it went.
        headers: its header fields.
        body: its text.
    """

    adapter: str
    secret: str
    parameters: dict[str, str]
    now: float
    url: str
    headers: dict[str, str]
    body: str

    def refusal(self, secret: str | None = None) -> str | None:
        """Why we refuse it, with another secret where one is given; None when we do not."""
        address = urlsplit(self.url)
        fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in self.headers.items()]
        request = RawRequest(
            body=self.body.encode(),
            headers=Headers(fields),
            path=address.path,
            query=address.query.encode(),
            url=self.url,
        )
        bound = registry.load(self.adapter).bind([secret or self.secret], self.parameters)
        try:
            bound.verify(request, self.now)
        except SignatureRejected as rejection:
            return rejection.fault
        return None

    def spoiled(self) -> Case | None:
        """With another body; None where the body is not signed."""
        if not registry.load(self.adapter).spec.signature.is_body_bound:
            return None
        change = SPOILED.get(self.adapter) or (Change("1", "2") if "1" in self.body else Change("e", "a"))
        if change.old not in self.body:
            raise ValueError(f"{change.old!r} is not in the body for {self.adapter}")
        return replace(self, body=self.body.replace(*change, 1))


def signed(name: str, pair: SecretPair, now: float) -> Case:
    """A request as we sign it."""
    adapter = registry.load(name)
    parameters = parameters_of(adapter)
    simulator = Simulator(adapter, pair.sender, ADDRESS, _sample(adapter), parameters=parameters)
    request = simulator.make(now)
    return Case(name, pair.receiver, parameters, now, request.url, request.headers, request.body.decode())


def unsigned(name: str, pair: SecretPair, now: float) -> Case:
    """A request for a library to sign."""
    adapter = registry.load(name)
    sample = _sample(adapter)
    headers = {"Content-Type": sample.media_type, **sample.headers}
    return Case(name, pair.receiver, parameters_of(adapter), now, ADDRESS, headers, sample.body.decode())


def _sample(adapter: Adapter) -> Sample:
    """The adapter's own choice, shortened."""
    sample = load_sample(adapter, None)
    if sample.body_format != "json":
        return sample
    payload: Any = json.loads(sample.body)
    if isinstance(payload, dict):
        if adapter.name not in WHOLE:
            payload = {
                name: value for name, value in payload.items() if len(json.dumps(value)) <= LONGEST_MEMBER
            }
        if adapter.name not in ASCII:
            payload |= NOTE
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return replace(sample, body=body.encode())


def extras(pair: SecretPair) -> dict[str, str]:
    """What libraries want instead of a public key: a certificate, or a JWK."""
    if not pair.sender.startswith("-----BEGIN"):
        return {}
    key = load_pem_private_key(pair.sender.encode(), None)
    if isinstance(key, RSAPrivateKey):
        return {"certificate": issue("oracle.example", at=time.time(), key=key).pem.decode()}
    if isinstance(key, EllipticCurvePrivateKey):
        return {"jwk": jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())}
    return {}
