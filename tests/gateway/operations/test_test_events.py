"""Test events: signed samples that take the way of every other event, and forgeries that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Config
from gateway.errors import OperatorError
from gateway.operations.test_events import sample_types, send
from support.gateway_process import GatewayProcess, Secrets
from support.ports import free_port


@pytest.fixture
def gateway(tmp_path: Path) -> GatewayProcess:
    """A gateway with everything embedded."""
    return GatewayProcess(tmp_path, Secrets())


async def test_a_sample_is_accepted_and_a_forgery_refused(gateway: GatewayProcess) -> None:
    """Each says what was to be expected."""
    with gateway:
        config = gateway.load()
        intact = await send(config, "stripe", "invoice.paid")
        default = await send(config, "github", actor="ada")
        forged = [await send(config, "stripe", tamper=each) for each in ("body", "signature", "timestamp")]
        repeated = await send(config, "stripe", tamper="replay")
        with pytest.raises(OperatorError, match="there is no sample 'nothing'"):
            await send(config, "stripe", "nothing")
        with pytest.raises(OperatorError, match="no provider 'nobody'"):
            await send(config, "nobody")
        with pytest.raises(OperatorError, match="'flood' is not supported; use body, signature"):
            await send(config, "stripe", tamper="flood")

    assert (intact.status, intact.outcome, intact.type, intact.is_expected) in [
        (status, "accepted", "invoice.paid", True) for status in (200, 202)
    ]
    assert intact.event_id.startswith("evt_")
    assert intact.event_id in intact.answer
    assert default.is_expected
    assert [(each.status, each.outcome, each.is_expected) for each in forged] == [
        (401, "invalid_signature", True)
    ] * 3
    assert (repeated.outcome, repeated.is_expected, repeated.tampering) == ("duplicate", True, "replay")


async def test_no_gateway_is_told_with_its_address(gateway: GatewayProcess) -> None:
    """The page shows why nothing was sent."""
    config = gateway.load()
    url = f"http://127.0.0.1:{free_port()}/webhooks/stripe"
    with pytest.raises(OperatorError, match=f"connection refused: {url}"):
        await send(config, "stripe", url=url)


def test_the_samples_of_configured_providers_are_known(gateway: GatewayProcess) -> None:
    """For a form that offers them."""
    config = gateway.load()
    found = sample_types(config)
    assert "invoice.paid" in found["stripe"]
    assert found.keys() <= config.providers.keys()


async def test_a_provider_whose_keys_are_fetched_cannot_be_simulated(tmp_path: Path) -> None:
    """Only it has the private key."""
    config = Config.model_validate(
        {
            "data_dir": str(tmp_path),
            "providers": {
                "shop": {
                    "adapter": "paypal",
                    "secrets": [],
                    "parameters": {"webhook_id": "x", "environment": "sandbox"},
                }
            },
        }
    )
    with pytest.raises(OperatorError, match="cannot be simulated with the configured secret"):
        await send(config, "shop")
