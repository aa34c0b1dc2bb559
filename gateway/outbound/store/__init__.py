"""The port to what the way out keeps. The row of a delivery is the single source of truth about it.

All methods are called on one event loop. Whatever they return is durable: nothing that was accepted or recorded is lost
by a crash afterwards. Every method raises :class:`StoreUnavailable` if the database cannot be used at the moment. Where the
connection broke during the commit, nobody knows whether it was written; so everything may be called again with the same
arguments. Ids are those of :class:`gateway.outbound.ids.Ids`, made of the moment that stands beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

from gateway.outbound.models import (
    Attempt,
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointState,
    Health,
    Operation,
    OutboundMessage,
    Trigger,
)
from gateway.outbound.store.answers import Lease, Share, Tables, Waiting

MAX_COUNTED = 100_000
"""Deliveries beyond which those that wait are counted no further, unless somebody wants it."""


class StoreUnavailable(OSError):
    """Raised when the database cannot be used at the moment. The caller tries again."""


class Conflict(Exception):
    """Raised when something changed meanwhile, or is just in flight; nothing was written."""


class Record(NamedTuple):
    """The end of an attempt: what is written about it, in one transaction.

    Attributes:
        delivery: The delivery as it is from now on.
        attempt: The attempt.
        epoch: The epoch of the lease under which it was made.
        earlier: An attempt right before it, on a kept connection that the receiver had closed; None if there was none.
    """

    delivery: Delivery
    attempt: Attempt
    epoch: int
    earlier: Attempt | None = None

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts, in their order."""
        return (self.earlier, self.attempt) if self.earlier else (self.attempt,)


class DeliveryFilter(NamedTuple):
    """Conditions on deliveries, all of which must hold.

    Attributes:
        tenant: The tenant of the endpoint; empty for all.
        endpoint: The endpoint's id; empty for all.
        delivery: The delivery's id; empty for all.
        message: The message's id; empty for all.
        event_id: The CloudEvents id; empty for all.
        states: The states; empty for all.
        keys: Patterns over routing keys; empty for all.
        outcome: How the last attempt ended; empty for all.
        status: The HTTP status of the last attempt; None for all.
        since: Accepted at this moment or later; None for no limit.
        until: Accepted before this moment; None for no limit.
    """

    tenant: str = ""
    endpoint: str = ""
    delivery: str = ""
    message: str = ""
    event_id: str = ""
    states: tuple[DeliveryState, ...] = ()
    keys: tuple[str, ...] = ()
    outcome: str = ""
    status: int | None = None
    since: float | None = None
    until: float | None = None


class MessageFilter(NamedTuple):
    """Conditions on messages, all of which must hold.

    Attributes:
        tenant: The tenant of the event; empty for all.
        event_id: The CloudEvents id; empty for all.
        provider: The provider of the event; empty for all, and for those of agents.
        keys: Patterns over routing keys; empty for all.
        since: Accepted at this moment or later; None for no limit.
        until: Accepted before this moment; None for no limit.
    """

    tenant: str = ""
    event_id: str = ""
    provider: str = ""
    keys: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None


class MessagePlace(NamedTuple):
    """The place of a message in the order of acceptance.

    Attributes:
        accepted_at: When it was accepted, in Unix seconds.
        id: Its id, which orders those of one moment.
    """

    accepted_at: float
    id: str


Chosen = Callable[[OutboundMessage], bool]
"""Returns whether a message is wanted. It may be called on any thread."""


class Store(Protocol):
    """Endpoints, messages, deliveries and attempts."""

    async def start(self) -> None:
        """Open the database. If it is empty its tables are made.

        Those of an older version are migrated if they belong to this gateway alone, and refused if others share them.

        Raises:
            OperatorError: The tables are newer than this program, or have to be migrated by :meth:`migrate`.
        """

    async def stop(self) -> None:
        """Close the database."""

    async def tables(self) -> Tables:
        """Return the version of the tables without changing anything; the store need not be started."""

    async def migrate(self) -> Tables:
        """Bring the tables to the version of this program, and return what they had; the store need not be started.

        Raises:
            OperatorError: The tables are newer than this program.
        """

    async def now(self) -> float:
        """Return the database's clock in Unix seconds, by which deliveries become due."""

    # Endpoints: few, so that every process holds them all.

    async def version(self) -> int:
        """Return a number that grows with every change of an endpoint, of its state, or of a health made by a person."""

    async def endpoints(self) -> list[tuple[Endpoint, Health]]:
        """Return all endpoints, oldest first.

        Raises:
            OperatorError: The key is missing that opens what is kept encrypted.
        """

    async def endpoint(self, endpoint: str) -> tuple[Endpoint, Health] | None:
        """Return an endpoint, None if there is none with this id.

        Raises:
            OperatorError: As :meth:`endpoints`.
        """

    async def put_endpoint(self, endpoint: Endpoint, expected: int | None = None) -> Endpoint:
        """Add an endpoint, or replace the one with its id; return it with its new version.

        Args:
            endpoint: The endpoint. Its secrets, private key and headers are kept encrypted.
            expected: The version that it must have at the moment; 0 if there must be none; None for any.

        Raises:
            Conflict: It has another version.
        """

    async def delete_endpoint(self, endpoint: str) -> bool:
        """Delete an endpoint, cancel its deliveries that wait, and return whether it was there."""

    async def sync_configured(self, endpoints: Sequence[Endpoint]) -> None:
        """Make the configured endpoints these: add, change, or delete. A change of nothing changes no version.

        When secrets and endpoints were made is no change: a process that starts does not know.
        """

    async def put_health(self, health: Health, *, by_person: bool, was: EndpointState | None = None) -> None:
        """Replace what is known of an endpoint. A change by a person, or of the state, changes :meth:`version`.

        Args:
            health: What is known from now on. Of an endpoint that is gone, nothing is kept.
            by_person: Whether a person decided it.
            was: The state that it must have at the moment; None for any. An owner names the one that it knows, so that
                it does not undo what a person decided meanwhile.

        Raises:
            Conflict: It has another state.
        """

    async def put_healths(self, healths: Sequence[tuple[Health, EndpointState]]) -> list[bool]:
        """Replace what an owner knows of endpoints, in one transaction, as :meth:`put_health` does for one.

        Each endpoint must have the state beside its health. Return for each whether it had; one that had not keeps its health.
        """

    async def rekey(self) -> int:
        """Encrypt anew, with the newest key, what an older key has encrypted; return how many values that were."""

    # The way in.

    async def accept(self, accepted: Sequence[tuple[OutboundMessage, Sequence[Delivery]]]) -> list[bool]:
        """Keep messages with their deliveries in one transaction; return for each whether it is new.

        A message that is there already is left as it is, with its deliveries, and none is added. Deliveries are pending or
        held, as they say; those to an endpoint that is gone are kept as cancelled.
        """

    # The owner.

    async def lease(self, owner: str, duration: float, *, want: int) -> list[Lease]:
        """Renew the shards of a process, take free ones up to ``want`` in all, give up those beyond; return all that it owns.

        A shard that nobody took keeps its epoch, even if it was not renewed in time or was given up: attempts under way
        are still recorded until another process takes it.
        """

    async def release(self, owner: str, shards: Iterable[int] | None = None) -> None:
        """Give up shards of a process, all unless some are named: those on which it has ended all attempts."""

    async def owners(self) -> int:
        """Return how many processes own a shard or asked for one within the last lease."""

    async def shares(self) -> list[Share]:
        """Return the processes that own shards at the moment, by their names."""

    async def due(
        self, endpoint: str, before: float, limit: int, without: Iterable[str] = ()
    ) -> list[Delivery]:
        """Return pending deliveries of an endpoint that are due, those that are due longest first.

        With an order key, only the oldest pending delivery of its key is returned, by sequence where there is one and else
        by id. With ``on_dead: hold``, none of a key that has a dead delivery, until that is redelivered, cancelled or pruned.

        Args:
            endpoint: The endpoint's id.
            before: Due at this moment or earlier.
            limit: The most deliveries to return.
            without: Ids of deliveries that are not wanted, since they are under way.
        """

    async def next_due(self, endpoints: Collection[str]) -> dict[str, float]:
        """Return for endpoints with a delivery that :meth:`due` returns now or later, when the next one is due.

        It takes as long as there are endpoints for which something waits, however many it is asked for.
        """

    async def messages(self, ids: Sequence[str]) -> dict[str, OutboundMessage]:
        """Return messages by their ids; those that are gone are left out."""

    async def record(self, records: Sequence[Record]) -> list[bool]:
        """Write the ends of attempts in one transaction; return for each whether its lease still held.

        An attempt is kept in any case, without an excerpt if its message was forgotten. A delivery is changed only if the
        lease held, and if it is still pending in the same round: not if somebody cancelled or redelivered it meanwhile.
        """

    # Operators.

    async def waiting(
        self, endpoints: Sequence[str], *, max_counted: int = MAX_COUNTED
    ) -> dict[str, Waiting]:
        """Return what waits for endpoints, nothing for one that is gone.

        Larger counts than ``max_counted`` are cut to that, since counting takes time.
        """

    async def deliveries(
        self,
        wanted: DeliveryFilter,
        *,
        before: str = "",
        after: str = "",
        limit: int = 50,
        oldest_first: bool = False,
    ) -> list[Delivery]:
        """Return deliveries, newest first unless the oldest are wanted first.

        Args:
            wanted: The conditions.
            before: Only those with ids smaller than this; empty for all.
            after: Only those with ids larger than this; empty for all.
            limit: The most deliveries to return.
            oldest_first: Whether to begin with the smallest id.
        """

    async def delivery(self, delivery: str) -> Delivery | None:
        """Return a delivery, None if it is gone."""

    async def attempts(self, delivery: str) -> list[Attempt]:
        """Return the attempts of a delivery, oldest first."""

    async def add_attempt(self, attempt: Attempt) -> None:
        """Keep an attempt that belongs to no delivery: a test."""

    async def count(self, wanted: DeliveryFilter) -> int:
        """Return the number of deliveries that match."""

    async def redeliver(
        self, delivery: str, *, trigger: Trigger, at: float, under_way: bool = False, retries: bool = True
    ) -> Delivery:
        """Begin a new round of a delivery that has ended, is held or waits; return it as it is now.

        Args:
            delivery: The delivery's id.
            trigger: Why.
            at: When the first attempt is due.
            under_way: Whether an attempt is.
            retries: Whether an attempt that fails is followed by another.

        Raises:
            KeyError: There is no such delivery.
            Conflict: An attempt is under way, or the body of its message or its endpoint is gone.
        """

    async def cancel(self, wanted: DeliveryFilter) -> int:
        """Cancel the pending and held deliveries that match; return their number.

        Dead ones are cancelled too where ``states`` names them: that frees an order key that they hold.
        """

    async def resume(self, endpoint: str, *, since: float | None) -> int:
        """Make held deliveries of an endpoint pending, those accepted at ``since`` or later; cancel the others.

        None for ``since`` cancels all, 0.0 resumes all. Returns how many were resumed.
        """

    async def replay(
        self,
        operation: Operation,
        wanted: DeliveryFilter,
        *,
        rate: float,
        limit: int | None = None,
        chosen: Chosen | None = None,
        as_new: bool = False,
    ) -> Operation:
        """Begin a new round of all deliveries that match, oldest first, ``rate`` of them due in each second.

        Those that are pending are left out, since they are on their way, and those whose message's body is gone. If the
        process ends meanwhile, the operation covers what it had begun, and another replay takes the rest.

        Args:
            operation: What is kept of the replay.
            wanted: The conditions.
            rate: Deliveries that become due in a second.
            limit: The most deliveries to begin; None for all.
            chosen: A further condition on their messages; None for none.
            as_new: Whether receivers get another `webhook-id`: that of :func:`gateway.outbound.ids.renewed_id`.
        """

    async def operation(self, operation: str) -> Operation | None:
        """Return a bulk replay with its numbers, None if it is gone. It is done once nothing of it is pending."""

    async def cancel_operation(self, operation: str) -> bool:
        """Cancel what is pending of a bulk replay; return whether it was there."""

    async def message(self, message: str) -> OutboundMessage | None:
        """Return a message, None if it is gone."""

    async def list_messages(
        self, wanted: MessageFilter, *, after: MessagePlace | None = None, limit: int = 50
    ) -> list[OutboundMessage]:
        """Return messages without their bodies' bytes, newest first: ``b""`` stands for a body that is there.

        Args:
            wanted: The conditions.
            after: Only those that were accepted before this place; None for all.
            limit: The most messages to return.
        """

    async def messages_of_event(self, event_id: str, provider: str = "") -> list[OutboundMessage]:
        """Return the messages of an event, of all providers and agents unless one is named."""

    async def forget(self, message: str) -> bool:
        """Erase the body, the subject, the order keys and the excerpts of a message; return whether it was there.

        Its deliveries that wait are cancelled: there is nothing left to send.
        """

    async def prune(self, now: float) -> int:
        """Delete what is older than its retention, and let held deliveries end; return how many deliveries ended or went.

        See :mod:`gateway.outbound.store.retention`. It is done in small steps, between which others write.
        """
