"""What the way out samples of itself, for its metrics."""

from __future__ import annotations

from collections import Counter

from gateway.observability.outbound_counters import Sample
from gateway.outbound.circuit import circuit_state
from gateway.outbound.deliver import Deliverer
from gateway.outbound.directory import Directory
from gateway.outbound.lanes import Lane
from gateway.outbound.models import EndpointState, Health
from gateway.outbound.notices import Notice
from gateway.outbound.ownership import Ownership

WITHOUT_DATABASE: Sample = {("database_unavailable", ""): 1.0}
"""The numbers of a process that waits for its database before it can begin."""

_DECIDED = frozenset(("manual", "unverified"))
"""Reasons for which an endpoint is disabled that somebody knows already."""


def sample_of(directory: Directory, ownership: Ownership, deliverer: Deliverer, now: float) -> Sample:
    """Return the numbers of a process at ``now`` (Unix seconds), of all that is zero none.

    Endpoints are counted by the process that owns them, which alone knows how they behave.
    """
    found: Counter[tuple[str, str]] = Counter()
    for name, known in directory.health.items():
        if ownership.epoch_of(name) is None:
            continue
        sender = deliverer.senders.get(name)
        health = sender.behaviour.health if sender else known
        found["endpoints", _state_of(health)] += 1
        if health.state is EndpointState.ENABLED:
            found["circuits", circuit_state(health, now)] += 1
    sample: dict[tuple[str, str], float] = dict(found)
    for sender in deliverer.senders.values():
        if (due_at := sender.oldest_due) is not None:
            key = ("age_seconds", circuit_state(sender.behaviour.health, now))
            sample[key] = max(sample.get(key, 0.0), now - due_at)
    for lane, taken in zip(Lane, deliverer.lanes.taken, strict=True):
        sample["in_flight", lane.name.lower()] = taken
    sample["shards", ""] = ownership.shards
    sample["records_waiting", ""] = deliverer.recorder.waiting
    sample["database_unavailable", ""] = deliverer.is_without_database
    return sample


def _state_of(health: Health) -> str:
    if health.state is EndpointState.ENABLED and Notice.FAILING in health.told:
        return "failing"
    if health.state is EndpointState.DISABLED and health.reason in _DECIDED:
        return health.reason
    return health.state.value
