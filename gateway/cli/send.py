"""``gateway send``: send signed requests as a provider does."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import typer

from gateway.adapters.adapter import Adapter
from gateway.adapters.spec import AdapterSpec
from gateway.cli.common import find_provider, load_with_dev_secrets, run
from gateway.cli.saved_request import write_request
from gateway.cli.send_many import send_many
from gateway.config import Config
from gateway.devtools.handshakes import HandshakeRequest, make_handshake
from gateway.devtools.samples import Sample, load_sample, sample_of
from gateway.devtools.simulator import SignedRequest, Simulator, Tampering
from gateway.errors import OperatorError
from gateway.observability.terminal import printable
from gateway.operations.actions import Action, report_action
from gateway.operations.test_events import TIMEOUT, explain_failure, tampering_of, verdict_of
from gateway.operations.test_senders import TestSender, sender_of
from gateway.operations.wording import count
from gateway.signatures.secrets import SecretFormatError


@dataclass(frozen=True, slots=True)
class SendOptions:
    """The arguments and options of the command.

    Attributes:
        provider: The provider's key in the configuration.
        event: The event type of a built-in sample; None for the adapter's default.
        file: A body to send instead of a sample.
        tamper: How to tamper with the request; None to leave it intact.
        count: The number of events.
        repeat: The number of times to send each event.
        url: The URL to send to; None for the configured address.
        key: A file with the private key to sign with.
        handshake: Whether to send the endpoint verification instead of an event.
        save: The file to write the request to instead of sending it.
        curl: Whether to print the request as a curl command instead of sending it.
    """

    provider: str
    event: str | None
    file: Path | None
    tamper: str | None
    count: int
    repeat: int
    url: str | None
    key: Path | None
    handshake: bool
    save: Path | None = None
    curl: bool = False

    @property
    def is_sent(self) -> bool:
        """Return whether the request is sent, rather than saved or printed."""
        return self.save is None and not self.curl


def run_send(path: Path, options: SendOptions) -> None:
    """Send what the options ask for, and print the responses."""
    try:
        tampering = tampering_of(options.tamper)
    except OperatorError as error:
        raise typer.BadParameter(str(error), param_hint="--tamper") from None
    number = options.count * options.repeat
    if options.handshake and (tampering or options.event or options.file or number > 1):
        raise typer.BadParameter(
            "cannot be combined with an event, --file, --tamper, --count or --repeat",
            param_hint="--handshake",
        )
    if not options.is_sent and (
        options.handshake or number > 1 or tampering == "replay" or (options.save and options.curl)
    ):
        raise typer.BadParameter(
            "takes a single request: it cannot be combined with --handshake, --count, --repeat, --tamper replay or the other one",
            param_hint="--save" if options.save else "--curl",
        )
    if tampering and options.count > 1:
        raise typer.BadParameter("cannot be combined with --count", param_hint="--tamper")
    config, generated = load_with_dev_secrets(path)
    config = generated.with_kept(config)
    find_provider(config, path, options.provider)
    key = None if options.key is None else _read_key(options.key)
    sender = sender_of(config, options.provider, generated, url=options.url, key=key)
    try:
        if options.handshake:
            sending = _send_handshakes(_handshakes(sender), sender.target)
        else:
            simulator = sender.simulator(_sample(sender.adapter, options))
            if not options.is_sent:
                now = time.time()
                request = (
                    simulator.tampered(tampering, now)
                    if tampering
                    else simulator.make(now, is_fresh=options.file is None)
                )
                write_request(request, options.save)
                return
            if tampering:
                sending = _send_tampered(simulator, tampering, sender.adapter.spec)
            elif number == 1:
                sending = _send_one(simulator.make(time.time(), is_fresh=options.file is None))
            else:
                sending = send_many(simulator, options.count, options.repeat)
        # The journal of a gateway elsewhere is not ours to write to.
        is_success = run(_reported(sending, config, options) if options.url is None else sending)
    except SecretFormatError as error:
        raise OperatorError(f"{options.key}: {error}" if options.key else sender.why_unsigned()) from error
    if not is_success:
        raise typer.Exit(1)


async def _reported(sending: Coroutine[Any, Any, bool], config: Config, options: SendOptions) -> bool:
    """Send, and let the journal know that somebody did."""
    is_success = await sending
    detail = options.tamper or count(options.count * options.repeat, "request")
    kind = f"{options.provider}.{options.event}" if options.event else options.provider
    await report_action(config, Action.SENT, routing_key=kind, reason=options.tamper or "", detail=detail)
    return is_success


def _read_key(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace").strip()
    except OSError as error:
        raise OperatorError(f"{file}: {error.strerror}") from error


def _sample(adapter: Adapter, options: SendOptions) -> Sample:
    """Return the content to send: a file, or a built-in sample."""
    if options.file is None:
        return load_sample(adapter, options.event)
    try:
        return sample_of(adapter, options.event or options.file.stem, options.file.read_bytes())
    except OSError as error:
        raise OperatorError(f"{options.file}: {error.strerror}") from error


async def _send_one(request: SignedRequest) -> bool:
    async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
        return (await _post(client, request)).is_success


async def _send_tampered(simulator: Simulator, tampering: Tampering, spec: AdapterSpec) -> bool:
    request = simulator.tampered(tampering, time.time())
    async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
        responses = [await _post(client, request) for _ in range(2 if tampering == "replay" else 1)]
    verdict = verdict_of(tampering, spec, responses)
    if verdict.note:
        typer.echo(verdict.note)
    typer.echo(
        "As expected."
        if verdict.is_expected
        else f"NOT as expected: this should have returned {verdict.expected}."
    )
    return verdict.is_expected


def _handshakes(sender: TestSender) -> list[HandshakeRequest]:
    """Return a request for each handshake of the adapter."""
    adapter, configured = sender.adapter, sender.configured
    if not adapter.spec.handshakes:
        raise OperatorError(f"{adapter.name} has no endpoint verification handshake")
    token, url = configured.handshake_token_text(), configured.public_url or sender.target
    made = [
        make_handshake(adapter, spec, sender.secret, token, url, time.time(), configured.parameters)
        for spec in adapter.spec.handshakes
    ]
    return [replace(each, headers=each.headers | sender.forwarded) for each in made]


async def _send_handshakes(requests: list[HandshakeRequest], target: str) -> bool:
    async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
        responses = []
        for request in requests:
            url = f"{target}?{request.query}" if request.query else target
            response = await _exchange(client, request.method, url, request.headers, request.body)
            for name, value in response.headers.items():
                typer.echo(f"  {name}: {value}")
            responses.append(response)
    return all(response.is_success for response in responses)


async def _post(client: httpx.AsyncClient, request: SignedRequest) -> httpx.Response:
    return await _exchange(client, "POST", request.url, request.headers, request.body)


async def _exchange(
    client: httpx.AsyncClient, method: str, target: str, headers: dict[str, str], body: bytes
) -> httpx.Response:
    typer.echo(printable(f"{method} {target}"))
    for name, value in headers.items():
        typer.echo(printable(f"  {name}: {value}"))
    typer.echo(f"  ({len(body)} bytes)")
    try:
        response = await client.request(method, target, content=body, headers=headers)
    except httpx.HTTPError as error:
        raise OperatorError(explain_failure(error, target)) from error
    typer.echo(printable(f"{response.status_code} {response.text}", keep="\n"))
    return response
