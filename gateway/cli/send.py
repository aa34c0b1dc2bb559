"""``gateway send``: send signed requests as a provider does.

The module is slightly over 200 lines because one event, a tampered event and a handshake share their requests and output.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import httpx
import typer

from gateway.adapters.adapter import Adapter
from gateway.adapters.spec import AdapterSpec
from gateway.cli.common import find_provider, load_with_dev_secrets, local_url, run
from gateway.cli.saved_request import write_request
from gateway.cli.send_many import TIMEOUT, explain_failure, send_many
from gateway.config.dev_secrets import DevSecrets
from gateway.config.models import ProviderConfig, ServerConfig
from gateway.config.resolve import adapter_of
from gateway.devtools.handshakes import HandshakeRequest, make_handshake
from gateway.devtools.samples import Sample, load_sample, sample_of
from gateway.devtools.simulator import SignedRequest, Simulator, Tampering
from gateway.errors import OperatorError
from gateway.observability.terminal import printable
from gateway.signatures.secrets import SecretFormatError

_INVALID_SIGNATURE = 401
"""The status of a response to a request that fails verification."""


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
    tampering = _tampering(options.tamper)
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
    configured = find_provider(generated.with_kept(config), path, options.provider)
    adapter = adapter_of(configured)
    target = options.url or f"{local_url(config.server.bind[0])}/webhooks/{options.provider}"
    secret = _secret_of(configured, generated, options.key)
    is_url_signed = adapter.spec.needs_url and not configured.public_url
    forwarded = _forwarded(config.server, target) if is_url_signed else {}
    try:
        if options.handshake:
            handshakes = [
                replace(each, headers=each.headers | forwarded)
                for each in _handshakes(adapter, configured, secret, target)
            ]
            sending = _send_handshakes(handshakes, target)
        elif secret is None:
            raise OperatorError(_why_unsigned(options.provider, adapter))
        else:
            sample = _sample(adapter, options)
            sample = replace(sample, headers=sample.headers | forwarded)
            simulator = Simulator(
                adapter, secret, target, sample, configured.public_url, configured.parameters
            )
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
                sending = _send_tampered(simulator, tampering, adapter.spec)
            elif number == 1:
                sending = _send_one(simulator.make(time.time(), is_fresh=options.file is None))
            else:
                sending = send_many(simulator, options.count, options.repeat)
        is_success = run(sending)
    except SecretFormatError as error:
        text = f"{options.key}: {error}" if options.key else _why_unsigned(options.provider, adapter)
        raise OperatorError(text) from error
    if not is_success:
        raise typer.Exit(1)


def _secret_of(configured: ProviderConfig, generated: DevSecrets, key: Path | None) -> str | None:
    """Return what the provider signs with: ``key``, a generated private key, or the configured secret."""
    if key is None:
        return generated.signing_secret_of(configured.secret_texts()[0]) if configured.secrets else None
    try:
        return key.read_text("utf-8", "replace").strip()
    except OSError as error:
        raise OperatorError(f"{key}: {error.strerror}") from error


def _forwarded(server: ServerConfig, target: str) -> dict[str, str]:
    """Return the headers in which a trusted proxy passes on the URL ``target``; empty if none is configured."""
    address = urlsplit(target)
    if not server.trusted_proxies:
        return {}
    if server.forwarded == "forwarded":
        return {"Forwarded": f'for=127.0.0.1;proto={address.scheme};host="{address.netloc}"'}
    return {"X-Forwarded-Proto": address.scheme, "X-Forwarded-Host": address.netloc}


def _why_unsigned(provider: str, adapter: Adapter) -> str:
    if adapter.spec.enrols:
        return f"{provider} has no secret yet; send its endpoint verification with --handshake"
    how = (
        "publishes its verification keys"
        if adapter.spec.signature.fetches_keys
        else "signs with a private key"
    )
    return (
        f"{provider} {how}, so its signatures cannot be simulated with the configured secret; let `gateway dev` generate "
        "a key pair for an unset variable in `secrets`, or configure a public key of your own and pass its private key "
        "with --key"
    )


def _tampering(text: str | None) -> Tampering | None:
    for tampering in get_args(Tampering):
        if text == tampering:
            return text  # type: ignore[return-value]
    if text is None:
        return None
    raise typer.BadParameter(
        f"{text!r} is not supported; use {', '.join(get_args(Tampering))}",
        param_hint="--tamper",
    )


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
        response = await _post(client, request)
        if tampering == "replay":
            return _check_repetition(response, await _post(client, request), spec)
    return _report(is_expected=response.status_code == _INVALID_SIGNATURE, expected="401")


def _check_repetition(first: httpx.Response, second: httpx.Response, spec: AdapterSpec) -> bool:
    """Return whether the second response is that to a duplicate, as far as the response shows it."""
    are_successes = first.is_success and second.is_success
    if spec.equal_events and spec.equal_events.meant:
        typer.echo("Some event types of this provider repeat without ids, so both requests count as events.")
    elif spec.success:
        typer.echo(
            "This provider requires the same response every time; see the gateway's log for the outcome."
        )
    else:
        is_duplicate = second.is_success and second.json().get("status") == "duplicate"
        return _report(
            is_expected=are_successes and is_duplicate, expected="a duplicate as the second response"
        )
    return _report(is_expected=are_successes, expected="success for both requests")


def _handshakes(
    adapter: Adapter, configured: ProviderConfig, secret: str | None, target: str
) -> list[HandshakeRequest]:
    """Return a request for each handshake of the adapter."""
    if not adapter.spec.handshakes:
        raise OperatorError(f"{adapter.name} has no endpoint verification handshake")
    token, url = configured.handshake_token_text(), configured.public_url or target
    return [
        make_handshake(adapter, spec, secret, token, url, time.time(), configured.parameters)
        for spec in adapter.spec.handshakes
    ]


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


def _report(*, is_expected: bool, expected: str) -> bool:
    typer.echo("As expected." if is_expected else f"NOT as expected: this should have returned {expected}.")
    return is_expected


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
