"""Owners are told of their endpoints by events: once each, without a URL, and never about a notice."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from gateway.outbound.accept import Accepted, Acceptor, Incoming
from gateway.outbound.directory import Directory
from gateway.outbound.models import DeliveryState
from gateway.outbound.notices import DISABLE_AFTER, Notice
from gateway.outbound.outcomes import Outcome
from gateway.outbound.store.memory import MemoryStore
from gateway.outbound.telling import OPERATOR, Notices
from support.outbound_records import a_delivery, a_message, an_endpoint

NOW = 1_795_251_502.0


class Inbox(Acceptor):
    """Takes the notices."""

    def __init__(self) -> None:
        store = MemoryStore()
        super().__init__(store, Directory(store), lambda: NOW)
        self.notices: list[Incoming] = []

    async def accept(self, events: Sequence[Incoming]) -> list[Accepted]:
        """Note them."""
        self.notices += events
        return []


@pytest.fixture
def inbox() -> Inbox:
    """An empty one."""
    return Inbox()


async def test_the_tenant_and_the_operator_are_told_and_the_endpoint_itself_is_not(inbox: Inbox) -> None:
    """By ids and words: a URL may carry a token."""
    endpoint = an_endpoint(tenant="acme", url="https://shop.example/hooks?token=secret")
    await Notices(inbox).endpoint(endpoint, Notice.DISABLED, "gone", NOW)
    assert [each.event.tenant for each in inbox.notices] == ["acme", OPERATOR]
    for each in inbox.notices:
        assert (each.key, each.without, each.keeps_unwanted) == (
            "gateway.endpoint.disabled",
            "ep_shop",
            False,
        )
        event = json.loads(each.body)
        assert event["data"] == {
            "endpoint_id": "ep_shop",
            "name": "shop",
            "tenant": "acme",
            "since": "2026-11-21T08:58:22.000Z",
            "reason": "gone",
        }
        assert b"secret" not in each.body


async def test_the_same_notice_has_the_same_id(inbox: Inbox) -> None:
    """Whoever takes over tells nobody twice; another time it is another notice."""
    notices = Notices(inbox)
    for since in (NOW, NOW, NOW + 60):
        await notices.endpoint(an_endpoint(tenant=OPERATOR), Notice.FAILING, "", since)
    first, second, third = (each.event.id for each in inbox.notices)
    assert first == second != third


async def test_a_warning_says_when_the_endpoint_will_be_disabled(inbox: Inbox) -> None:
    """With the type of a failing one."""
    await Notices(inbox).endpoint(an_endpoint(), Notice.WARNING, "", NOW - DISABLE_AFTER)
    event = json.loads(inbox.notices[0].body)
    assert event["type"] == "gateway.endpoint.failing"
    assert event["data"]["disabled_at"] == "2026-11-21T08:58:22.000Z"


async def test_a_dead_delivery_is_told_and_a_dead_notice_is_not(inbox: Inbox) -> None:
    """Two endpoints could go on for ever."""
    message = a_message("evt_1", at=NOW)
    dead = replace(
        a_delivery(message), state=DeliveryState.DEAD, outcome=Outcome.STATUS.value, status=500, made=12
    )
    await Notices(inbox).dead(an_endpoint(), message, dead, NOW)
    data = json.loads(inbox.notices[0].body)["data"]
    assert (data["delivery_id"], data["event_id"], data["status"]) == (dead.id, "evt_1", 500)
    count = len(inbox.notices)
    await Notices(inbox).dead(an_endpoint(), replace(message, key="gateway.delivery.dead"), dead, NOW)
    assert len(inbox.notices) == count
