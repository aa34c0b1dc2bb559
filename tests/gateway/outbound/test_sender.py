"""What the owner of an endpoint has in memory of it."""

from __future__ import annotations

from gateway.outbound.behaviour import Behaviour
from gateway.outbound.models import Health
from gateway.outbound.sender import Sender
from support.outbound_records import a_delivery, a_message, an_endpoint

NOW = 1_795_251_502.0


def test_what_is_recorded_while_due_deliveries_are_read_stays_known() -> None:
    """The answer of a slow database may have it as it was before, and it would be sent again."""
    endpoint = an_endpoint()
    sender = Sender(endpoint, Behaviour(endpoint, Health(endpoint=endpoint.id), lambda: 0.5), lambda: 0.0)
    delivery = a_delivery(a_message(at=NOW))
    sender.add([delivery])
    assert sender.take() == delivery
    sender.is_filling = True
    sender.begin_filling()
    sender.note_end()
    sender.note_recorded(delivery.id)
    assert delivery.id in set(sender.known())

    sender.is_filling = False
    sender.begin_filling()
    assert not set(sender.known())
