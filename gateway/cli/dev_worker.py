"""The example worker of ``gateway dev``: it prints each event, and in the demo tells the journal so."""

from __future__ import annotations

import asyncio
import math
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import typer

from gateway.app import Gateway
from gateway.backends import open_reports, open_tail
from gateway.cli.dev_lines import DevLines
from gateway.config import Config
from gateway.config.dev_secrets import DevSecrets
from gateway.config.resolve import adapter_of
from gateway.devtools.samples import load_sample, sample_names
from gateway.devtools.simulator import Simulator
from gateway.events.strict_json import load_event
from gateway.journal.entry import MAX_DETAIL, MAX_TEXT, Entry, Kind, cut
from gateway.journal.reports.sender import Reports
from gateway.observability.terminal import one_line
from gateway.signatures.secrets import SecretFormatError
from gateway.transport.readiness import wait_ready
from gateway.transport.topic_patterns import key_segment

EXAMPLE_WORKER = "example-worker"
"""The name of the example worker in the journal, where workers are named after their queues."""

_RECONNECT_DELAY = 1.0
"""Seconds after which the example worker reconnects to the broker."""


async def run_example_worker(
    gateway: Gateway,
    config: Config,
    secrets: DevSecrets,
    address: str,
    output: DevLines,
    *,
    send_samples: bool,
    is_reporting: bool,
) -> None:
    """Print events as they are published, after sending one sample per provider.

    Args:
        gateway: The gateway.
        config: Its configuration.
        secrets: The secrets that samples are signed with.
        address: The gateway's own URL.
        output: Prints the events.
        send_samples: Whether to send samples.
        is_reporting: Whether the journal learns of it. In a project the workers of the project are what counts.
    """
    await wait_ready(gateway.is_ready, math.inf)  # real servers may still be starting; the log names them
    is_first, reported = send_samples, ""
    async with _reports(config if is_reporting else None) as reports:
        while True:
            try:
                async with open_tail(config, "#") as events:
                    if is_first:
                        is_first = False
                        await _send_samples(config, secrets, address)
                    async for body in events:
                        started_at = time.perf_counter()
                        output.on_event(body)
                        if reports is not None:
                            _report(reports, body, time.perf_counter() - started_at)
                        reported = ""
            except (OSError, sqlite3.Error) as error:  # the disk is full, or the broker is away
                task = asyncio.current_task()
                if task and task.cancelling():  # leaving the queue failed as well, and hid the cancellation
                    return
                if reported != str(error):
                    reported = str(error)
                    typer.echo(f"example worker: cannot read the queue, retrying: {one_line(error)}")
                await asyncio.sleep(_RECONNECT_DELAY)


@asynccontextmanager
async def _reports(config: Config | None) -> AsyncIterator[Reports | None]:
    reports = open_reports(config) if config else None
    if reports is None:
        yield None
        return
    await reports.start()
    try:
        yield reports
    finally:
        await reports.stop()


def _report(reports: Reports, body: bytes, seconds: float) -> None:
    event = load_event(body)
    if not event:
        return

    def text(name: str, limit: int = MAX_TEXT) -> str:
        return cut(str(event.get(name) or ""), limit)

    reports.send(
        Entry(
            reports.next_id(),
            Kind.HANDLED,
            "handled",
            provider=text("provider"),
            type=key_segment(text("eventtype")),
            event_id=text("id"),
            subject=text("subject"),
            account=text("account"),
            queue=EXAMPLE_WORKER,
            gateway=reports.gateway,
            actor=f"{reports.gateway}:{os.getpid()}",
            ms=int(seconds * 10_000) / 10,
            attempt=1,
            summary=text("summary", MAX_DETAIL),
            detail="printed",
            trace=text("traceparent")[3:35],
        )
    )


async def _send_samples(config: Config, secrets: DevSecrets, address: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for name, provider in config.providers.items():
            adapter = adapter_of(provider)
            if not sample_names(adapter):
                continue
            secret, url = secrets.signing_secret_of(provider.secret_texts()[0]), f"{address}/webhooks/{name}"
            sample = load_sample(adapter, None)
            simulator = Simulator(adapter, secret, url, sample, provider.public_url, provider.parameters)
            try:
                request = simulator.make(time.time())
            except SecretFormatError:
                typer.echo(f"no sample sent for {name}: it needs the provider's private key")
                continue
            await client.post(request.url, content=request.body, headers=request.headers)
