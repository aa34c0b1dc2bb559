"""What every store promises of endpoints: versions, secrets, health, and the configured ones."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from gateway.errors import OperatorError
from gateway.outbound.models import (
    DeliveryState,
    Endpoint,
    EndpointState,
    Format,
    Health,
    Secret,
    SignatureKind,
    Subscription,
)
from gateway.outbound.store import Conflict, DeliveryFilter, Store
from gateway.outbound.store.sqlite import FILE_NAME, SqliteStore
from support.outbound_records import a_delivery, a_message, an_endpoint

FULL = Endpoint(
    id="ep_full",
    name="full",
    tenant="acme",
    url="https://full.example/a?token=1",
    subscriptions=(
        Subscription(
            events=("stripe.#", "github.issues.*"), where=({"/data/n": {"gte": 1, "in": [1, "ü"]}},)
        ),
        Subscription(events=("#",)),
    ),
    is_configured=True,
    description="für Prüfer",
    headers={"X-Api-Key": "header-of-the-endpoint"},
    format=Format.ORIGINAL,
    signature=SignatureKind.ED25519,
    sign_as="stripe",
    secrets=(Secret(id="sec_1", value="whsec_of-the-endpoint", created_at=5.5, expires_at=9.5),),
    private_key=bytes(range(32)),
    rate=2.5,
    concurrency=3,
    order="/data/object/id",
    on_dead="hold",
    timeout=7.5,
    give_up_on=(400, 422),
    max_pending=5,
    is_verified=True,
    is_by_tenant=True,
    created_at=2.0,
    changed_at=3.0,
)


async def ids_of(store: Store) -> list[str]:
    """Return the ids of all endpoints in their order."""
    return [endpoint.id for endpoint, _ in await store.endpoints()]


async def test_an_endpoint_is_found_as_it_was(store: Store) -> None:
    """With all its fields, and a health of its own."""
    assert await store.endpoints() == []
    assert await store.endpoint(FULL.id) is None
    other = an_endpoint(created_at=1.0)

    assert await store.put_endpoint(FULL, 0) == FULL
    assert await store.put_endpoint(other) == other

    assert await store.endpoint(FULL.id) == (FULL, Health(endpoint=FULL.id))
    assert await store.endpoints() == [
        (other, Health(endpoint=other.id)),
        (FULL, Health(endpoint=FULL.id)),
    ]
    assert await store.endpoint("") is None


async def test_each_change_has_a_version(store: Store) -> None:
    """Of the endpoint, and of all together; who changes an older one is told."""
    first = await store.version()
    await store.put_endpoint(FULL, 0)
    changed = await store.put_endpoint(replace(FULL, secrets=(), headers={}, private_key=b"", rate=None), 1)
    assert changed.version == 2

    for expected in (0, 1, 3):
        with pytest.raises(Conflict):
            await store.put_endpoint(FULL, expected)

    assert await store.endpoint(FULL.id) == (changed, Health(endpoint=FULL.id))
    assert await store.version() == first + 2
    assert (await store.put_endpoint(FULL)).version == 3
    with pytest.raises(Conflict):
        await store.put_endpoint(an_endpoint(), 1)
    assert await ids_of(store) == [FULL.id]


async def test_health_is_changed_by_owners_and_people(store: Store) -> None:
    """All processes learn of states, and of what people decide. An owner does not undo that."""
    await store.put_endpoint(FULL)
    first = await store.version()
    failing = Health(
        endpoint=FULL.id,
        failures=3,
        failing_since=1.5,
        succeeded_at=0.5,
        closed_until=9.5,
        openings=2,
        concurrency=4,
        told=("slow",),
    )
    await store.put_health(failing, by_person=False, was=EndpointState.ENABLED)
    assert await store.endpoint(FULL.id) == (FULL, failing)
    assert await store.version() == first

    paused = Health(endpoint=FULL.id, state=EndpointState.PAUSED)
    await store.put_health(paused, by_person=True)
    disabled = replace(failing, state=EndpointState.DISABLED, reason="gone")
    with pytest.raises(Conflict):
        await store.put_health(disabled, by_person=False, was=EndpointState.ENABLED)
    assert await store.endpoint(FULL.id) == (FULL, paused)
    assert await store.version() == first + 1

    await store.put_health(disabled, by_person=False, was=EndpointState.PAUSED)
    assert await store.endpoint(FULL.id) == (FULL, disabled)
    assert await store.version() == first + 2
    await store.put_health(disabled, by_person=True)
    assert await store.version() == first + 3
    await store.put_endpoint(FULL)
    assert (await store.endpoints())[0][1] == disabled
    await store.put_health(Health(endpoint="ep_of-nobody"), by_person=True)
    assert await ids_of(store) == [FULL.id]


async def test_the_health_of_many_is_changed_at_once(store: Store) -> None:
    """Of each that has the state that its owner knows; the others keep theirs, and one that is gone is no fault."""
    names = ["ep_a", "ep_b", "ep_c"]
    for name in names:
        await store.put_endpoint(replace(FULL, id=name))
    await store.put_health(Health(endpoint="ep_b", state=EndpointState.PAUSED), by_person=True)
    first = await store.version()
    failing = [Health(endpoint=name, failures=3, failing_since=1.5) for name in (*names, "ep_of-nobody")]

    were = await store.put_healths([(each, EndpointState.ENABLED) for each in failing])

    assert were == [True, False, True, True]
    found = {endpoint.id: health for endpoint, health in await store.endpoints()}
    assert found == {
        "ep_a": failing[0],
        "ep_b": Health(endpoint="ep_b", state=EndpointState.PAUSED),
        "ep_c": failing[2],
    }
    assert await store.version() == first

    disabled = replace(failing[0], state=EndpointState.DISABLED, reason="gone")
    assert await store.put_healths([(disabled, EndpointState.ENABLED)]) == [True]
    assert await store.version() == first + 1
    assert await store.put_healths([]) == []


async def test_a_deleted_endpoint_leaves_nothing_that_waits(store: Store, now: float) -> None:
    """What was accepted for it is cancelled, and what comes later too. Another one may have its id."""
    await store.put_endpoint(an_endpoint())
    first = await store.version()
    message = a_message(at=now)
    waits = [a_delivery(message), a_delivery(message, state=DeliveryState.HELD)]
    await store.accept([(message, waits)])

    assert await store.delete_endpoint("ep_shop") is True
    assert await store.delete_endpoint("ep_shop") is False

    assert await store.version() == first + 1
    assert await store.endpoint("ep_shop") is None
    late = a_message(at=now, tenant="acme")
    await store.accept([(late, [a_delivery(late)])])
    found = await store.deliveries(DeliveryFilter(endpoint="ep_shop"))
    assert [each.state for each in found] == [DeliveryState.CANCELLED] * 3
    assert all(each.ended_at for each in found)
    assert len(await store.deliveries(DeliveryFilter(tenant="acme"))) == 1
    again = await store.put_endpoint(an_endpoint(), 0)
    assert again.version == 1
    assert await store.due("ep_shop", 1e12, 10) == []


async def test_a_deletion_that_was_interrupted_is_finished(open_database: Any, now: float) -> None:
    """By whoever prunes next."""
    store: Store = await open_database()
    await store.put_endpoint(an_endpoint())
    message = a_message(at=now)
    await store.accept([(message, [a_delivery(message)])])

    async def die(*_: object) -> int:
        raise InterruptedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "cancel", die)
        with pytest.raises(InterruptedError):
            await store.delete_endpoint("ep_shop")
    assert await store.endpoints() == []

    other: Store = await open_database()
    await other.prune(now)

    assert await other.count(DeliveryFilter(states=(DeliveryState.CANCELLED,))) == 1
    assert await other.delete_endpoint("ep_shop") is False


async def test_the_configuration_decides_about_its_endpoints(store: Store) -> None:
    """What is new is added, what changed is changed, what is gone is deleted, and all else stays as it is."""
    made = an_endpoint("made")
    await store.put_endpoint(made)
    one, two = (an_endpoint(name, is_configured=True, created_at=9.0) for name in ("one", "two"))
    await store.sync_configured([one, two])
    first = await store.version()

    later = [
        replace(
            each,
            created_at=99.0,
            changed_at=99.0,
            secrets=tuple(replace(s, created_at=99.0) for s in each.secrets),
        )
        for each in (one, two)
    ]
    await store.sync_configured(later)
    assert await store.version() == first
    assert [endpoint for endpoint, _ in await store.endpoints()] == [made, one, two]

    changed = replace(later[1], secrets=(replace(two.secrets[0], value="whsec_changed", created_at=99.0),))
    await store.sync_configured([changed])
    assert await store.version() == first + 2
    found = await store.endpoint("ep_two")
    assert found
    assert (found[0].version, found[0].created_at, found[0].secrets) == (2, 9.0, changed.secrets)
    assert await ids_of(store) == ["ep_made", "ep_two"]
    await store.sync_configured([])
    assert await ids_of(store) == ["ep_made"]


async def test_keys_are_exchanged_while_it_runs(open_database: Any) -> None:
    """With the old key beside the new one everything is encrypted anew; then the old one can go."""
    old, new = bytes(range(32)), bytes(range(32, 64))
    store: Store = await open_database((old,))
    await store.put_endpoint(FULL)
    await store.put_endpoint(an_endpoint())

    with pytest.raises(OperatorError, match="add the former key") as raised:
        await (await open_database((new,))).endpoints()
    assert "\n" not in str(raised.value)
    both: Store = await open_database((new, old))
    assert await both.rekey() == 6
    assert await both.rekey() == 0

    assert [each for each, _ in await (await open_database((new,))).endpoints()] == [an_endpoint(), FULL]
    with pytest.raises(OperatorError):
        await store.endpoint(FULL.id)


SECRETS = (b"whsec_of-the-endpoint", b"header-of-the-endpoint", bytes(range(32)))


async def test_secrets_cannot_be_read_in_the_file(tmp_path: Path) -> None:
    """Neither in the database nor in its log."""
    store = SqliteStore(tmp_path, [b"k" * 32])
    await store.start()
    await store.put_endpoint(FULL)
    files = [path.read_bytes() for path in tmp_path.iterdir()]
    await store.stop()

    assert any(b"full.example" in content for content in files)
    for secret in SECRETS:
        assert not any(secret in content for content in files)


async def test_secrets_cannot_be_read_in_the_tables(postgres_url: str) -> None:
    """Nor in those of PostgreSQL."""
    from gateway.outbound.store.postgresql import PostgresStore

    store = PostgresStore(postgres_url, [b"k" * 32])
    await store.start()
    await store.put_endpoint(FULL)
    await store.stop()
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute(
            "SELECT document FROM outbound_endpoints UNION ALL SELECT value FROM outbound_sealed"
        ).fetchall()

    assert len(rows) == 4
    assert any(b"full.example" in content for (content,) in rows)
    for secret in SECRETS:
        assert not any(secret in content for (content,) in rows)


async def test_a_newer_file_is_refused_in_a_line(tmp_path: Path) -> None:
    """And left as it is."""
    store = SqliteStore(tmp_path, [b"k" * 32])
    await store.start()
    await store.stop()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("INSERT INTO outbound_schema VALUES (99)")
    connection.close()

    with pytest.raises(OperatorError, match="version 99") as raised:
        await SqliteStore(tmp_path, [b"k" * 32]).start()

    assert str(tmp_path / FILE_NAME) in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_a_newer_database_is_refused_in_a_line(postgres_url: str) -> None:
    """And its address, which has a password, is not named."""
    from gateway.outbound.store.postgresql import PostgresStore

    store = PostgresStore(postgres_url, [b"k" * 32])
    await store.start()
    with psycopg.connect(postgres_url) as connection:
        connection.execute("INSERT INTO outbound_schema VALUES (99)")

    with pytest.raises(OperatorError, match="version 99") as raised:
        await store.start()

    assert "password" not in str(raised.value)
    assert "\n" not in str(raised.value)
    await store.stop()
