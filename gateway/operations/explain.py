"""Explain a refused request: one that the gateway has kept in memory, or one that was captured elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.config import Config, ProviderConfig
from gateway.config.resolve import adapter_of
from gateway.devtools.explain import Capture, Case, Explanation, explain
from gateway.errors import OperatorError
from gateway.journal.capture import CapturedRequest
from gateway.receive.called_address import signed_address
from gateway.signatures.request import Headers, RawRequest


def refusal_of(
    records: Iterable[CapturedRequest], *, entry: int | None = None, provider: str = ""
) -> CapturedRequest | None:
    """Return the kept request with the id of an entry, or the last one of a provider; None if it is kept no longer.

    Args:
        records: The kept requests, newest first.
        entry: The id of the entry; None for any.
        provider: The provider; empty for any.
    """
    for record in records:
        if entry in (None, record.entry) and provider in ("", record.provider):
            return record
    return None


def capture_of(record: CapturedRequest) -> Capture:
    """Return a kept request as :func:`explain_refusal` takes it.

    Raises:
        OperatorError: Its body was too large to be kept.
    """
    if record.body is None:
        raise OperatorError(
            f"its body of {record.size:,} bytes is too large to be kept; save the request where it is sent from, and use "
            "`gateway explain FILE`"
        )
    query = record.query.decode("latin-1")
    target = f"{record.path}?{query}" if query else record.path
    return Capture(record.method, record.url or target, Headers(record.headers), record.body)


def explain_refusal(
    config: Config, provider: str, capture: Capture, *, now: float, arrived_at: float | None = None
) -> Explanation:
    """Try the common mistakes on one request, with the secrets that the configuration has now.

    Raises:
        OperatorError: The configuration has no such provider.
    """
    if provider not in config.providers:
        raise OperatorError(f"the configuration has no provider {provider!r}")
    return explain(case_of(config, provider, capture), now, arrived_at)


def case_of(config: Config, name: str, capture: Capture) -> Case:
    """Return a captured request as the gateway sees it, with what it is verified with."""
    configured = config.providers[name]
    url, query = address_of(capture, configured)
    request = RawRequest(
        method=capture.method,
        path=capture.path,
        query=query,
        url=url,
        headers=capture.headers,
        body=capture.body,
    )
    other_secrets: dict[str, Sequence[str]] = {
        other: provider.secret_texts() for other, provider in config.providers.items() if other != name
    }
    return Case(
        adapter_of(configured), configured.secret_texts(), request, configured.parameters, other_secrets
    )


def address_of(capture: Capture, configured: ProviderConfig) -> tuple[str, bytes]:
    """Return the URL that the gateway takes for the one that the provider called, and its query."""
    if configured.public_url is None and "://" in capture.url:
        return capture.url, capture.query
    host = b"".join(capture.headers.all(b"host")[:1]).decode("latin-1")
    return signed_address(configured.public_url or f"http://{host}{capture.path}", capture.query)
