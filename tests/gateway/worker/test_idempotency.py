"""The keys of a worker: where they are, and that a Redis Cluster keeps them together."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.backends import open_idempotency
from gateway.claims.redis_slots import slot_of
from gateway.config import Config
from gateway.worker import Worker

ALONE = {"url": "redis://redis:6379"}
CLUSTER = {"cluster": ["redis://redis-1:6379"]}
PROVIDERS = {"stripe": {"adapter": "stripe", "secrets": ["whsec_of-the-tests-alone"]}}


def keys_of(redis: dict[str, Any], event: str) -> tuple[str, str]:
    """Return the keys of an event and of its sequence."""
    idempotency = open_idempotency(
        Config.model_validate({"providers": PROVIDERS, "redis": redis}),
        Worker(queue="billing", events=["stripe.#"], ordered_by="subject"),
    )
    assert idempotency
    lease = idempotency.lease_for("stripe", event, ordering_key=event)
    return lease.key, lease.sequence


@pytest.mark.parametrize("redis", [{}, ALONE])
async def test_keys_begin_with_the_name_of_the_queue(redis: dict[str, Any]) -> None:
    """As they always did: an upgrade finds what was done before it."""
    assert all(key.startswith("whgw:1:worker:billing:") for key in keys_of(redis, "one"))


async def test_a_cluster_keeps_the_keys_of_a_worker_on_one_node() -> None:
    """Its scripts use several of them at once."""
    keys = [*keys_of(CLUSTER, "one"), *keys_of(CLUSTER, "two")]

    assert len(set(keys)) == 4
    assert len({slot_of(key.encode()) for key in keys}) == 1
