"""The senders of a gateway in memory: each signs as the real one does, with a secret that is made here."""

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
from gateway.config.resolve import adapter_of
from gateway.devtools.samples import Sample, load_sample, sample_names, sample_of
from gateway.devtools.simulator import SignedRequest, Simulator, Tampering
from gateway.publishers import Publisher
from gateway.receive.context import RequestContext, RequestRecord
from gateway.receive.jobs import PublishBatch, PublishEvent
from gateway.receive.receiver import PREFIX
from gateway.receive.request import RequestHead
from gateway.signatures.rejections import Rejection
from gateway.signatures.request import Headers
from gateway.signatures.secrets import SecretPair

Body = bytes | Mapping[str, Any]
"""Of a delivery: its bytes, or an object that is sent as JSON."""

_HOST = "gateway.test"
_STAND_IN = "embedded"
"""For unset variables: none of the secrets is used, and this is a place for Redis and RabbitMQ, too."""

_pairs: dict[str, SecretPair] = {}


def read_config(path: Path) -> Config:
    """The configuration in ``path``, whose secrets need not be set.

    Raises:
        ConfigurationError: with every problem in it.
    """
    return load_config(path, missing=lambda _: _STAND_IN, has_secrets=False, supplies_all=True)


def config_of(adapter: str) -> Config:
    """A configuration with one provider, which is called as its adapter is."""
    return Config.model_validate({"providers": {adapter: {"adapter": adapter, "secrets": []}}})


class Sender:
    """A provider of ``config``, and its part of a gateway.

    Args:
        name: of the provider.
        config: what is configured.
        folder: the folder that schema files are relative to.
        claims: what the gateway knows to be done.
        publisher: where it publishes.
    """

    def __init__(self, name: str, config: Config, folder: Path, claims: Claims, publisher: Publisher) -> None:
        self._path = PREFIX + name.encode()
        self._adapter = adapter_of(config.providers[name])
        secrets = _secrets_of(self._adapter)
        self._secret = secrets.sender
        self._provider = _reachable(name, config.providers[name], self._adapter, secrets.receiver)
        self._url = str(self._provider.public_url)
        alone = config.model_copy(update={"providers": {name: self._provider}})
        self.receiver = Gateway(alone, folder, claims=claims, publisher=publisher).receiver

    def sign(
        self,
        event_type: str | None,
        data: Mapping[str, Any] | None = None,
        body: Body | None = None,
        tamper: Tampering | None = None,
    ) -> SignedRequest:
        """A request of this sender; see :meth:`gateway.testing.MemoryGateway.send`.

        Raises:
            LookupError: there is no such sample.
            OperatorError: this cannot be spoiled, or not be changed.
            ValueError: the sender would never sign such a body.
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

    def bring(self, request: SignedRequest) -> tuple[RequestRecord, PublishEvent | PublishBatch | None]:
        """Have the gateway take every step that does not wait: return the record, and the job that is left.

        Raises:
            ValueError: the gateway would have to call somebody.
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
        raise ValueError("to answer this the gateway would call its sender, and there is none")

    def _load(self, event_type: str | None) -> Sample:
        names = sample_names(self._adapter)
        if event_type is None or event_type in names:
            return load_sample(self._adapter, event_type)
        closest = get_close_matches(event_type, names, len(names), cutoff=0.0)
        raise LookupError(
            f"there is no sample {event_type!r} of {self._adapter.name}; there are {', '.join(closest)}. Change one of "
            "them with data=, or give a whole body with body="
        )


def _reachable(name: str, provider: ProviderConfig, adapter: Adapter, secret: str) -> ProviderConfig:
    """The provider as it is configured, but for what a sender from nowhere can neither know nor be."""
    known = adapter.spec.parameters
    examples = {each: spec.example for each, spec in known.items() if spec.required}
    told = {each: value for each, value in provider.parameters.items() if value != _STAND_IN}
    unset = {each: known[each].example for each in known.keys() & provider.parameters.keys()}
    return provider.model_copy(
        update={
            "secrets": [SecretStr(secret)],
            "parameters": examples | unset | told,
            "enrol": False,
            "allow_ips": [],
            "rate_limit": None,
            "public_url": provider.public_url or f"https://{_HOST}{PREFIX.decode()}{name}",
        }
    )


def _secrets_of(adapter: Adapter) -> SecretPair:
    """Secrets for an adapter: the same ones for the same scheme, since key pairs take a while to make."""
    signature = adapter.spec.signature
    scheme = f"{type(signature).__name__} {signature.model_dump_json()}"
    if scheme not in _pairs:
        _pairs[scheme] = signature.make_secret()
    return _pairs[scheme]
