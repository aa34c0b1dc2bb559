"""What is done with endpoints: enable, disable, pause, verify and test one."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.console.api.operation import Call, Operation
from gateway.console.api.outbound import FINDS, asked, note, way_out
from gateway.console.security.roles import Role
from gateway.operations import endpoint_tests, endpoints
from gateway.operations.delivery_models import AttemptView
from gateway.operations.endpoint_models import EndpointView
from gateway.operations.endpoint_tests import Verified
from gateway.outbound.models import EndpointState

_TESTS = ("test_failed", "rate_limited")


class Enabling(msgspec.Struct, forbid_unknown_fields=True):
    """How to enable an endpoint.

    Attributes:
        resume: Which held deliveries are made: `all` are made, `none`, or those accepted since a moment in Unix seconds;
            the others are cancelled.
        test: Whether an endpoint that was disabled first has to take a test event.
    """

    resume: Annotated[str, Meta(pattern="^(all|none)$")] | float = "all"
    test: bool = True


class EndpointTest(msgspec.Struct, forbid_unknown_fields=True):
    """The test event to send.

    Attributes:
        type: `<provider>.<event type>` of one of the samples; by default one that the endpoint wants, or `gateway.test`.
    """

    __test__ = False  # pytest takes it for a class of tests

    type: Annotated[str, Meta(max_length=255)] = ""


async def _enable(call: Call) -> EndpointView:
    ask, body = asked(call), call.body
    await note(call, "endpoint.enable", call.path["id"])
    return await endpoint_tests.enable(
        call.services.config(),
        ask.store,
        call.path["id"],
        since={"all": 0.0, "none": None}[body.resume] if isinstance(body.resume, str) else body.resume,
        is_tested=body.test,
        now=ask.now,
        tenant=ask.tenant,
    )


async def _disable(call: Call) -> EndpointView:
    return await _set(call, "endpoint.disable", EndpointState.DISABLED)


async def _pause(call: Call) -> EndpointView:
    return await _set(call, "endpoint.pause", EndpointState.PAUSED)


async def _set(call: Call, action: str, state: EndpointState) -> EndpointView:
    ask = asked(call)
    await note(call, action, call.path["id"])
    return await endpoints.set_state(ask.store, call.path["id"], state, now=ask.now, tenant=ask.tenant)


async def _verify(call: Call) -> Verified:
    ask = asked(call)
    await note(call, "endpoint.verify", call.path["id"])
    return await endpoint_tests.verify(
        call.services.config(),
        ask.store,
        call.path["id"],
        now=ask.now,
        tenant=ask.tenant,
        limit=way_out(call).test_limit,
    )


async def _test(call: Call) -> AttemptView:
    ask = asked(call)
    await note(call, "endpoint.test", call.path["id"])
    return await endpoint_tests.send_test(
        call.services.config(),
        ask.store,
        call.path["id"],
        call.body.type,
        now=ask.now,
        tenant=ask.tenant,
        limit=way_out(call).test_limit,
    )


OPERATIONS = (
    Operation(
        method="POST",
        path="/endpoints/{id}/enable",
        role=Role.OPERATOR,
        summary="Send an endpoint events from now on, and decide about those that were held.",
        handler=_enable,
        body=Enabling,
        is_body_optional=True,
        result=EndpointView,
        problems=(*FINDS, *_TESTS, "not_verified"),
        is_for_tenants=True,
    ),
    Operation(
        method="POST",
        path="/endpoints/{id}/disable",
        role=Role.OPERATOR,
        summary="Send an endpoint nothing; what it would get is held.",
        handler=_disable,
        result=EndpointView,
        problems=FINDS,
        is_for_tenants=True,
    ),
    Operation(
        method="POST",
        path="/endpoints/{id}/pause",
        role=Role.OPERATOR,
        summary="Send an endpoint nothing for a while; what it would get waits.",
        handler=_pause,
        result=EndpointView,
        problems=FINDS,
        is_for_tenants=True,
    ),
    Operation(
        method="POST",
        path="/endpoints/{id}/verify",
        role=Role.OPERATOR,
        summary="Ask an endpoint whether it wants requests, by the handshake of CloudEvents or by a challenge.",
        handler=_verify,
        result=Verified,
        problems=(*FINDS, "rate_limited"),
        is_for_tenants=True,
    ),
    Operation(
        method="POST",
        path="/endpoints/{id}/test",
        role=Role.OPERATOR,
        summary="Send an endpoint a signed test event, and return the attempt.",
        handler=_test,
        body=EndpointTest,
        is_body_optional=True,
        result=AttemptView,
        problems=(*FINDS, "rate_limited"),
        is_for_tenants=True,
    ),
)
