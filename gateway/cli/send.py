"""``gateway send``: send signed requests as a provider does.

The module is long because it sends in four ways: one event, a tampered one, a handshake, or many events at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import quantiles
from typing import get_args
from urllib.parse import urlsplit

import httpx
import typer

from gateway.adapters.adapter import Adapter
from gateway.adapters.spec import AdapterSpec
from gateway.cli.common import find_provider, load_with_dev_secrets, local_url, run
from gateway.cli.dev_secrets import DevSecrets
from gateway.cli.progress import progress_bar
from gateway.config.loader import adapter_of
from gateway.config.models import ProviderConfig, ServerConfig
from gateway.devtools.handshakes import HandshakeRequest, make_handshake
from gateway.devtools.samples import Sample, load_sample, sample_of
from gateway.devtools.simulator import SignedRequest, Simulator, Tampering
from gateway.errors import OperatorError
from gateway.observability.terminal import one_line, printable
from gateway.signatures.secrets import SecretFormatError

_MAX_CONNECTIONS = 32
"""Connections over which many events are sent."""

_TIMEOUT = 15.0
"""Seconds to wait for a response."""

_INVALID_SIGNATURE = 401
"""The status of a response to a request that fails verification."""


@dataclass
class Tally:
    """The responses to many requests.

    Attributes:
        responses: The number of responses with each status and outcome.
        seconds: The duration of each request.
        failures: The number of requests without a response, by cause.
    """

    responses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def is_success(self) -> bool:
        """Return whether every response was 2xx."""
        return not self.failures and all(response.startswith("2") for response in self.responses)


def run_send(
    path: Path,
    provider: str,
    event: str | None,
    file: Path | None,
    tamper: str | None,
    count: int,
    repeat: int,
    url: str | None,
    key: Path | None,
    *,
    handshake: bool,
) -> None:
    """Send what the command line asks for, and print the responses."""
    tampering = _tampering(tamper)
    if handshake and (tampering or event or file or count * repeat > 1):
        raise typer.BadParameter(
            "cannot be combined with an event, --file, --tamper, --count or --repeat",
            param_hint="--handshake",
        )
    if tampering and count > 1:
        raise typer.BadParameter("cannot be combined with --count", param_hint="--tamper")
    config, generated = load_with_dev_secrets(path)
    configured = find_provider(generated.with_kept(config), path, provider)
    adapter = adapter_of(configured)
    target = url or f"{local_url(config.server.bind[0])}/webhooks/{provider}"
    secret = _secret_of(configured, generated, key)
    is_url_signed = adapter.spec.needs_url and not configured.public_url
    forwarded = _forwarded(config.server, target) if is_url_signed else {}
    try:
        if handshake:
            handshakes = [
                replace(each, headers=each.headers | forwarded)
                for each in _handshakes(adapter, configured, secret, target)
            ]
            sending = _send_handshakes(handshakes, target)
        elif secret is None:
            raise OperatorError(_why_unsigned(provider, adapter))
        else:
            sample = _read_file(adapter, file, event) if file else load_sample(adapter, event)
            sample = replace(sample, headers=sample.headers | forwarded)
            simulator = Simulator(
                adapter, secret, target, sample, configured.public_url, configured.parameters
            )
            if tampering:
                sending = _send_tampered(simulator, tampering, adapter.spec)
            elif count * repeat == 1:
                sending = _send_one(simulator.make(time.time(), is_fresh=file is None))
            else:
                sending = _send_many(simulator, count, repeat)
        is_success = run(sending)
    except SecretFormatError as error:
        raise OperatorError(f"{key}: {error}" if key else _why_unsigned(provider, adapter)) from error
    if not is_success:
        raise typer.Exit(1)


def _secret_of(configured: ProviderConfig, generated: DevSecrets, key: Path | None) -> str | None:
    """Return what the provider signs with: ``key``, a generated private key, or the configured secret."""
    if key is None:
        return generated.sender_of(configured.secret_texts()[0]) if configured.secrets else None
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


def _read_file(adapter: Adapter, file: Path, event: str | None) -> Sample:
    try:
        return sample_of(adapter, event or file.stem, file.read_bytes())
    except OSError as error:
        raise OperatorError(f"{file}: {error.strerror}") from error


async def _send_one(request: SignedRequest) -> bool:
    async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
        return (await _post(client, request)).is_success


async def _send_tampered(simulator: Simulator, tampering: Tampering, spec: AdapterSpec) -> bool:
    request = simulator.tampered(tampering, time.time())
    async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
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
    async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
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
        raise OperatorError(_explain(error, target)) from error
    typer.echo(printable(f"{response.status_code} {response.text}", keep="\n"))
    return response


def _explain(error: httpx.HTTPError, target: str) -> str:
    if isinstance(error, httpx.ConnectError):
        return f"connection refused: {target}; start `gateway dev` or `gateway serve`, or pass another address with --url"
    return f"no response from {target}: {str(error) or type(error).__name__}"


async def _send_many(simulator: Simulator, count: int, repeat: int) -> bool:
    tally = Tally()
    started_at = time.perf_counter()
    with progress_bar("sending") as progress:
        task = progress.add_task("sending", total=count * repeat)
        await _send_all(simulator, count, repeat, tally, lambda: progress.advance(task))
    elapsed = time.perf_counter() - started_at
    for response, times in tally.responses.most_common():
        typer.echo(f"{times:>8}  {one_line(response)}")
    for failure, times in tally.failures.most_common():
        typer.echo(f"{times:>8}  {one_line(failure)}")
    typer.echo(
        f"{count * repeat} requests in {elapsed:.1f} s, {count * repeat / elapsed:.0f}/s{_latency(tally.seconds)}"
    )
    return tally.is_success


async def _send_all(
    simulator: Simulator, count: int, repeat: int, tally: Tally, advance: Callable[[], None]
) -> None:
    remaining = iter(range(count))
    tls = httpx.create_ssl_context()

    async def keep_sending() -> None:
        # One client per connection: a pool of many connections searches all of them for every request, which
        # takes longer than the gateway needs to respond.
        async with httpx.AsyncClient(timeout=_TIMEOUT, verify=tls, trust_env=False) as client:
            for _ in remaining:
                request = simulator.make(time.time())
                for _ in range(repeat):
                    await _count_one(client, request, tally)
                    advance()

    async with asyncio.TaskGroup() as connections:
        for _ in range(min(_MAX_CONNECTIONS, count)):
            connections.create_task(keep_sending())


async def _count_one(client: httpx.AsyncClient, request: SignedRequest, tally: Tally) -> None:
    started_at = time.perf_counter()
    try:
        response = await client.post(request.url, content=request.body, headers=request.headers)
    except httpx.HTTPError as error:
        tally.failures[_explain(error, request.url)] += 1
        return
    tally.seconds.append(time.perf_counter() - started_at)
    tally.responses[f"{response.status_code} {_outcome(response)}"] += 1


def _outcome(response: httpx.Response) -> str:
    try:
        content = response.json()
    except ValueError:
        return ""
    return str(content.get("reason") or content.get("status")) if isinstance(content, dict) else ""


def _latency(seconds: list[float]) -> str:
    if len(seconds) < 2:
        return ""
    cuts = quantiles(seconds, n=100)
    return f"; latency p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms"
