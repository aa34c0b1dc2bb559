"""``/webhooks/{provider}``: route requests, refuse or answer them, and log and count each of them once.

A request is opened when its head is complete and examined when its body is. Neither step waits. If a job is left
after that, it runs as a task.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import structlog

from gateway.errors import CLIENT_DISCONNECTED, BodyTooLarge, Internal, MethodNotAllowed, UnknownProvider
from gateway.observability.metrics import UNKNOWN_PROVIDER, Metrics
from gateway.receive.called_address import raw_request
from gateway.receive.context import RequestContext, RequestRecord
from gateway.receive.jobs import Job
from gateway.receive.misdirected import PREFIX, NearMisses, RefusedRecord
from gateway.receive.pipeline import Pipeline
from gateway.receive.proxy_headers import TrustedProxies
from gateway.receive.recording import RequestRecorder
from gateway.receive.request import RequestHead, check_head
from gateway.receive.responses import Response, rejection_response
from gateway.receive.route import Route
from gateway.signatures.rejections import Rejection, SignatureRejected

_FIRST_REFUSAL = 400
"""The lowest status that is logged as a warning."""

_MISDIRECTED = frozenset((404, 405))
"""The statuses of requests whose method and path are logged."""

log = structlog.get_logger()


class Receiver:
    """Receives webhooks.

    Args:
        routes: the configured providers by name.
        proxies: the proxies that are believed about a request's client.
        pipeline: finds out what a request is.
        metrics: where requests are counted.
        recorder: records requests in the journal; None to record none.

    Attributes:
        routes: the configured providers by path.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        proxies: TrustedProxies,
        pipeline: Pipeline,
        metrics: Metrics,
        recorder: RequestRecorder | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._recorder = recorder
        self._unknown = metrics.of_provider(UNKNOWN_PROVIDER, 0)
        self._log = log.bind()  # a module's logger looks its configuration up at every call
        self.routes: dict[bytes, Route] = {}
        self.replace(routes, proxies)

    def replace(self, routes: Mapping[str, Route], proxies: TrustedProxies) -> None:
        """Use other routes from now on; requests under way keep theirs."""
        self.routes = {
            path + slash: route
            for name, route in routes.items()
            for path in (PREFIX + name.encode(), *route.paths)
            for slash in (b"", b"/")  # an address given to a provider may end in a slash
        }
        self._proxies = proxies
        self._near_misses = NearMisses(routes)

    def is_proxy(self, peer: str) -> bool:
        """Return whether ``peer`` is a trusted proxy, whose connections carry many clients."""
        return self._proxies.include(peer)

    def open(self, head: RequestHead) -> RequestRecord:
        """Begin with a request whose head is complete: let it in, or answer with a refusal.

        Returns:
            The context of a request that was let in; otherwise a record that has a response already.
        """
        started_at = time.perf_counter()
        route = self.routes.get(head.path)
        client = self._proxies.client_of(head.peer, head.headers)
        try:
            check_head(head)
            if route is None:
                raise UnknownProvider(self._near_misses.explain(head.path))
            if head.method != "POST":
                _check_method(head.method, route)
            route.admission.check(client)
            if int(head.headers.get(b"content-length") or b"0") > route.max_body:
                raise BodyTooLarge
            return RequestContext(
                route.name,
                route.metrics,
                client,
                started_at,
                route.refusal,
                route=route,
                request=raw_request(head, route, self._proxies),
            )
        except Rejection as rejection:
            record = (
                RefusedRecord(route.name, route.metrics, client, started_at, route.refusal, head=head)
                if route
                else RefusedRecord(None, self._unknown, client, started_at, head=head)
            )
            self.refuse(record, rejection)
            return record

    def examine(self, context: RequestContext, body: bytes, *, at_once: bool = False) -> Job | None:
        """Take every step that does not wait, now that the body is there.

        Args:
            context: the request.
            body: its body.
            at_once: verify a large body here and now, rather than on another thread.

        Returns:
            The job that is left; None if the request has a response now.
        """
        context.size = len(body)
        context.request.body = body
        try:
            found = self._pipeline.examine(context, at_once=at_once)
        except Exception as error:  # noqa: BLE001 -- logged there
            self._fail(context, error)
            return None
        if isinstance(found, Response):
            self._finish(context, found)
            return None
        return found

    async def run(self, context: RequestContext, job: Job) -> None:
        """Run what is left to do for a request, and answer."""
        try:
            found = await job.run()
            response = found if isinstance(found, Response) else context.respond(found)
        except Exception as error:  # noqa: BLE001 -- logged there
            self._fail(context, error)
        else:
            self._finish(context, response)

    def refuse(self, record: RequestRecord, rejection: Rejection) -> None:
        """Answer with a refusal."""
        refusal = None
        if isinstance(rejection, SignatureRejected):
            refusal = record.refusal
            record.metrics.count_signature_failure(rejection.fault)
            record.cause = rejection.fault
        elif detail := rejection.detail:
            record.cause = detail
        self._finish(record, rejection_response(rejection, record.event_id, refusal))

    def refuse_unread(self, peer: str, rejection: Rejection) -> RequestRecord:
        """Refuse what never became a request: its head is broken, too large or too slow, or one too many."""
        record = RequestRecord(None, self._unknown, peer, time.perf_counter())
        self.refuse(record, rejection)
        return record

    def abandon(self, record: RequestRecord) -> None:
        """Note that the client disconnected before its body was complete, so that nobody is left to answer."""
        self._note(record, CLIENT_DISCONNECTED, 0)

    def _fail(self, record: RequestRecord, error: Exception) -> None:
        if not isinstance(error, Rejection):
            log.exception("internal error", provider=record.provider)  # noqa: LOG004 -- called by the handler
            error = Internal()
        self.refuse(record, error)

    def _finish(self, record: RequestRecord, response: Response) -> None:
        if record.response is None:
            record.response = response
            self._note(record, response.outcome, response.status)
        else:  # it was answered at its deadline; how the event ended is worth a line
            self._log.warning("finished late", outcome=response.outcome, event_id=record.event_id)

    def _note(self, record: RequestRecord, outcome: str, status: int) -> None:
        elapsed = time.perf_counter() - record.started_at
        ms = int(elapsed * 100_000) / 100  # round() formats and parses a text
        record.metrics.count_outcome(outcome)
        record.metrics.observe_latency(elapsed)
        if self._recorder is not None:
            self._recorder.note(record, outcome, status, ms)
        if record.span is not None:
            record.span.end(
                outcome, status, record.event_id, record.event_type, is_batch=record.events is not None
            )
        logger = self._log
        if record.events is not None:
            outcomes = {str(each): number for each, number in (record.tally or {}).items()}
            logger = logger.bind(events=record.events, outcomes=outcomes)
        if self._proxies.exist and (request_id := self._proxies.request_id_of(record.headers)):
            logger = logger.bind(request_id=request_id)
        if 0 < status < _FIRST_REFUSAL:
            write = logger.info
        else:
            if isinstance(record, RefusedRecord) and status in _MISDIRECTED:
                logger = logger.bind(**record.asked_for())
            write = logger.warning
        write(
            "request",
            outcome=outcome,
            status=status,
            ms=ms,
            provider=record.provider,
            event_type=record.event_type,
            event_id=record.event_id,
            size=record.size,
            client=record.client,
            cause=record.cause,
        )


def _check_method(method: str, route: Route) -> None:
    responder = route.adapter.handshake_responder
    allowed = responder.methods if responder else frozenset[str]()
    if method not in allowed:
        raise MethodNotAllowed(*sorted(allowed))
