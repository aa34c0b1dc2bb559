"""What the configuration changes of the endpoints that are kept."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from gateway.outbound.models import Endpoint


def configured_changes(
    kept: Iterable[Endpoint], configured: Iterable[Endpoint]
) -> tuple[list[Endpoint], list[str]]:
    """Return the configured endpoints that are new or differ from those that are kept, and the ids of those that are gone.

    An endpoint and a secret that were kept before keep the moment when they were made.
    """
    known = {each.id: each for each in kept}
    wanted = {each.id: each for each in configured}
    dated = [_dated(each, known.get(each.id)) for each in wanted.values()]
    changed = [each for each in dated if each.id not in known or _content(each) != _content(known[each.id])]
    return changed, [each.id for each in known.values() if each.is_configured and each.id not in wanted]


def _dated(endpoint: Endpoint, known: Endpoint | None) -> Endpoint:
    if known is None:
        return endpoint
    made = {(secret.id, secret.value): secret.created_at for secret in known.secrets}
    secrets = tuple(
        replace(secret, created_at=made.get((secret.id, secret.value), secret.created_at))
        for secret in endpoint.secrets
    )
    return replace(endpoint, created_at=known.created_at, secrets=secrets)


def _content(endpoint: Endpoint) -> Endpoint:
    return replace(endpoint, changed_at=0.0, version=0)
