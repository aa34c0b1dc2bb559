"""Endpoints over the store: what the API's tests do not reach, such as two people at once and the proof by a challenge."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.config import Config
from gateway.operations import endpoint_secrets, endpoint_tests, endpoints
from gateway.operations.endpoint_settings import EndpointChange, NewEndpoint, SubscriptionSettings
from gateway.operations.outbound import Refused, find_endpoint
from gateway.outbound.models import EndpointState, Format
from gateway.outbound.store.memory import MemoryStore
from support.delivery_scene import endpoint_at, outbound
from support.receivers import Behaviour, Conversation, Receiver, head_of, respond


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver."""
    with Receiver() as made:
        yield made


def config_of(folder: Path, port: int = 443) -> Config:
    """Return a configuration whose endpoints may be on this machine."""
    return Config.model_validate(
        {
            "data_dir": str(folder),
            "outbound": outbound(port),
            "providers": {"stripe": {"adapter": "stripe", "secrets": ["whsec_for-tests-alone"]}},
        }
    )


def new(url: str = "https://a.example.com/", **changes: Any) -> NewEndpoint:
    """Return settings of an endpoint."""
    return NewEndpoint(url=url, subscriptions=[SubscriptionSettings(events=["stripe.#"])], **changes)


def echo(receiver: Receiver) -> Behaviour:
    """Answer a challenge with its value, as a receiver that wants requests does."""

    async def act(conversation: Conversation) -> None:
        event = orjson.loads(receiver.requests[-1].body)
        body = orjson.dumps({"challenge": event["data"]["challenge"]})
        await conversation.send(head_of(200, {"Content-Length": str(len(body))}) + body)

    return Behaviour("echo", act)


async def test_an_owner_proves_it_by_a_challenge(tmp_path: Path, receiver: Receiver) -> None:
    """A tenant's endpoint is enabled by that, and its deliveries begin."""
    receiver.behave(respond(405), echo(receiver))
    store, config = MemoryStore(), config_of(tmp_path, receiver.port)
    endpoint = await store.put_endpoint(endpoint_at(receiver.url, time.time(), is_verified=False), 0)
    found = await endpoint_tests.verify(config, store, endpoint.id, now=time.time())

    assert (found.is_verified, found.way) == (True, "challenge")
    assert found.endpoint.is_verified


async def test_a_new_address_has_to_be_proved_anew(tmp_path: Path) -> None:
    """Who owned the old one need not own the new one."""
    store, config = MemoryStore(), config_of(tmp_path)
    endpoint = await store.put_endpoint(
        endpoint_at("https://a.example.com/", 1.0, is_verified=True, is_by_tenant=True), 0
    )
    same = await endpoints.change_endpoint(
        config, store, endpoint.id, EndpointChange(description="x"), now=2.0
    )
    assert (same.is_verified, same.state) == (True, EndpointState.ENABLED)

    moved = await endpoints.change_endpoint(
        config, store, endpoint.id, EndpointChange(url="https://b.example.com/"), now=2.0
    )
    assert (moved.is_verified, moved.state, moved.reason) == (False, "disabled", "unverified")


async def test_two_people_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """Also where neither names a version: what changed between reading and writing is noticed."""
    config = config_of(tmp_path)

    class Slow(MemoryStore):
        """A store in which somebody else is faster."""

        async def endpoint(self, endpoint: str) -> Any:
            found = await super().endpoint(endpoint)
            assert found
            await super().put_endpoint(found[0])
            return found

    store = Slow()
    view, _ = await endpoints.create_endpoint(config, store, new(), now=1.0)
    with pytest.raises(Refused) as refused:
        await endpoints.change_endpoint(config, store, view.id, EndpointChange(description="x"), now=2.0)
    assert refused.value.reason == "version_changed"


async def test_a_name_finds_one_endpoint_alone(tmp_path: Path) -> None:
    """Where two have it, the ids are named."""
    store, config = MemoryStore(), config_of(tmp_path)
    first, _ = await endpoints.create_endpoint(config, store, new(name="twin"), now=1.0)
    assert (await find_endpoint(store, "twin"))[0].id == first.id
    second, _ = await endpoints.create_endpoint(config, store, new(name="twin"), now=2.0)
    with pytest.raises(Refused) as refused:
        await find_endpoint(store, "twin")
    assert first.id in str(refused.value)
    assert second.id in str(refused.value)


@pytest.mark.parametrize("adapter", ["stripe", "github", "svix", "discord", "shopify"])
async def test_a_secret_fits_the_provider_that_is_imitated(
    tmp_path: Path, receiver: Receiver, adapter: str
) -> None:
    """A test event in its original form can be signed with what was made."""
    store, config = MemoryStore(), config_of(tmp_path, receiver.port)
    config = config.model_copy(
        update={"providers": {adapter: config.providers["stripe"].model_copy(update={"adapter": adapter})}}
    )
    settings = NewEndpoint(
        url=receiver.url,
        subscriptions=[SubscriptionSettings(events=[f"{adapter}.#"])],
        format=Format.ORIGINAL,
        sign_as=adapter,
    )
    view, (secret,) = await endpoints.create_endpoint(config, store, settings, now=time.time())
    attempt = await endpoint_tests.send_test(config, store, view.id, now=time.time())

    assert attempt.outcome == "delivered", attempt
    assert secret.secret
    assert len(receiver.requests) == 1


async def test_the_last_secret_that_does_not_expire_stays(tmp_path: Path) -> None:
    """Otherwise requests would one day go out unsigned."""
    store, config = MemoryStore(), config_of(tmp_path)
    view, (first,) = await endpoints.create_endpoint(config, store, new(), now=1.0)
    with pytest.raises(Refused):
        await endpoint_secrets.end_secret(store, view.id, first.id, now=2.0)
    second = await endpoint_secrets.rotate_secret(config, store, view.id, now=2.0)
    with pytest.raises(Refused):
        await endpoint_secrets.end_secret(store, view.id, second.id, now=3.0)
    await endpoint_secrets.end_secret(store, view.id, first.id, now=3.0)
    assert [each.id for each in await endpoint_secrets.secrets_of(store, view.id)] == [second.id]
