"""``gateway dev``: the gateway on one machine, with generated secrets, sample events and an example worker."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

import structlog
import typer

from gateway.app import Gateway
from gateway.backends import has_embedded_claims, has_embedded_queue, messaging_system_of
from gateway.cli.common import run
from gateway.cli.dev_config import choose_config, is_generated
from gateway.cli.dev_console import DevConsole, login_link
from gateway.cli.dev_lines import DevLines
from gateway.cli.dev_worker import run_example_worker
from gateway.cli.live import LiveLines
from gateway.cli.options import DEFAULT_CONFIG
from gateway.config import Config, ProviderConfig, load_config
from gateway.config.bind_addresses import local_url, split_bind
from gateway.config.dev_secrets import DevSecrets
from gateway.config.dev_session import DevSession
from gateway.config.discovery import BUNDLED_CONFIG, dev_secrets_path
from gateway.config.overrides import override_binds
from gateway.config.resolve import adapter_of
from gateway.errors import AddressInUse, OperatorError
from gateway.observability.console_log import console_processors
from gateway.observability.logs import configure_logs
from gateway.observability.tracing import tracing
from gateway.server import running


def run_dev(
    path: Path,
    providers: Sequence[str],
    bind: list[str] | None,
    admin_bind: list[str] | None,
    *,
    is_demo: bool,
    send_samples: bool,
) -> None:
    """Run the gateway and the example worker until Ctrl-C."""
    path, note = choose_config(path, providers, is_demo=is_demo)
    secrets = DevSecrets(dev_secrets_path(path))
    secrets.generate_for(path)
    config = override_binds(load_config(path, missing=secrets.get, is_local=True), bind, admin_bind)
    config = secrets.fill_in(config)
    secrets.save()
    lines = LiveLines()
    output = DevLines(lines)
    configure_logs("console", exception_messages=config.log.exception_messages)
    structlog.configure(
        processors=[output.take, *console_processors()],
        logger_factory=lambda *_: lines,  # so that no line is written into the counter
    )
    session = DevSession(path.absolute(), config.server.bind, os.getpid(), config.server.admin_bind)
    with (
        tracing(messaging_system_of(config), config.rabbitmq.exchange) as spans,
        session.announced(config.data_dir) as is_first,
    ):
        console = DevConsole(path, config, bind, admin_bind) if config.console.enabled else None
        gateway = Gateway(
            config,
            path.parent,
            counters=console.counters if console else None,
            readiness=console.readiness if console else None,
            spans=spans,
            captures=console.captures if console else None,
        )
        send = _send_command(path, is_found=is_first, has_bind=bool(bind))
        try:
            run(
                _dev(
                    gateway,
                    config,
                    secrets,
                    (send, note),
                    output,
                    console,
                    send_samples=send_samples,
                    is_demo=path == BUNDLED_CONFIG,
                )
            )
        except AddressInUse as error:
            raise OperatorError(_why_not(error, config)) from error


def _send_command(path: Path, *, is_found: bool, has_bind: bool) -> str:
    """Return the command that reaches this gateway from another terminal."""
    command = "{program} send {provider}"
    if path not in {DEFAULT_CONFIG, BUNDLED_CONFIG} and not (is_found and is_generated(path)):
        command += f" --config {shlex.quote(str(path))}"
    if has_bind and not is_found:
        command += " --url {address}/webhooks/{provider}"
    return command


def _why_not(error: AddressInUse, config: Config) -> str:
    """Say who has the address, as far as that is known, and how to take another."""
    running = DevSession.find(config.data_dir)
    owner = f"another `gateway dev` (process {running.pid})" if running else "another program"
    port = split_bind(error.bind)[1] + 10
    command = f'make run ARGS="--port {port}"' if "MAKELEVEL" in os.environ else f"gateway dev --port {port}"
    return f"{error.bind} is in use by {owner}. Take other ports: {command}"


async def _dev(
    gateway: Gateway,
    config: Config,
    secrets: DevSecrets,
    texts: tuple[str, str],
    output: DevLines,
    console: DevConsole | None,
    *,
    send_samples: bool,
    is_demo: bool,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with (
        console.lines_forwarded() if console else nullcontext(),
        running(gateway, config, console=console.keeper if console else None) as listening,
    ):
        address, admin = (local_url(each.removeprefix("http://")) for each in listening)
        config = _with_addresses(config, address)
        gateway.reload(config)
        page = await asyncio.to_thread(login_link, config, admin) if console else ""
        _print_banner(config, address, admin, page, secrets, *texts)
        worker = asyncio.create_task(
            run_example_worker(
                gateway,
                config,
                secrets,
                address,
                output,
                send_samples=send_samples,
                is_reporting=is_demo,
            )
        )
        stopped = asyncio.create_task(stop.wait())
        async with output.flushing():
            await asyncio.wait([worker, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not worker.done():
            worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker


def _with_addresses(config: Config, address: str) -> Config:
    """Set the public_url of each provider that signs it: here, no proxy is in front of the gateway."""
    providers = {
        name: provider
        if provider.public_url or not adapter_of(provider).spec.needs_url
        else provider.model_copy(update={"public_url": f"{address}/webhooks/{name}"})
        for name, provider in config.providers.items()
    }
    return config.model_copy(update={"providers": providers})


def _print_banner(
    config: Config, address: str, admin: str, page: str, secrets: DevSecrets, send: str, note: str
) -> None:
    dedupe = f"SQLite in {config.data_dir}" if has_embedded_claims(config) else "Redis"
    queue = f"a queue in {config.data_dir}" if has_embedded_queue(config) else "RabbitMQ"
    lines = [
        "",
        f"The gateway is running: deduplication in {dedupe}, events to {queue}.",
        *([note] if note else []),
        *([f"  console   {page}  (logs you in, once, within a minute)"] if page else []),
        *(f"  webhooks  {address}/webhooks/{name}" for name in config.providers),
        f"  metrics   {admin}/metrics",
    ]
    if secrets.used:
        lines.append(f"Generated secrets, for this machine only, saved in {secrets.path}:")
        lines += [f"  {name}={_first_line(value)}" for name, value in secrets.used.items()]
    for name, provider in config.providers.items():
        if secrets.is_generated(provider.secret_texts()[0]):
            lines += _notes(name, provider)
    program = _program()
    first, provider = next(iter(config.providers.items()))
    send = send.format(program=program, provider=first, address=address)
    tampering = "body" if adapter_of(provider).spec.signature.signed_places else "signature"
    lines += [
        "Try in another terminal:",
        f"  {send}",
        f"  {send} --tamper {tampering}",
        "Press Ctrl-C to stop.",
        "",
    ]
    typer.echo("\n".join(lines))


def _program() -> str:
    """Return how to call this program in another terminal."""
    if shutil.which("gateway"):
        return "gateway"
    return f"{sys.executable} -m gateway" if Path(sys.argv[0]).name == "__main__.py" else sys.argv[0]


def _first_line(secret: str) -> str:
    first, _, more = secret.partition("\n")
    return f"{first} …" if more else first


def _notes(name: str, provider: ProviderConfig) -> Iterator[str]:
    """Say how a provider with a generated secret differs from the real one."""
    adapter = adapter_of(provider)
    if adapter.spec.signature.fetches_keys:
        yield f"  {name} is verified with a generated key, for `send`; `serve` fetches the provider's own."
    elif provider.enrol:
        yield f"  {name} is verified with a generated secret, for `send`; the provider delivers its own in a handshake."
