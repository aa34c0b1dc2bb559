"""The names of providers, as they write them."""

from __future__ import annotations

from collections.abc import Callable

from gateway.adapters import registry
from gateway.config import Config
from gateway.config.resolve import adapter_of


def title_of(config: Config, provider: str) -> str:
    """Return the name of a provider; its key if it has no other, as one of the operator's own."""
    configured = config.providers.get(provider)
    if configured is None or configured.adapter == registry.GENERIC:
        return provider
    return adapter_of(configured).spec.title or provider


def title_reader(config: Config) -> Callable[[str], str]:
    """Return a function that returns the names of providers, and reads each adapter once."""
    known: dict[str, str] = {}

    def read(provider: str) -> str:
        if provider not in known:
            known[provider] = title_of(config, provider)
        return known[provider]

    return read
