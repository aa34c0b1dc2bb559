"""Resolve settings to run-time values: the adapter, limits and schemas of a provider.

This is the only module that combines a provider's block with the defaults of its adapter and of the server.
"""

from __future__ import annotations

from pathlib import Path

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.adapters.spec import AdapterSpec, DeliverySpec
from gateway.config.models import Config, ProviderConfig
from gateway.events.schemas import AdapterSchemas, Catalogue, load_file
from gateway.signatures.schemes.canonical_json import MAX_BODY as MAX_REWRITTEN_BODY

_NETWORK_HEADROOM = 0.5
"""Seconds of a provider's timeout that are reserved for the network, so that it still receives the response."""


def adapter_of(provider: ProviderConfig) -> Adapter:
    """Build the adapter of a provider, with the settings that override its specification.

    Raises:
        KeyError: No adapter has the configured name.
        ValueError: The settings contradict each other or the adapter.
    """
    overrides = {
        name: getattr(provider, name)
        for name in DeliverySpec.model_fields
        if name in provider.model_fields_set
    }
    if provider.adapter == registry.GENERIC:
        if provider.tolerance is not None:
            raise ValueError("tolerance is for adapters; write it under signature.timestamp")
        return Adapter(
            registry.GENERIC,
            AdapterSpec(signature=provider.signature, any_2xx=True, **overrides),  # type: ignore[arg-type]
        )
    adapter = registry.load(provider.adapter)
    if provider.summary:
        overrides["summary"] = {**(adapter.spec.summary or {}), **provider.summary}
    if provider.tolerance is not None:
        overrides["signature"] = adapter.spec.signature.with_tolerance(provider.tolerance)
    if not overrides:
        return adapter
    return Adapter(adapter.name, adapter.spec.model_copy(update=overrides), adapter.family)


def max_body_of(config: Config, provider: ProviderConfig, adapter: Adapter) -> int:
    """Return the largest body accepted from a provider, in bytes.

    The provider's own ``max_body`` wins, then ``server.max_body`` where the file sets it, then the larger of its default and
    the size that the adapter documents. No body may exceed ``server.max_buffered``, nor the limit for bodies that are
    rewritten before they are verified.
    """
    server = config.server
    limit = provider.max_body
    if limit is None:
        is_set = "max_body" in server.model_fields_set
        limit = server.max_body if is_set else max(server.max_body, adapter.spec.max_body or 0)
    return min(limit, server.max_buffered, MAX_REWRITTEN_BODY if adapter.spec.rewrites_json else limit)


def deadline_of(config: Config, adapter: Adapter) -> float:
    """Return the seconds for a whole request.

    It is ``server.deadline``, or less if the provider times out earlier.
    """
    deadline, patience = config.server.deadline, adapter.spec.patience
    return min(deadline, max(patience - _NETWORK_HEADROOM, patience / 2)) if patience else deadline


def retention_of(config: Config, provider: ProviderConfig, adapter: Adapter) -> float:
    """Return the seconds for which events are remembered: by default as long as they are retried."""
    return provider.dedupe.retention or max(config.dedupe.retention, adapter.spec.retry_horizon or 0.0)


def max_retention_of(config: Config) -> float:
    """Return the seconds for which the events of some provider are remembered, at most."""
    providers = config.providers.values()
    own = [retention_of(config, provider, adapter_of(provider)) for provider in providers]
    return max([config.dedupe.retention, *own])


def type_prefix_of(name: str, provider: ProviderConfig) -> str:
    """Return the beginning of the CloudEvents ``type``: that of the adapter, or for a provider of one's own its name."""
    own = name if provider.adapter == registry.GENERIC else provider.adapter
    return provider.type_prefix or f"com.{own}"


def enrolled_folder(config: Config) -> Path:
    """Return the folder of the secrets that arrived in handshakes, one file a provider."""
    return config.data_dir / "enrolled"


def schemas_of(
    provider: ProviderConfig, adapter: Adapter, folder: Path, catalogue: Catalogue
) -> AdapterSchemas:
    """Return the schemas of a provider's events: its own file, or those bundled with the adapter.

    Args:
        provider: The provider's block of the configuration.
        adapter: Its adapter.
        folder: The folder of the configuration file, which ``schema`` is relative to.
        catalogue: The bundled schemas.

    Raises:
        SchemaError: The provider's own schema cannot be used.
    """
    if provider.schema_file:
        return load_file(folder / provider.schema_file)
    return catalogue.of_adapter(adapter.family)
