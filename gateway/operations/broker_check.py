"""Ask RabbitMQ what the configuration cannot tell: on which nodes its queues are, and how large a message it takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.backends import has_embedded_queue, open_inspection, smaller_message_limit
from gateway.config import Config
from gateway.config.resolve import adapter_of, max_body_of
from gateway.errors import OperatorError
from gateway.operations.wording import count
from gateway.outbound.intake import AGENTS_EXCHANGE, OUTBOUND_SUFFIX
from gateway.queues.inspection import QueueInspection, QueueMembers
from gateway.signatures.units import format_size

_ENVELOPE_SIZE = 64 * 1024
"""Bytes by which an event may be larger than its body."""


@dataclass(frozen=True, slots=True)
class BrokerReport:
    """What RabbitMQ says.

    Attributes:
        lines: How things are.
        warnings: What should be changed.
    """

    lines: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


async def check_broker(config: Config) -> BrokerReport:
    """Return on which nodes the queues are, and whether the largest bodies fit into a message.

    Raises:
        OperatorError: The broker or its management API cannot be asked.
    """
    try:
        if has_embedded_queue(config):
            async with open_inspection(config) as queues:
                warnings = await _forgotten(queues, config)
            return BrokerReport(("the queue is embedded: there is no server to ask",), warnings)
        async with open_inspection(config) as queues:
            found = await queues.members()
            forgotten = await _forgotten(queues, config)
        sizes = dict(_sizes(config))
        largest = max(sizes.values())
        limit = await smaller_message_limit(config, largest + _ENVELOPE_SIZE)
    except OSError as error:
        raise OperatorError(f"RabbitMQ cannot be asked: {error}") from error
    lines = [_line(queue) for queue in found or ()]
    if found is None:
        lines.append(
            "on which nodes the queues are is not known; name the management API in rabbitmq.management_url"
        )
    if limit is None:
        lines.append(f"messages: as large as the largest body, {format_size(largest)}")
    return BrokerReport(
        tuple(lines), (*forgotten, *_warnings_of(found or [], config), *_too_large(sizes, limit))
    )


async def _forgotten(queues: QueueInspection, config: Config) -> tuple[str, ...]:
    """Return a warning for each queue of the way out that nobody takes from."""
    if config.has_way_out:
        return ()
    names = [exchange + OUTBOUND_SUFFIX for exchange in (config.rabbitmq.exchange, AGENTS_EXCHANGE)]
    return tuple(
        f"{each.name} has {count(each.ready, 'message')} and no consumer: this configuration delivers to no endpoint, but the "
        "queue still gets events, and grows; if no other gateway takes from it, delete it, or configure an endpoint, start, "
        "remove the endpoint and reload, which unbinds it"
        for each in await queues.depths(names)
        if not each.consumers
    )


def _sizes(config: Config) -> Iterator[tuple[str, int]]:
    for name, provider in sorted(config.providers.items()):
        yield name, max_body_of(config, provider, adapter_of(provider))


def _line(queue: QueueMembers) -> str:
    leader = f"led by {queue.leader}" if queue.leader else "without a leader"
    return f"queue {queue.name}: {count(len(queue.members), 'member')}, {len(queue.online)} online, {leader}"


def _warnings_of(queues: list[QueueMembers], config: Config) -> Iterator[str]:
    """Yield what should be done about queues; a single node has no more members to offer."""
    is_cluster = config.rabbitmq.nodes.are_several or any(len(queue.members) > 1 for queue in queues)
    for queue in queues:
        members, online = len(queue.members), len(queue.online)
        if members == 1 and is_cluster:
            yield (
                f"queue {queue.name} has one member, on {queue.members[0]}: without that node it takes no events; add members "
                "with `rabbitmq-queues grow`"
            )
        elif 2 * online <= members:
            yield (
                f"queue {queue.name} has {online} of {members} members online, which is no majority: its events wait in the "
                "spool; start the other nodes"
            )
        elif online < members:
            offline = ", ".join(sorted({*queue.members} - {*queue.online}))
            yield f"queue {queue.name} has {online} of {members} members online; start {offline}"


def _too_large(sizes: dict[str, int], limit: int | None) -> Iterator[str]:
    if limit is None:
        return
    for name, size in sizes.items():
        if size + _ENVELOPE_SIZE > limit:
            yield (
                f"providers.{name}: bodies of up to {format_size(size)} are accepted, but RabbitMQ takes messages of "
                f"{format_size(limit)} at most; raise its max_message_size, or set max_body to "
                f"{format_size(max(0, limit - _ENVELOPE_SIZE))} or less"
            )
