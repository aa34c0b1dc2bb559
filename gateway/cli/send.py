"""``gateway send``."""

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
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.adapters.adapter import Adapter
from gateway.adapters.spec import AdapterSpec
from gateway.cli.common import find_provider, load_with_dev_secrets, local_url, run
from gateway.cli.dev_secrets import DevSecrets
from gateway.config.models import ProviderConfig, ServerConfig
from gateway.config.resolve import adapter_of
from gateway.devtools.handshakes import HandshakeRequest, make_handshake
from gateway.devtools.samples import Sample, load_sample, sample_of
from gateway.devtools.simulator import SignedRequest, Simulator, Tampering
from gateway.errors import OperatorError
from gateway.observability.terminal import one_line, printable
from gateway.signatures.secrets import SecretFormatError

_SENDERS = 32
_PATIENCE = 15.0
_REFUSED = 401


@dataclass
class Tally:
    """What came back.

    Attributes:
        answers: how often which status and word came.
        seconds: how long each answer took.
        failures: why requests got no answer, and how often.
    """

    answers: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def is_success(self) -> bool:
        """Whether every request was answered with 2xx."""
        return not self.failures and all(answer.startswith("2") for answer in self.answers)


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
    """Send and show what came back."""
    tampering = _tampering(tamper)
    if handshake and (tampering or event or file or count * repeat > 1):
        raise typer.BadParameter("goes without an event", param_hint="--handshake")
    if tampering and count > 1:
        raise typer.BadParameter("spoils one event; leave --count out", param_hint="--tamper")
    config, made = load_with_dev_secrets(path)
    configured = find_provider(made.completed(config), path, provider)
    adapter = adapter_of(configured)
    target = url or f"{local_url(config.server.bind[0])}/webhooks/{provider}"
    secret = _secret_of(configured, made, key)
    needs_proxy = adapter.spec.needs_url and not configured.public_url
    told = _forwarded(config.server, target) if needs_proxy else {}
    try:
        if handshake:
            greetings = [
                replace(greeting, headers=greeting.headers | told)
                for greeting in _greetings(adapter, configured, secret, target)
            ]
            sending = _send_handshakes(greetings, target)
        elif secret is None:
            raise OperatorError(_without_secret(provider, adapter))
        else:
            sample = _read_file(adapter, file, event) if file else load_sample(adapter, event)
            sample = replace(sample, headers=sample.headers | told)
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
        raise OperatorError(f"{key}: {error}" if key else _without_secret(provider, adapter)) from error
    if not is_success:
        raise typer.Exit(1)


def _secret_of(configured: ProviderConfig, made: DevSecrets, key: Path | None) -> str | None:
    """What the sender signs with; of a sender with a pair of keys the public one where nothing else is known."""
    if key is None:
        return made.sender_of(configured.secret_texts()[0]) if configured.secrets else None
    try:
        return key.read_text("utf-8", "replace").strip()
    except OSError as error:
        raise OperatorError(f"{key}: {error.strerror}") from error


def _forwarded(server: ServerConfig, target: str) -> dict[str, str]:
    """What a trusted proxy would tell of the address ``target``; empty where none is configured."""
    address = urlsplit(target)
    if not server.trusted_proxies:
        return {}
    if server.forwarded == "forwarded":
        return {"Forwarded": f'for=127.0.0.1;proto={address.scheme};host="{address.netloc}"'}
    return {"X-Forwarded-Proto": address.scheme, "X-Forwarded-Host": address.netloc}


def _without_secret(provider: str, adapter: Adapter) -> str:
    if adapter.spec.enrols:
        return f"{provider} has no secret yet; try --handshake"
    how = (
        "publishes the keys that it is verified with"
        if adapter.spec.signature.fetches_keys
        else "has a private key"
    )
    return (
        f"the sender of {provider} {how}, and nobody else can sign as it does; let `gateway dev` make a pair of keys "
        "for an unset variable in `secrets`, or put a public key of yours there and name the private one with --key"
    )


def _tampering(text: str | None) -> Tampering | None:
    for tampering in get_args(Tampering):
        if text == tampering:
            return text  # type: ignore[return-value]
    if text is None:
        return None
    raise typer.BadParameter(
        f"{text!r} is not a way to spoil an event; use {', '.join(get_args(Tampering))}",
        param_hint="--tamper",
    )


def _read_file(adapter: Adapter, file: Path, event: str | None) -> Sample:
    try:
        return sample_of(adapter, event or file.stem, file.read_bytes())
    except OSError as error:
        raise OperatorError(f"{file}: {error.strerror}") from error


async def _send_one(request: SignedRequest) -> bool:
    async with httpx.AsyncClient(timeout=_PATIENCE, trust_env=False) as client:
        return (await _post(client, request)).is_success


async def _send_tampered(simulator: Simulator, tampering: Tampering, spec: AdapterSpec) -> bool:
    request = simulator.tampered(tampering, time.time())
    async with httpx.AsyncClient(timeout=_PATIENCE, trust_env=False) as client:
        answer = await _post(client, request)
        if tampering == "replay":
            return _judge_repetition(answer, await _post(client, request), spec)
    return _judge(is_right=answer.status_code == _REFUSED, expected="a refusal")


def _judge_repetition(first: httpx.Response, second: httpx.Response, spec: AdapterSpec) -> bool:
    """Whether a repetition was answered as such, where that can be seen."""
    are_successes = first.is_success and second.is_success
    if spec.equal_events and spec.equal_events.meant:
        typer.echo("Equal events of some types are different ones, so that both count.")
    elif spec.success:
        typer.echo("Its sender is to get the same answer each time; the gateway's log has the outcome.")
    else:
        is_duplicate = second.is_success and second.json().get("status") == "duplicate"
        return _judge(is_right=are_successes and is_duplicate, expected="the second one to be a duplicate")
    return _judge(is_right=are_successes, expected="success for both")


def _greetings(
    adapter: Adapter, configured: ProviderConfig, secret: str | None, target: str
) -> list[HandshakeRequest]:
    """All handshakes of a sender."""
    if not adapter.spec.handshakes:
        raise OperatorError(f"{adapter.name} has no handshake")
    token, url = configured.handshake_token_text(), configured.public_url or target
    return [
        make_handshake(adapter, spec, secret, token, url, time.time(), configured.parameters)
        for spec in adapter.spec.handshakes
    ]


async def _send_handshakes(greetings: list[HandshakeRequest], target: str) -> bool:
    async with httpx.AsyncClient(timeout=_PATIENCE, trust_env=False) as client:
        answers = []
        for greeting in greetings:
            url = f"{target}?{greeting.query}" if greeting.query else target
            answer = await _ask(client, greeting.method, url, greeting.headers, greeting.body)
            for name, value in answer.headers.items():
                typer.echo(f"  {name}: {value}")
            answers.append(answer)
    return all(answer.is_success for answer in answers)


def _judge(*, is_right: bool, expected: str) -> bool:
    typer.echo("As it should be." if is_right else f"NOT as it should be: this needed {expected}.")
    return is_right


async def _post(client: httpx.AsyncClient, request: SignedRequest) -> httpx.Response:
    return await _ask(client, "POST", request.url, request.headers, request.body)


async def _ask(
    client: httpx.AsyncClient, method: str, target: str, headers: dict[str, str], body: bytes
) -> httpx.Response:
    typer.echo(printable(f"{method} {target}"))
    for name, value in headers.items():
        typer.echo(printable(f"  {name}: {value}"))
    typer.echo(f"  ({len(body)} bytes)")
    try:
        answer = await client.request(method, target, content=body, headers=headers)
    except httpx.HTTPError as error:
        raise OperatorError(_explain(error, target)) from error
    typer.echo(printable(f"{answer.status_code} {answer.text}", keep="\n"))
    return answer


def _explain(error: httpx.HTTPError, target: str) -> str:
    if isinstance(error, httpx.ConnectError):
        return f"nobody listens at {target}; start `gateway dev` or `gateway serve`, or name another address with --url"
    return f"no answer from {target}: {str(error) or type(error).__name__}"


async def _send_many(simulator: Simulator, count: int, repeat: int) -> bool:
    tally = Tally()
    progress = Progress(
        TextColumn("sending"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    started_at = time.perf_counter()
    with progress:
        task = progress.add_task("sending", total=count * repeat)
        await _send_all(simulator, count, repeat, tally, lambda: progress.advance(task))
    elapsed = time.perf_counter() - started_at
    for answer, times in tally.answers.most_common():
        typer.echo(f"{times:>8}  {one_line(answer)}")
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
        # A client each: one pool of many connections looks through all of them at every request, which
        # takes longer than the gateway does.
        async with httpx.AsyncClient(timeout=_PATIENCE, verify=tls, trust_env=False) as client:
            for _ in remaining:
                request = simulator.make(time.time())
                for _ in range(repeat):
                    await _count_one(client, request, tally)
                    advance()

    async with asyncio.TaskGroup() as senders:
        for _ in range(min(_SENDERS, count)):
            senders.create_task(keep_sending())


async def _count_one(client: httpx.AsyncClient, request: SignedRequest, tally: Tally) -> None:
    started_at = time.perf_counter()
    try:
        answer = await client.post(request.url, content=request.body, headers=request.headers)
    except httpx.HTTPError as error:
        tally.failures[_explain(error, request.url)] += 1
        return
    tally.seconds.append(time.perf_counter() - started_at)
    tally.answers[f"{answer.status_code} {_word(answer)}"] += 1


def _word(answer: httpx.Response) -> str:
    try:
        content = answer.json()
    except ValueError:
        return ""
    return str(content.get("reason") or content.get("status")) if isinstance(content, dict) else ""


def _latency(seconds: list[float]) -> str:
    if len(seconds) < 2:
        return ""
    cuts = quantiles(seconds, n=100)
    return f"; half of them answered within {cuts[49] * 1000:.1f} ms, 99 % within {cuts[98] * 1000:.1f} ms"
