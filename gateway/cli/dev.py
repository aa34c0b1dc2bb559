"""``gateway dev``: the whole gateway on one machine, with secrets, senders and a worker of its own."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import typer

from gateway.app import Gateway
from gateway.backends import has_embedded_claims, has_embedded_queue, messaging_system_of, open_tail
from gateway.cli.common import BUNDLED_CONFIG, USUAL_CONFIG, dev_secrets_path, local_url, run
from gateway.cli.dev_secrets import DevSecrets
from gateway.cli.serve import override_binds
from gateway.cli.tail import describe
from gateway.config import Config, ProviderConfig, load_config
from gateway.config.resolve import adapter_of
from gateway.devtools.samples import load_sample, sample_names
from gateway.devtools.simulator import Simulator
from gateway.observability.logs import configure_logs
from gateway.observability.terminal import one_line
from gateway.observability.tracing import tracing
from gateway.server import running
from gateway.signatures.secrets import SecretFormatError

_POLL_EVERY = 0.05
_TRY_AGAIN_AFTER = 1.0


def run_dev(path: Path, bind: list[str] | None, admin_bind: list[str] | None, *, send_samples: bool) -> None:
    """Run until Ctrl-C."""
    if not path.exists() and path == USUAL_CONFIG:
        path = BUNDLED_CONFIG
    secrets = DevSecrets(dev_secrets_path(path))
    secrets.make_for(path)
    config = override_binds(load_config(path, missing=secrets.get, is_local=True), bind, admin_bind)
    config = secrets.complete(config)
    secrets.keep()
    configure_logs("console")
    send = "{program} send {provider}"  # as it has to be typed to reach this gateway
    if path not in {USUAL_CONFIG, BUNDLED_CONFIG}:
        send += f" --config {shlex.quote(str(path))}"
    if bind:
        send += " --url {address}/webhooks/{provider}"
    with tracing(messaging_system_of(config), config.rabbitmq.exchange) as spans:
        gateway = Gateway(config, path.parent, spans=spans)
        run(_dev(gateway, config, secrets, send, send_samples=send_samples))


async def _dev(
    gateway: Gateway, config: Config, secrets: DevSecrets, send: str, *, send_samples: bool
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running(gateway, config) as listening:
        address, admin = (local_url(each.removeprefix("http://")) for each in listening)
        config = _with_addresses(config, address)
        gateway.reload(config)
        _introduce(config, address, admin, secrets, send)
        work = asyncio.create_task(_work(gateway, config, secrets, address, send_samples=send_samples))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
        with suppress(asyncio.CancelledError):
            await work


def _with_addresses(config: Config, address: str) -> Config:
    """The configuration with the address of each provider that signs it; here senders call the gateway itself."""
    providers = {
        name: provider
        if provider.public_url or not adapter_of(provider).spec.needs_url
        else provider.model_copy(update={"public_url": f"{address}/webhooks/{name}"})
        for name, provider in config.providers.items()
    }
    return config.model_copy(update={"providers": providers})


async def _work(
    gateway: Gateway, config: Config, secrets: DevSecrets, address: str, *, send_samples: bool
) -> None:
    """The example worker: prints what arrives; at first it makes something arrive."""
    while not gateway.is_ready():  # real servers may still be starting; the log says what is missing
        await asyncio.sleep(_POLL_EVERY)
    is_first = send_samples
    while True:
        try:
            async with open_tail(config, "#") as events:
                if is_first:
                    is_first = False
                    await _send_samples(config, secrets, address)
                async for body in events:
                    typer.echo(f"worker got  {describe(body)}")
        except OSError as error:
            typer.echo(f"worker lost the broker, trying again: {one_line(error)}")
            await asyncio.sleep(_TRY_AGAIN_AFTER)


async def _send_samples(config: Config, secrets: DevSecrets, address: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for name, provider in config.providers.items():
            adapter = adapter_of(provider)
            if not sample_names(adapter):
                continue
            secret, url = secrets.sender_of(provider.secret_texts()[0]), f"{address}/webhooks/{name}"
            sample = load_sample(adapter, None)
            sender = Simulator(adapter, secret, url, sample, provider.public_url, provider.parameters)
            try:
                request = sender.make(time.time())
            except SecretFormatError:
                typer.echo(f"no sample of {name}: its sender has the private key")
                continue
            await client.post(request.url, content=request.body, headers=request.headers)


def _introduce(config: Config, address: str, admin: str, secrets: DevSecrets, send: str) -> None:
    claims = f"SQLite in {config.data_dir}" if has_embedded_claims(config) else "Redis"
    queue = f"a queue in {config.data_dir}" if has_embedded_queue(config) else "RabbitMQ"
    lines = [
        "",
        f"The gateway runs: claims in {claims}, events to {queue}.",
        *(f"  senders call  {address}/webhooks/{name}" for name in config.providers),
        f"  metrics       {admin}/metrics",
    ]
    if secrets.used:
        lines.append(f"Secrets made for you, for this machine only, kept in {secrets.path}:")
        lines += [f"  {name}={_in_one_line(value)}" for name, value in secrets.used.items()]
    for name, provider in config.providers.items():
        if secrets.has_made(provider.secret_texts()[0]):
            lines += _notes(name, provider)
    program = "gateway" if shutil.which("gateway") else sys.argv[0]
    first, provider = next(iter(config.providers.items()))
    send = send.format(program=program, provider=first, address=address)
    tampering = "body" if adapter_of(provider).spec.signature.signed_places else "signature"
    lines += [
        f"Try in another terminal:  {send}   or   {send} --tamper {tampering}",
        "Ctrl-C ends it.",
        "",
    ]
    typer.echo("\n".join(lines))


def _in_one_line(secret: str) -> str:
    first, _, more = secret.partition("\n")
    return f"{first} …" if more else first


def _notes(name: str, provider: ProviderConfig) -> Iterator[str]:
    """What is not as it will be with the real sender of a provider whose secret was made."""
    adapter = adapter_of(provider)
    if adapter.spec.signature.fetches_keys:
        yield f"  {name} is verified with a key made here, for `send`; `serve` fetches its sender's own."
    elif provider.enrol:
        yield f"  {name} is verified with a secret made here, for `send`; its sender will tell its own in a handshake."
