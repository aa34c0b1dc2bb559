"""Secrets of endpoints: made, brought along, rotated, ended. A secret is in the answer that makes it, and nowhere else."""

from __future__ import annotations

import secrets

import msgspec

from gateway.adapters import registry
from gateway.config import Config
from gateway.operations.endpoint_models import SecretView, secret_view
from gateway.operations.endpoint_settings import check
from gateway.operations.outbound import Refused, find_endpoint, new_id
from gateway.outbound.models import Endpoint, Format, Secret, SignatureKind
from gateway.outbound.secrets import check_secret, make_seed
from gateway.outbound.secrets import make_secret as make_standard_secret
from gateway.outbound.store import Conflict, Store
from gateway.signatures.secrets import SecretFormatError

MAX_SECRETS = 5
"""Secrets that sign at a time."""

MAX_OVERLAP = 7 * 86_400.0
"""Seconds for which a secret may sign beside the one that follows it, at most."""

DEFAULT_OVERLAP = 86_400.0
"""Seconds for which it does so, unless somebody says otherwise."""

_SECRET_SIZE = 32
"""Bytes of a secret that is written in hexadecimal."""


class NewSecret(msgspec.Struct, frozen=True):
    """A secret that was just made or brought along.

    Attributes:
        id: Names it.
        secret: The secret; it cannot be had again.
    """

    id: str
    secret: str


def make_secret(endpoint: Endpoint) -> str:
    """Return a new secret that fits how an endpoint signs."""
    if endpoint.format is Format.ORIGINAL and endpoint.sign_as in set(registry.names()) - {registry.GENERIC}:
        return registry.load(endpoint.sign_as).spec.signature.make_secret().sender
    if endpoint.format is Format.ORIGINAL or endpoint.signature is SignatureKind.TIMESTAMP:
        return secrets.token_hex(_SECRET_SIZE)
    return make_standard_secret()


def checked_secret(endpoint: Endpoint, text: str) -> str:
    """Return a secret that somebody brought along.

    Raises:
        Refused: It cannot be used.
    """
    if endpoint.format is not Format.ORIGINAL:
        try:
            check_secret(text, endpoint.signature)
        except SecretFormatError as error:
            raise Refused("secret_invalid", f"secret: it {error}") from None
    return text


def needs_secret(endpoint: Endpoint) -> bool:
    """Return whether requests are signed with a secret, and not with a private key alone."""
    return endpoint.format is Format.ORIGINAL or endpoint.signature is not SignatureKind.ED25519_ONLY


def needs_key(endpoint: Endpoint) -> bool:
    """Return whether requests are signed with a private key."""
    keyed = {SignatureKind.ED25519, SignatureKind.ED25519_ONLY}
    return endpoint.format is not Format.ORIGINAL and endpoint.signature in keyed


def signing(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint with the private key that its signature needs, or without one that it does not need."""
    if not needs_key(endpoint):
        return msgspec.structs.replace(endpoint, private_key=b"")
    return endpoint if endpoint.private_key else msgspec.structs.replace(endpoint, private_key=make_seed())


async def secrets_of(store: Store, endpoint_id: str, tenant: str = "") -> list[SecretView]:
    """Return the secrets of an endpoint without their text, newest first.

    Raises:
        Refused: There is no such endpoint.
    """
    endpoint, _ = await find_endpoint(store, endpoint_id, tenant)
    return [secret_view(each) for each in endpoint.secrets]


async def rotate_secret(
    config: Config,
    store: Store,
    endpoint_id: str,
    *,
    now: float,
    secret: str | None = None,
    expire_previous: float = DEFAULT_OVERLAP,
    tenant: str = "",
) -> NewSecret:
    """Add a secret in front of the others, which sign beside it for a while.

    Args:
        config: The configuration.
        store: The store.
        endpoint_id: The endpoint.
        now: The time, in Unix seconds.
        secret: The secret; None to have one made.
        expire_previous: Seconds after which the others end.
        tenant: The only tenant that is seen; empty for all.

    Raises:
        Refused: There is no such endpoint, it is a configured one, or the secret cannot be used.
    """
    if not 0 <= expire_previous <= MAX_OVERLAP:
        raise Refused(
            "invalid_body", "expire_previous: a secret signs beside the next one for 7 days at most"
        )
    endpoint = await changeable(store, endpoint_id, tenant)
    if not needs_secret(endpoint):
        raise Refused("secret_invalid", "the endpoint's requests are signed with its private key alone")
    ends_at = now + expire_previous
    kept = [
        msgspec.structs.replace(
            each, expires_at=ends_at if each.expires_at is None else min(each.expires_at, ends_at)
        )
        for each in endpoint.secrets
        if each.expires_at is None or each.expires_at > now
    ]
    if len(kept) >= MAX_SECRETS and expire_previous > 0:
        raise Refused("limit_reached", f"{MAX_SECRETS} secrets sign already; end one of them first")
    added = Secret(
        id=new_id("sec", now),
        value=checked_secret(endpoint, secret) if secret else make_secret(endpoint),
        created_at=now,
    )
    signers = (added, *(each for each in kept if each.expires_at is None or each.expires_at > now))
    changed = msgspec.structs.replace(endpoint, secrets=signers, changed_at=now)
    check(config, changed)
    await put(store, changed, endpoint.version)
    return NewSecret(added.id, added.value)


async def end_secret(store: Store, endpoint_id: str, secret_id: str, *, now: float, tenant: str = "") -> None:
    """End a secret at once, as one that somebody else has seen.

    Raises:
        Refused: There is no such endpoint or secret, it is the only one, or the endpoint is a configured one.
    """
    endpoint = await changeable(store, endpoint_id, tenant)
    kept = tuple(each for each in endpoint.secrets if each.id != secret_id)
    if len(kept) == len(endpoint.secrets):
        raise Refused("not_found", "the endpoint has no such secret")
    if needs_secret(endpoint) and not any(each.expires_at is None for each in kept):
        raise Refused("conflict", "it is the only secret that does not expire; add another one first")
    await put(store, msgspec.structs.replace(endpoint, secrets=kept, changed_at=now), endpoint.version)


async def changeable(store: Store, endpoint_id: str, tenant: str = "") -> Endpoint:
    """Return an endpoint that may be changed.

    Raises:
        Refused: There is none, or it is in the configuration file.
    """
    endpoint, _ = await find_endpoint(store, endpoint_id, tenant)
    if endpoint.is_configured:
        raise Refused(
            "endpoint_configured",
            f"endpoints.{endpoint.name} is in the configuration file; change it there, and reload",
        )
    return endpoint


async def put(store: Store, endpoint: Endpoint, expected: int) -> Endpoint:
    """Write an endpoint down if nobody has changed it meanwhile.

    Raises:
        Refused: Somebody has.
    """
    try:
        return await store.put_endpoint(endpoint, expected)
    except Conflict:
        raise Refused(
            "version_changed", "somebody has changed the endpoint meanwhile; read it again"
        ) from None
