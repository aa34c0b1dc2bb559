"""Who signs test events: a configured provider, with the secret or the generated private key that it signs with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from gateway.adapters.adapter import Adapter
from gateway.config import Config, ProviderConfig
from gateway.config.bind_addresses import local_url
from gateway.config.dev_secrets import DevSecrets
from gateway.config.models import ServerConfig
from gateway.config.resolve import adapter_of
from gateway.devtools.samples import Sample
from gateway.devtools.simulator import Simulator
from gateway.errors import OperatorError


@dataclass(frozen=True, slots=True)
class TestSender:
    """A provider, as far as its requests can be signed here.

    Attributes:
        name: The provider's key in the configuration.
        configured: Its block of the configuration.
        adapter: Its adapter.
        target: The URL to send to.
        secret: What it signs with; None if it has no secret.
        forwarded: The headers in which a trusted proxy passes the URL on, where that is signed.
    """

    __test__ = False  # pytest takes it for a class of tests

    name: str
    configured: ProviderConfig
    adapter: Adapter
    target: str
    secret: str | None
    forwarded: dict[str, str]

    def simulator(self, sample: Sample) -> Simulator:
        """Return what makes requests with this content.

        Raises:
            OperatorError: There is no secret to sign with.
            SecretFormatError: The secret is not one to sign with, such as a public key.
        """
        if self.secret is None:
            raise OperatorError(self.why_unsigned())
        sample = replace(sample, headers=sample.headers | self.forwarded)
        return Simulator(
            self.adapter,
            self.secret,
            self.target,
            sample,
            self.configured.public_url,
            self.configured.parameters,
        )

    def why_unsigned(self) -> str:
        """Return why requests cannot be signed with the configured secret, and what to do."""
        spec = self.adapter.spec
        if spec.enrols:
            return f"{self.name} has no secret yet; send its endpoint verification with --handshake"
        fetches = spec.signature.fetches_keys
        how = "publishes its verification keys" if fetches else "signs with a private key"
        return (
            f"{self.name} {how}, so its signatures cannot be simulated with the configured secret; let `gateway dev` "
            "generate a key pair for an unset variable in `secrets`, or configure a public key of your own and pass its "
            "private key with --key"
        )


def sender_of(
    config: Config, name: str, generated: DevSecrets, *, url: str | None = None, key: str | None = None
) -> TestSender:
    """Return what signs requests of a provider.

    Args:
        config: The configuration.
        name: The provider's key.
        generated: The secrets that ``gateway dev`` generated, with the private keys of its key pairs.
        url: The URL to send to; None for the gateway of this configuration.
        key: What to sign with instead of the configured secret.

    Raises:
        OperatorError: The configuration has no such provider.
    """
    configured = config.providers.get(name)
    if configured is None:
        raise OperatorError(f"the configuration has no provider {name!r}")
    adapter = adapter_of(configured)
    target = url or f"{local_url(config.server.bind[0])}/webhooks/{name}"
    if key is None and configured.secrets:
        key = generated.signing_secret_of(configured.secret_texts()[0])
    is_url_signed = adapter.spec.needs_url and not configured.public_url
    forwarded = _forwarded(config.server, target) if is_url_signed else {}
    return TestSender(name, configured, adapter, target, key, forwarded)


def _forwarded(server: ServerConfig, target: str) -> dict[str, str]:
    """Return the headers in which a trusted proxy passes on the URL ``target``; empty if none is configured."""
    address = urlsplit(target)
    if not server.trusted_proxies:
        return {}
    if server.forwarded == "forwarded":
        return {"Forwarded": f'for=127.0.0.1;proto={address.scheme};host="{address.netloc}"'}
    return {"X-Forwarded-Proto": address.scheme, "X-Forwarded-Host": address.netloc}
