"""A signed delivery of every adapter that there is, made by the simulator from the adapter's own sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter, BoundAdapter
from gateway.devtools.samples import Sample, load_sample
from gateway.devtools.simulator import SignedRequest, Simulator
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.secrets import SecretPair

NOW = 1_790_000_000.0
URL = "https://hooks.example.com/webhooks/in"
NAMES = [name for name in registry.names() if name != registry.GENERIC]
PARAMETERS = {
    "topic_arn": "arn:aws:sns:eu-west-1:123456789012:acme-example",
    "audience": URL,
    "email": "push@acme-example.iam.gserviceaccount.com",
    "environment": "production",
}
"""What the adapters are told that declare them; any word for the others."""


@dataclass(frozen=True)
class Delivered:
    """One delivery.

    Attributes:
        adapter: its sender.
        sample: what it carries.
        secrets: what it is signed with, and what it is verified with.
        request: it, as it is sent.
        signing: the header fields that its signature is made of, its moment among them.
    """

    adapter: Adapter
    sample: Sample
    secrets: SecretPair
    request: SignedRequest
    signing: frozenset[str]

    @property
    def parameters(self) -> dict[str, str]:
        """What the adapter is told besides the secrets."""
        return parameters_of(self.adapter)

    def bind(self, *secrets: str) -> BoundAdapter:
        """The adapter with these secrets, with the right one when none are named."""
        return self.adapter.bind(list(secrets) or [self.secrets.receiver], self.parameters)

    def raw(
        self,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        url: str | None = None,
        extra: tuple[tuple[bytes, bytes], ...] = (),
    ) -> RawRequest:
        """The request as it arrives, with other parts where they are given."""
        address = urlsplit(self.request.url if url is None else url)
        fields = self.request.headers if headers is None else headers
        return RawRequest(
            body=self.request.body if body is None else body,
            headers=Headers(
                [
                    *((name.lower().encode(), value.encode("latin-1")) for name, value in fields.items()),
                    *extra,
                ]
            ),
            path=address.path,
            query=address.query.encode("latin-1"),
            url=address.geturl(),
        )


def parameters_of(adapter: Adapter) -> dict[str, str]:
    """A value for each parameter of an adapter."""
    return {name: PARAMETERS.get(name, "example") for name in adapter.spec.parameters}


@cache
def secrets_of(name: str, number: int = 0) -> SecretPair:
    """Secrets for an adapter, other ones for each number; some take long to make."""
    return registry.load(name).spec.signature.make_secret()


@cache
def delivered(name: str, event_type: str | None = None) -> Delivered:
    """A delivery of the adapter called ``name``."""
    adapter = registry.load(name)
    sample, secrets, parameters = load_sample(adapter, event_type), secrets_of(name), parameters_of(adapter)
    request = Simulator(adapter, secrets.sender, URL, sample, parameters=parameters).make(NOW)
    made = Delivered(adapter, sample, secrets, request, frozenset())
    signed = adapter.scheme.sign(made.raw(body=sample.body), secrets.sender, NOW, parameters)
    return Delivered(adapter, sample, secrets, request, frozenset(signed.headers))
