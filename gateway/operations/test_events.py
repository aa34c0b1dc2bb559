"""Test events: signed samples, intact or tampered with, sent to the running gateway as their provider would.

A test event takes the way of every other event. In the journal it is known by an entry of who sent it.

The module has slightly more than 200 lines because sending and judging the response share their words.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import httpx

from gateway.adapters.spec import AdapterSpec
from gateway.config import Config
from gateway.config.dev_secrets import DevSecrets
from gateway.config.resolve import adapter_of
from gateway.devtools.samples import load_sample, sample_names
from gateway.devtools.simulator import SignedRequest, Tampering
from gateway.errors import OperatorError
from gateway.operations.actions import Action, report_action
from gateway.operations.test_senders import sender_of
from gateway.signatures.secrets import SecretFormatError

TIMEOUT = 15.0
"""Seconds to wait for a response."""

_INVALID_SIGNATURE = 401
"""The status of a response to a request that fails verification."""

_MAX_ANSWER = 2_000
"""Characters of a response that are kept."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the gateway answered as it should.

    Attributes:
        is_expected: Whether it did.
        expected: What it should have returned, in words.
        note: What to know of this provider, as a sentence; empty if there is nothing.
    """

    is_expected: bool
    expected: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class TestEvent:
    """A test event that was sent.

    Attributes:
        provider: The provider.
        type: The event type of the sample.
        event_id: The id that the gateway derives.
        tampering: How it was tampered with; empty if it was not.
        status: The HTTP status of the last response.
        outcome: Its status or reason, in one word; empty if it has none.
        answer: The beginning of its body.
        is_expected: Whether the gateway answered as it should: 401 to a forgery, success otherwise.
        expected: What it should have returned, in words.
        note: What to know of this provider, as a sentence; empty if there is nothing.
    """

    __test__ = False  # as above

    provider: str
    type: str
    event_id: str
    tampering: str
    status: int
    outcome: str
    answer: str
    is_expected: bool
    expected: str
    note: str


def sample_types(config: Config) -> dict[str, list[str]]:
    """Return the event types of the built-in samples of each configured provider that has some."""
    found = {name: sample_names(adapter_of(provider)) for name, provider in config.providers.items()}
    return {name: types for name, types in found.items() if types}


async def send(
    config: Config,
    provider: str,
    event_type: str | None = None,
    *,
    tamper: str | None = None,
    url: str | None = None,
    actor: str = "",
) -> TestEvent:
    """Send a signed sample to the gateway, and return how it answered.

    Args:
        config: The configuration, with its secrets.
        provider: The provider's key.
        event_type: The event type of a built-in sample; None for the adapter's default.
        tamper: `body`, `signature` or `timestamp` to forge that; `replay` to send the same request twice; None for none.
        url: The URL to send to; None for the gateway of this configuration.
        actor: Who acts; by default the system's user.

    Raises:
        OperatorError: There is no such provider, sample or way of tampering, it cannot be signed, or no gateway answers.
    """
    tampering = tampering_of(tamper)
    generated = DevSecrets.of(config)
    sender = sender_of(generated.with_kept(config), provider, generated, url=url)
    sample = load_sample(sender.adapter, event_type)
    now = time.time()
    try:
        simulator = sender.simulator(sample)
        request = simulator.tampered(tampering, now) if tampering else simulator.make(now)
    except SecretFormatError as error:
        raise OperatorError(sender.why_unsigned()) from error
    async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
        responses = [await post(client, request) for _ in range(2 if tampering == "replay" else 1)]
    await report_action(
        config,
        Action.SENT,
        actor=actor,
        routing_key=f"{provider}.{sample.event_type}",
        event_id=request.event_id,
        reason=tampering or "",
        detail="a signed sample" if tampering is None else f"a sample, tampered with: {tampering}",
    )
    verdict = verdict_of(tampering, sender.adapter.spec, responses)
    return TestEvent(
        provider,
        sample.event_type,
        request.event_id,
        tampering or "",
        responses[-1].status_code,
        outcome_of(responses[-1]),
        responses[-1].text[:_MAX_ANSWER],
        verdict.is_expected,
        verdict.expected,
        verdict.note,
    )


def tampering_of(text: str | None) -> Tampering | None:
    """Return how to tamper with a request, from its name; None for not at all.

    Raises:
        OperatorError: There is no such way.
    """
    for tampering in get_args(Tampering):
        if text == tampering:
            return text  # type: ignore[return-value]
    if text is None:
        return None
    raise OperatorError(f"{text!r} is not supported; use {', '.join(get_args(Tampering))}")


async def post(client: httpx.AsyncClient, request: SignedRequest) -> httpx.Response:
    """Send a request, and return the response.

    Raises:
        OperatorError: There is none.
    """
    try:
        return await client.post(request.url, content=request.body, headers=request.headers)
    except httpx.HTTPError as error:
        raise OperatorError(explain_failure(error, request.url)) from error


def verdict_of(
    tampering: Tampering | None, spec: AdapterSpec, responses: Sequence[httpx.Response]
) -> Verdict:
    """Return whether responses are those that the gateway owes."""
    last, are_successes = responses[-1], all(response.is_success for response in responses)
    if tampering is None:
        return Verdict(are_successes, "success")
    if tampering != "replay":
        return Verdict(last.status_code == _INVALID_SIGNATURE, "401")
    note = ""
    if spec.equal_events and spec.equal_events.meant:
        note = "Some event types of this provider repeat without ids, so both requests count as events."
    elif spec.success:
        note = "This provider requires the same response every time; see the gateway's log for the outcome."
    if note:
        return Verdict(are_successes, "success for both requests", note)
    is_duplicate = are_successes and outcome_of(last) == "duplicate"
    return Verdict(is_duplicate, "a duplicate as the second response")


def outcome_of(response: httpx.Response) -> str:
    """Return the reason or status that a response has in its body; empty if it has none."""
    try:
        content = response.json()
    except ValueError:
        return ""
    return str(content.get("reason") or content.get("status") or "") if isinstance(content, dict) else ""


def explain_failure(error: httpx.HTTPError, target: str) -> str:
    """Describe why there was no response from ``target``."""
    if isinstance(error, httpx.ConnectError):
        return f"connection refused: {target}; start `gateway dev` or `gateway serve`, or pass another address with --url"
    return f"no response from {target}: {str(error) or type(error).__name__}"
