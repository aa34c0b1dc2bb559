"""What is refused has touched nothing: neither a key in Redis nor a message in RabbitMQ."""

from __future__ import annotations

import secrets
from pathlib import Path

import redis

from gateway.claims.packing import LAYOUT_KEY
from hostile import inputs_http, inputs_json, inputs_signature
from hostile.signed import acme
from hostile.target import Input
from hostile.wire import Wire, address_of, converse
from support.gateway_process import GatewayProcess, Secrets
from support.inbox import Inbox
from support.senders import order

QUEUES = ("webhooks.unrouted", "webhooks.quarantine")

INPUTS: list[Input] = [
    hostile
    for hostile in (*inputs_http.INPUTS, *inputs_signature.INPUTS, *inputs_json.INPUTS)
    if hostile.answer.startswith("4") and hostile.number not in {7, 26, 41}
]
"""Every input that is refused, but those that only cost time."""


def test_refused_inputs_leave_nothing_behind(tmp_path: Path, redis_url: str, rabbitmq_url: str) -> None:
    """No refused input has made a key or a message; a good event makes its own, without its id in a key."""
    event_id = f"*{secrets.token_hex(8)}:{{}}"
    with (
        GatewayProcess(tmp_path, Secrets(), redis_url=redis_url, rabbitmq_url=rabbitmq_url) as gateway,
        redis.Redis.from_url(redis_url) as client,
    ):
        address = address_of(gateway.url)
        let_in = []
        for hostile in INPUTS:
            pieces = hostile.send(gateway.secrets)
            exchange = converse(address, bytes(pieces) if isinstance(pieces, Wire) else pieces)
            if not exchange.answer.startswith("4"):
                let_in.append((str(hostile), exchange.answer))
        keys_of_refused = set(client.keys("*")) - {LAYOUT_KEY.encode()}  # which the gateway itself has made
        left = [Inbox(rabbitmq_url, queue, pattern=None).take_all() for queue in QUEUES]
        good = converse(address, bytes(acme(gateway.secrets, order(id=event_id))))
        keys = client.keys("*")
        (arrival,) = Inbox(rabbitmq_url, "webhooks.unrouted", pattern=None).take(1)

    assert len(INPUTS) > 250
    assert let_in == []
    assert keys_of_refused == set()
    assert left == [[], []]
    assert good.answer == "202 accepted"
    assert arrival.message_id == event_id
    assert keys
    assert not any(event_id.encode() in key for key in keys)
