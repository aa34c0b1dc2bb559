"""The providers, and one of them: rates, refusals by reason, latency, ages, silence, and its secrets with a verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.charts import Bars, Lines, bars, lines
from gateway.console.pages.site import Site
from gateway.console.pages.wording import GROUPS, grouped
from gateway.operations.providers import Chart, ProviderHealth, all_providers, provider_health
from gateway.operations.secrets import secret_evidence

WINDOWS: Mapping[str, float] = {"1h": 3600.0, "24h": 86_400.0, "7d": 604_800.0, "14d": 1_209_600.0}
"""The windows to choose from, in seconds."""

_VERDICTS = {
    "in_use": ("good", "in use"),
    "quiet": ("warn", "quiet"),
    "safe_to_remove": ("info", "safe to remove"),
    "never_used": ("quiet", "never used"),
}


def routes(site: Site) -> list[Route]:
    """Return the routes of the two pages."""

    async def show_all(request: Request) -> Response:
        found = await providers_of(site, request)
        return site.render(
            request,
            "providers.html",
            providers=found,
            sparks={each.provider: totals(each.chart) for each in found},
        )

    async def show_one(request: Request) -> Response:
        services, now = site.services, time.time()
        config, name = services.config(), request.path_params["name"]
        if name not in config.providers:
            return site.render(
                request,
                "trouble.html",
                404,
                title="No such provider",
                reason=f"The configuration has no provider {name!r}.",
            )
        chosen = request.query_params.get("window", "24h")
        window = WINDOWS.get(chosen, WINDOWS["24h"])
        health = await site.ask(
            request, "journal", provider_health, config, services.journal, name, now=now, window=window
        )
        secrets = await site.ask(
            request, "journal", secret_evidence, config, services.journal, now=now, provider=name
        )
        return site.render(
            request,
            "provider.html",
            health=health,
            config=config,
            chart=_traffic(health.chart, name),
            latency=_latency(health.latency),
            secrets=secrets,
            verdicts=_VERDICTS,
            windows=WINDOWS,
            window=chosen if chosen in WINDOWS else "24h",
        )

    return [
        Route("/providers", site.page(show_all)),
        Route("/providers/{name}", site.page(show_one)),
    ]


async def providers_of(site: Site, request: Request) -> Sequence[ProviderHealth]:
    """Return how each provider was a few seconds ago, those with problems first.

    Raises:
        OSError: The journal cannot be read.
    """
    config, journal = site.services.config(), site.services.journal

    async def ask() -> Sequence[ProviderHealth]:
        return await site.ask(request, "journal", all_providers, config, journal, now=time.time())

    return await site.remembered.get(("providers", id(config), id(journal)), ask)


def totals(chart: Chart) -> list[float]:
    """Return all requests by span."""
    return [
        sum(value or 0 for value in values)
        for values in zip(*(each.values for each in chart.series), strict=True)
    ]


def _traffic(chart: Chart, provider: str) -> Bars:
    length = max((len(each.values) for each in chart.series), default=0)
    spans = []
    for index in range(length):
        at = chart.begins_at + index * chart.step
        counts = {each.name: each.values[index] or 0.0 for each in chart.series}
        href = f"/requests?q=provider:{provider}+since:{int(at)}+until:{int(at + chart.step)}"
        spans.append((at, at + chart.step, grouped(counts), href))
    return bars(spans, GROUPS)


def _latency(chart: Chart) -> Lines:
    tones = {"p50": "good", "p99": "info"}
    series = [(each.name, tones.get(each.name, "quiet"), each.values) for each in chart.series]
    return lines(series, chart.begins_at, chart.step)
