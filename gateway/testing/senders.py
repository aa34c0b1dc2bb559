"""The simulated providers of a gateway in memory, which sign as the real ones do.

Their secrets are made here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from pydantic import SecretStr

from gateway.adapters.adapter import Adapter
from gateway.app import Gateway
from gateway.claims import Claims
from gateway.config import Config, ProviderConfig, load_config
from gateway.config.observing_models import JournalConfig
from gateway.config.resolve import adapter_of
from gateway.devtools.samples import Sample, load_sample, sample_names, sample_of
from gateway.devtools.simulator import SignedRequest, Simulator, Tampering
from gateway.publishers import Publisher
from gateway.receive.context import RequestContext, RequestRecord
from gateway.receive.jobs import PublishBatch, PublishEvent
from gateway.receive.misdirected import PREFIX
from gateway.receive.request import RequestHead
from gateway.signatures.rejections import Rejection
from gateway.signatures.request import Headers
from gateway.signatures.secrets import SecretPair

Body = bytes | Mapping[str, Any]
"""The body of a request: its bytes, or an object that is sent as JSON."""

_HOST = "gateway.test"
_PLACEHOLDER = "embedded"
"""The value of unset variables. No secret is used, and for ``redis.url`` and ``rabbitmq.url`` it is a valid value."""

_secrets_by_scheme: dict[str, SecretPair] = {}


def read_config(path: Path) -> Config:
    """Load the configuration in ``path``; the variables that it names need not be set.

    Raises:
        ConfigurationError: The configuration is invalid; it names every problem.
    """
    return load_config(path, missing=lambda _: _PLACEHOLDER, has_secrets=False, supplies_all=True)


def config_of(adapter: str) -> Config:
    """Return a configuration with one provider, which has the name of its adapter."""
    return Config.model_validate({"providers": {adapter: {"adapter": adapter, "secrets": []}}})


class Sender:
    """One provider of ``config``, together with a gateway that receives from it.

    Args:
        name: The name of the provider.
        config: The configuration.
        folder: The folder that paths of schema files are relative to.
        claims: The claims of the gateway.
        publisher: The publisher of the gateway.

    Attributes:
        receiver: The receiver of that gateway.
    """

    def __init__(self, name: str, config: Config, folder: Path, claims: Claims, publisher: Publisher) -> None:
        self._path = PREFIX + name.encode()
        self._adapter = adapter_of(config.providers[name])
        secrets = _secrets_of(self._adapter)
        self._secret = secrets.sender
        self._provider = _reachable(name, config.providers[name], self._adapter, secrets.receiver)
        self._url = str(self._provider.public_url)
        alone = config.model_copy(
            update={"providers": {name: self._provider}, "journal": JournalConfig(enabled=False)}
        )
        self.receiver = Gateway(alone, folder, claims=claims, publisher=publisher).receiver

    def sign(
        self,
        event_type: str | None,
        data: Mapping[str, Any] | None = None,
        body: Body | None = None,
        tamper: Tampering | None = None,
    ) -> SignedRequest:
        """Make a signed request; the arguments are those of :meth:`MemoryGateway.send`.

        Raises:
            LookupError: The sample does not exist.
            OperatorError: The provider does not sign what ``tamper`` forges, or ``data`` cannot be changed.
            ValueError: The provider would never sign such a body.
        """
        if body is None:
            sample = self._load(event_type)
        else:
            content = body if isinstance(body, bytes) else orjson.dumps(body)
            sample = sample_of(self._adapter, event_type or "", content)
        parameters = self._provider.parameters
        simulator = Simulator(
            self._adapter, self._secret, self._url, sample, parameters=parameters, changes=data
        )
        try:
            if tamper:
                return simulator.tampered(tamper, time.time())
            return simulator.make(time.time(), is_fresh=body is None)
        except Rejection as rejection:
            raise ValueError(f"{self._adapter.name} signs no such body: {rejection.detail}") from rejection

    def receive(self, request: SignedRequest) -> tuple[RequestRecord, PublishEvent | PublishBatch | None]:
        """Pass a request to the gateway, up to the first step that waits.

        Return its record, and the job that is left.

        Raises:
            ValueError: The gateway would have to call the provider.
        """
        fields = {"Host": _HOST, "Content-Length": str(len(request.body)), **request.headers}
        pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields.items()]
        head = RequestHead(
            method="POST",
            path=self._path,
            query=urlsplit(request.url).query.encode(),
            headers=Headers(pairs),
            size=sum(len(name) + len(value) for name, value in pairs),
            peer="127.0.0.1",
        )
        record = self.receiver.open(head)
        if record.response or not isinstance(record, RequestContext):
            return record, None
        job = self.receiver.examine(record, request.body, at_once=True)
        if job is None or isinstance(job, PublishEvent | PublishBatch):
            return record, job
        raise ValueError(
            "the gateway would call the provider to answer this, and a simulated one cannot be called"
        )

    def _load(self, event_type: str | None) -> Sample:
        names = sample_names(self._adapter)
        if event_type is None or event_type in names:
            return load_sample(self._adapter, event_type)
        closest = get_close_matches(event_type, names, len(names), cutoff=0.0)
        raise LookupError(
            f"there is no sample {event_type!r} of {self._adapter.name}; there are {', '.join(closest)}. Change one of "
            "them with data=, or pass a whole body with body="
        )


def _reachable(name: str, provider: ProviderConfig, adapter: Adapter, secret: str) -> ProviderConfig:
    """Return the provider without the settings that a simulated one cannot meet.

    Those are its secrets, addresses and limits.
    """
    known = adapter.spec.parameters
    examples = {each: spec.example for each, spec in known.items() if spec.required}
    configured = {each: value for each, value in provider.parameters.items() if value != _PLACEHOLDER}
    unset = {each: known[each].example for each in known.keys() & provider.parameters.keys()}
    return provider.model_copy(
        update={
            "secrets": [SecretStr(secret)],
            "parameters": examples | unset | configured,
            "enrol": False,
            "allow_ips": [],
            "rate_limit": None,
            "public_url": provider.public_url or f"https://{_HOST}{PREFIX.decode()}{name}",
        }
    )


def _secrets_of(adapter: Adapter) -> SecretPair:
    """Return secrets for an adapter, made once per scheme: key pairs take a while."""
    signature = adapter.spec.signature
    scheme = f"{type(signature).__name__} {signature.model_dump_json()}"
    if scheme not in _secrets_by_scheme:
        _secrets_by_scheme[scheme] = signature.make_secret()
    return _secrets_by_scheme[scheme]
