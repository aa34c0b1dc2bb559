"""Which node of a Redis Cluster has which keys.

The keys of a cluster fall into slots, and each slot belongs to one primary
(https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/).
"""

from __future__ import annotations

import binascii
import random
from collections.abc import Iterable
from typing import NamedTuple

import hiredis

from gateway.claims.redis_connect import ask_once
from gateway.claims.redis_errors import explain_other_kind
from gateway.transport.redis_url import RedisUrl

SLOTS = 16_384
"""The number of slots of every cluster."""


class Address(NamedTuple):
    """The address of a node."""

    host: str
    port: int


def slot_of(key: bytes) -> int:
    """Return the slot of a key: of what is in its first braces, if there is something."""
    start = key.find(b"{") + 1
    end = key.find(b"}", start)
    return binascii.crc_hqx(key[start:end] if start and end > start else key, 0) % SLOTS


async def find_owners(nodes: Iterable[RedisUrl], timeout: float) -> list[Address | None]:
    """Ask a node which primary has which slot; None for a slot that belongs to no node.

    The nodes are asked in random order: one that is cut off from the others keeps an old view, and would otherwise be
    believed each time.

    Args:
        nodes: Nodes that may be asked.
        timeout: Seconds that a node may take to answer.

    Raises:
        ConnectionError: None of them answers; the text has the cause of each.
    """
    causes: list[str] = []
    candidates = list(dict.fromkeys(nodes))
    for node in random.sample(candidates, len(candidates)):
        try:
            rows = await ask_once(node, timeout, "CLUSTER", "SLOTS")
        except hiredis.ReplyError as error:
            causes.append(explain_other_kind(error, node.server, "CLUSTER SLOTS"))
            continue
        except OSError as error:
            causes.append(str(error))
            continue
        owners: list[Address | None] = [None] * SLOTS
        for first, last, primary, *_ in rows:
            # An empty host stands for the node that was asked.
            host = primary[0].decode() if primary[0] else node.host
            owners[first : last + 1] = [Address(host, int(primary[1]))] * (last + 1 - first)
        if any(owners):
            return owners
        causes.append(f"{node.server}: no node has any slot yet")
    raise ConnectionError(f"no node of the Redis Cluster can be used ({'; '.join(causes)})")
