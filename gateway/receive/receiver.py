"""``/webhooks/{provider}``: paths to endpoints, rejections to answers, and one line and one count for every request.

A request is opened when its head is there, examined when its body is, and, if it is an event, delivered. The
first two steps never wait: whoever is refused costs no task.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

import structlog

from gateway.adapters.adapter import BoundAdapter
from gateway.adapters.handshake_replies import HandshakeReply
from gateway.errors import (
    BodyTooLarge,
    HeadersTooLarge,
    Internal,
    KeyUnavailable,
    MethodNotAllowed,
    UnknownProvider,
)
from gateway.observability.metrics import UNKNOWN_PROVIDER, Metrics
from gateway.receive.access import TrustedProxies
from gateway.receive.confirmation import Confirmer
from gateway.receive.context import RequestContext, RequestHead
from gateway.receive.pipeline import Batch, Later, PendingEvent, Pipeline, Work
from gateway.receive.responses import CLIENT_DISCONNECTED, Outcome, Response, greet, refuse
from gateway.receive.route import Route
from gateway.signatures.rejections import MalformedRequest, Rejection, SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.fetched_keys import KeyRequest

PREFIX = b"/webhooks/"

MAX_FIELDS = 100
"""Header fields of a request; senders have some twenty."""

MAX_TARGET = 8 * 1024
"""Bytes of the path and the query of a request; no address that was given to a sender is longer."""

MAX_HEAD = 32 * 1024
"""Bytes of all header fields of a request."""

_MAX_KEY_STEPS = 3
"""Times that a request waits for a key: to look at what others have fetched, for a token, and for the key itself."""

_VERSIONS = frozenset({"1.0", "1.1"})
_FIRST_REFUSAL = 400

log = structlog.get_logger()


class Keys(Protocol):
    """Where keys are fetched that a request cannot be judged without."""

    async def fetch(self, adapter: BoundAdapter, request: KeyRequest, client: str) -> None:
        """Have ``adapter`` learn the key that it asked for, for a request from the address ``client``.

        Raises:
            Rejection: the key is not to be had.
        """


class Receiver:
    """What becomes of requests.

    Args:
        endpoints: the configured providers by name.
        proxies: who is believed where a request comes from.
        pipeline: what happens to an event.
        metrics: where requests are counted.
        keys: where keys are fetched, for adapters whose senders publish theirs.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Route],
        proxies: TrustedProxies,
        pipeline: Pipeline,
        metrics: Metrics,
        keys: Keys,
    ) -> None:
        self._pipeline = pipeline
        self._confirmer = Confirmer()
        self._keys = keys
        self._unknown = metrics.of_provider(UNKNOWN_PROVIDER, 0)
        self._log = log.bind()  # without the lookups that a logger of the module does at every call
        self.replace(endpoints, proxies)

    def replace(self, endpoints: Mapping[str, Route], proxies: TrustedProxies) -> None:
        """Have other endpoints from now on; requests that are under way keep theirs."""
        self._endpoints = {
            PREFIX + name.encode() + slash: endpoint
            for name, endpoint in endpoints.items()
            for slash in (b"", b"/")  # an address that was given to a sender may end in one
        }
        self._proxies = proxies

    def is_proxy(self, peer: str) -> bool:
        """Whether a connection from ``peer`` is that of a trusted proxy, which brings many clients."""
        return self._proxies.include(peer)

    def open(self, head: RequestHead) -> RequestContext:
        """Begin with a request whose head is complete; it has an answer already if it is refused for that."""
        endpoint = self._endpoints.get(head.path)
        client = self._proxies.client_of(head.peer, head.headers)
        exchange = (
            RequestContext(endpoint.name, endpoint.metrics, client, time.perf_counter())
            if endpoint
            else RequestContext(None, self._unknown, client, time.perf_counter())
        )
        try:
            _check_head(head)
            if endpoint is None:
                raise UnknownProvider
            if head.method != "POST":
                _check_method(head.method, endpoint)
            endpoint.admission.check(client)
            if int(head.headers.get(b"content-length") or b"0") > endpoint.max_body:
                raise BodyTooLarge
            exchange.endpoint = endpoint
            exchange.request = _raw_request(head, endpoint, self._proxies)
        except Rejection as rejection:
            self.refuse(exchange, rejection)
        return exchange

    def examine(self, exchange: RequestContext, body: bytes, *, at_once: bool = False) -> Work | None:
        """What is left to do for a request that has arrived; None if it has an answer now.

        With ``at_once`` a large body is no reason to leave anything.
        """
        exchange.size = len(body)
        exchange.request.body = body
        try:
            work = self._pipeline.examine(exchange, at_once=at_once)
        except Rejection as rejection:
            self.refuse(exchange, rejection)
        except Exception:
            log.exception("internal error", provider=exchange.provider)
            self.refuse(exchange, Internal())
        else:
            if isinstance(work, Outcome) or (isinstance(work, HandshakeReply) and not work.confirm):
                self._finish(exchange, self._answer(exchange, work))
            else:
                return work
        return None

    async def deliver(self, exchange: RequestContext, work: Work) -> None:
        """Do what is left to do for a request, and answer."""
        try:
            if isinstance(work, Later):
                found = await self._pipeline.examine_aside(exchange)
            else:
                found = await self._find_key(exchange, work) if isinstance(work, KeyRequest) else work
            if isinstance(found, HandshakeReply):
                if found.confirm:
                    await self._confirmer.confirm(found.confirm)
            elif not isinstance(found, Outcome):
                found = await self._pipeline.deliver(exchange, found)
        except Rejection as rejection:
            self.refuse(exchange, rejection)
        except Exception:
            log.exception("internal error", provider=exchange.provider)
            self.refuse(exchange, Internal())
        else:
            self._finish(exchange, self._answer(exchange, found))

    async def _find_key(
        self, exchange: RequestContext, needed: KeyRequest
    ) -> PendingEvent | Batch | HandshakeReply | Outcome:
        """Fetch the key that a request was signed with, and examine it again.

        Raises:
            Rejection: it is refused, or the key is not to be had.
        """
        for _ in range(_MAX_KEY_STEPS):
            await self._keys.fetch(exchange.endpoint.adapter, needed, exchange.client)
            work = self._pipeline.examine(exchange)
            if isinstance(work, Later):
                return await self._pipeline.examine_aside(exchange)
            if not isinstance(work, KeyRequest):
                return work
            needed = work
        raise KeyUnavailable("the key is still not there")

    def refuse(self, exchange: RequestContext, rejection: Rejection) -> None:
        """Answer with a rejection."""
        unproven = None
        if isinstance(rejection, SignatureRejected):
            unproven = exchange.endpoint.adapter.spec.refusal
            exchange.metrics.count_signature_failure(rejection.fault)
        if rejection.detail:
            exchange.cause = rejection.detail
        self._finish(exchange, refuse(rejection, exchange.event_id, unproven))

    def refuse_unread(self, peer: str, rejection: Rejection) -> RequestContext:
        """Answer what never became a request: its head is broken, too large, too slow or one too many."""
        exchange = RequestContext(None, self._unknown, peer, time.perf_counter())
        self.refuse(exchange, rejection)
        return exchange

    def abandon(self, exchange: RequestContext) -> None:
        """The sender has left before its body was complete; nobody is there to be answered."""
        self._note(exchange, CLIENT_DISCONNECTED, 0)

    def _answer(self, exchange: RequestContext, found: Outcome | HandshakeReply) -> Response:
        if isinstance(found, HandshakeReply):
            return greet(found)
        return exchange.endpoint.success.answer(found, exchange.event_id or "", exchange.event_type)

    def _finish(self, exchange: RequestContext, answer: Response) -> None:
        if exchange.answer is None:
            exchange.answer = answer
            self._note(exchange, answer.outcome, answer.status)
        else:  # the deadline had an answer for it before; what became of the event is worth a line
            self._log.warning("finished late", outcome=answer.outcome, event_id=exchange.event_id)

    def _note(self, exchange: RequestContext, outcome: str, status: int) -> None:
        elapsed = time.perf_counter() - exchange.started_at
        exchange.metrics.count_outcome(outcome)
        exchange.metrics.observe_latency(elapsed)
        if exchange.span is not None:
            exchange.span.end(exchange, outcome, status)
        logger = self._log
        if exchange.events is not None:
            outcomes = {str(each): number for each, number in (exchange.tally or {}).items()}
            logger = logger.bind(events=exchange.events, outcomes=outcomes)
        write = logger.info if 0 < status < _FIRST_REFUSAL else logger.warning
        write(
            "request",
            outcome=outcome,
            status=status,
            ms=round(elapsed * 1000, 2),
            provider=exchange.provider,
            event_type=exchange.event_type,
            event_id=exchange.event_id,
            size=exchange.size,
            client=exchange.client,
            cause=exchange.cause,
        )


def _check_method(method: str, endpoint: Route) -> None:
    greeter = endpoint.adapter.handshake_responder
    allowed = greeter.methods if greeter else frozenset[str]()
    if method not in allowed:
        raise MethodNotAllowed(*sorted(allowed))


def _check_head(head: RequestHead) -> None:
    """What holds for every request, and no parser checks.

    Raises:
        MalformedRequest: two readers of this request could understand it differently.
        UnknownProvider: no address here is as long.
        HeadersTooLarge: it has more fields than any sender has reason for.
    """
    headers = head.headers
    if len(head.path) + len(head.query) > MAX_TARGET:
        raise UnknownProvider
    if len(headers.fields) > MAX_FIELDS or head.size > MAX_HEAD:
        raise HeadersTooLarge
    if head.version not in _VERSIONS:
        raise MalformedRequest(f"HTTP/{head.version}")
    if headers.get(b"host") is None and head.version == "1.1":
        raise MalformedRequest("no host")
    coding = headers.get(b"transfer-encoding")
    if coding is not None and coding.lower() != b"chunked":
        raise MalformedRequest("a transfer coding other than chunked")


def _raw_request(head: RequestHead, endpoint: Route, proxies: TrustedProxies) -> RawRequest:
    """The request as its adapter sees it, without its body.

    Raises:
        SignatureRejected: the signature covers the address, and nobody who can be believed tells that.
    """
    public_url, query, url = endpoint.public_url, head.query, ""
    if endpoint.adapter.needs_url:
        url, query = signed_address(public_url or _called_address(head, proxies), query)
    return RawRequest(
        body=b"",
        method=head.method,
        headers=head.headers,
        path=urlsplit(public_url).path or "/" if public_url else head.path.decode("latin-1"),
        query=query,
        url=url,
    )


def _called_address(head: RequestHead, proxies: TrustedProxies) -> str:
    origin = proxies.origin_of(head.peer, head.headers)
    if origin is None:
        raise SignatureRejected("address_unknown")
    scheme, host = origin
    return f"{scheme}://{host}{head.path.decode('latin-1')}"


def signed_address(address: str, query: bytes) -> tuple[str, bytes]:
    """Return the address that the sender called, with its query, and the query alone.

    Where the configured address has a query, that comes first, and behind it what the sender has added: a proxy may
    have left the first part out, or put it in another order.
    """
    address, _, own = address.partition("?")
    if own:
        known = Counter(own.encode().split(b"&"))
        added = []
        for parameter in filter(None, query.split(b"&")):
            if known[parameter]:
                known[parameter] -= 1
            else:
                added.append(parameter)
        query = b"&".join([own.encode(), *added])
    return f"{address}?{query.decode('latin-1')}" if query else address, query
