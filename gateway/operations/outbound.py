"""What all that is asked about endpoints and deliveries has in common: the open store, and how a request is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from gateway.backends import open_outbound_store
from gateway.config import Config
from gateway.config.error_messages import suggest
from gateway.config.resolve import adapter_of
from gateway.errors import OperatorError
from gateway.outbound.ids import Ids
from gateway.outbound.models import Endpoint, Health
from gateway.outbound.original import Sender, Senders, bundled_sender
from gateway.outbound.store import Store, StoreUnavailable
from gateway.transport.topic_patterns import routing_pattern

DEFAULT_TENANT = "default"
"""The tenant of what names none."""


class Refused(OperatorError):
    """Raised when something cannot be done to an endpoint, a delivery or a message.

    Args:
        reason: A word for programs; one of :data:`gateway.console.problems.REASONS`.
        text: What is wrong, and what to do.
        retry_after: Seconds after which it may work; None if trying again does not help.
    """

    def __init__(self, reason: str, text: str, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.retry_after = retry_after


_ids = Ids()


def keys_of(pattern: str | None) -> tuple[str, ...]:
    """Return the patterns over routing keys for one that somebody wrote, maybe in a provider's spelling; none for none."""
    return (routing_pattern(pattern),) if pattern else ()


def new_id(prefix: str, at: float) -> str:
    """Return a new id of a thing that is made at a moment, in Unix seconds."""
    return _ids.new(prefix, at)


def senders_of(config: Config) -> Senders:
    """Return what finds the provider whose requests are made anew: a configured one, or an adapter that comes with the gateway."""

    def find(adapter: str, provider: str) -> Sender:
        configured = config.providers.get(provider)
        if configured is not None and adapter in {"", configured.adapter}:
            return adapter_of(configured), configured.parameters
        return bundled_sender(adapter, provider)

    return find


@asynccontextmanager
async def opened_store(config: Config) -> AsyncIterator[Store]:
    """Open the store of endpoints and deliveries for a command.

    Raises:
        OperatorError: The database cannot be used, now or later.
    """
    store = open_outbound_store(config)
    with database_errors_told():
        await store.start()
        try:
            yield store
        finally:
            await store.stop()


@contextmanager
def database_errors_told() -> Iterator[None]:
    """Tell an operator that the database cannot be used.

    Raises:
        OperatorError: It cannot.
    """
    try:
        yield
    except StoreUnavailable as error:
        raise OperatorError(f"the database of endpoints and deliveries cannot be used: {error}") from error


async def find_endpoint(store: Store, name: str, tenant: str = "") -> tuple[Endpoint, Health]:
    """Return an endpoint by its id, or by its name where only one has it.

    Args:
        store: The store.
        name: The id or the name.
        tenant: The only tenant that is seen; empty for all.

    Raises:
        Refused: There is none, or several have the name.
    """
    found = await store.endpoint(name)
    if found is not None and tenant in {"", found[0].tenant}:
        return found
    seen = [each for each in await store.endpoints() if tenant in {"", each[0].tenant}]
    named = [each for each in seen if each[0].name == name]
    if len(named) == 1:
        return named[0]
    if named:
        ids = ", ".join(endpoint.id for endpoint, _ in named)
        raise Refused("conflict", f"{len(named)} endpoints are called {name!r}; name one by its id: {ids}")
    hint = suggest(name, [endpoint.name for endpoint, _ in seen if endpoint.name])
    raise Refused("not_found", f"there is no endpoint {name!r}{hint}")
