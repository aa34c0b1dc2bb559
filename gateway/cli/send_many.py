"""Sending many events at once, for ``gateway send --count``."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import quantiles

import httpx
import typer

from gateway.cli.progress import progress_bar
from gateway.devtools.simulator import SignedRequest, Simulator
from gateway.observability.terminal import one_line
from gateway.operations.test_events import TIMEOUT, explain_failure, outcome_of

_MAX_CONNECTIONS = 32
"""Connections over which the events are sent."""


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


async def send_many(simulator: Simulator, count: int, repeat: int) -> bool:
    """Send ``count`` events ``repeat`` times each, print a summary, and return whether all responses were 2xx."""
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
        async with httpx.AsyncClient(timeout=TIMEOUT, verify=tls, trust_env=False) as client:
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
        tally.failures[explain_failure(error, request.url)] += 1
        return
    tally.seconds.append(time.perf_counter() - started_at)
    tally.responses[f"{response.status_code} {outcome_of(response)}"] += 1


def _latency(seconds: list[float]) -> str:
    if len(seconds) < 2:
        return ""
    cuts = quantiles(seconds, n=100)
    return f"; latency p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms"
