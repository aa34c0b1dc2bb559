"""``gateway dev``: the whole gateway on one machine, with secrets, senders and a worker of its own."""

from __future__ import annotations

import asyncio
import base64
import os
import shlex
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import typer

from gateway.app import Gateway
from gateway.cli.runtime import BUNDLED_CONFIG, USUAL_CONFIG, dev_secrets_path, read_dev_secrets, run
from gateway.cli.serve import override_binds
from gateway.cli.tail import describe
from gateway.config import EMBEDDED, Config, load_config
from gateway.config.loader import adapter_of
from gateway.consumers import tail
from gateway.logs import configure_logs
from gateway.samples import load_sample, sample_names
from gateway.server import running
from gateway.simulator import Simulator

_KEY_BYTES = 24
_POLL_EVERY = 0.05
_TRY_AGAIN_AFTER = 1.0


def run_dev(path: Path, bind: str | None, admin_bind: str | None, *, send_samples: bool) -> None:
    """Run until Ctrl-C."""
    if not path.exists() and path == USUAL_CONFIG:
        path = BUNDLED_CONFIG
    secrets = _Secrets(dev_secrets_path(path))
    config = override_binds(load_config(path, missing=secrets.get), bind, admin_bind)
    secrets.keep()
    configure_logs("console")
    send = "{program} send {provider}"  # as it has to be typed to reach this gateway
    if path not in {USUAL_CONFIG, BUNDLED_CONFIG}:
        send += f" --config {shlex.quote(str(path))}"
    if bind is not None:
        send += " --url {address}/webhooks/{provider}"
    run(_dev(config, path.parent, secrets, send, send_samples=send_samples))


async def _dev(config: Config, folder: Path, secrets: _Secrets, send: str, *, send_samples: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    gateway = Gateway(config, folder)
    async with running(gateway, config) as (address, admin):
        _introduce(config, address, admin, secrets, send)
        work = asyncio.create_task(_work(gateway, config, address, send_samples=send_samples))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
        with suppress(asyncio.CancelledError):
            await work


async def _work(gateway: Gateway, config: Config, address: str, *, send_samples: bool) -> None:
    """The example worker: prints what arrives; at first it makes something arrive."""
    while not gateway.is_ready():  # real servers may still be starting; the log says what is missing
        await asyncio.sleep(_POLL_EVERY)
    is_first = send_samples
    while True:
        try:
            async with tail(config, "#") as events:
                if is_first:
                    is_first = False
                    await _send_samples(config, address)
                async for body in events:
                    typer.echo(f"worker got  {describe(body)}")
        except OSError as error:
            typer.echo(f"worker lost the broker, trying again: {error}")
            await asyncio.sleep(_TRY_AGAIN_AFTER)


async def _send_samples(config: Config, address: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for name, provider in config.providers.items():
            adapter = adapter_of(provider)
            if not (provider.secrets and sample_names(adapter)):
                continue
            url = f"{address}/webhooks/{name}"
            secret, sample = provider.secret_texts()[0], load_sample(adapter, None)
            request = Simulator(adapter, secret, url, sample, provider.public_url, provider.parameters).make(
                time.time()
            )
            await client.post(request.url, content=request.body, headers=request.headers)


def _introduce(config: Config, address: str, admin: str, secrets: _Secrets, send: str) -> None:
    claims = f"SQLite in {config.data_dir}" if config.redis.url == EMBEDDED else "Redis"
    queue = f"a queue in {config.data_dir}" if config.rabbitmq.url == EMBEDDED else "RabbitMQ"
    lines = [
        "",
        f"The gateway runs: claims in {claims}, events to {queue}.",
        *(f"  senders call  {address}/webhooks/{name}" for name in config.providers),
        f"  metrics       {admin}/metrics",
    ]
    if secrets.used:
        lines.append(f"Secrets made for you, for this machine only, kept in {secrets.path}:")
        lines += [f"  {name}={value}" for name, value in secrets.used.items()]
    program = "gateway" if shutil.which("gateway") else sys.argv[0]
    send = send.format(program=program, provider=next(iter(config.providers)), address=address)
    lines += [
        f"Try in another terminal:  {send}   or   {send} --tamper body",
        "Ctrl-C ends it.",
        "",
    ]
    typer.echo("\n".join(lines))


class _Secrets:
    """Throw-away secrets for the variables that the environment does not have.

    Attributes:
        path: where they are kept between runs, readable by their owner alone.
        used: those that the configuration asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.used: dict[str, str] = {}
        self._kept = read_dev_secrets(path)

    def get(self, name: str) -> str:
        """The secret for a variable, made when there is none."""
        made = "whsec_" + base64.b64encode(os.urandom(_KEY_BYTES)).decode()
        self.used[name] = self._kept.setdefault(name, made)
        return self.used[name]

    def keep(self) -> None:
        """Write them down."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch(mode=0o600)
        self.path.write_text("".join(f"{name}={value}\n" for name, value in self._kept.items()), "utf-8")
