"""Whether somebody else can sign as a provider signs: receivers then verify with the provider's own library."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.adapters.adapter import Adapter
from gateway.adapters.identifying_headers import header_of
from gateway.signatures.rejections import Rejection
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS
from gateway.signatures.secrets import SecretFormatError

SIGNED_HEADER = re.compile(r"\{header:([A-Za-z0-9-]+)\}")
"""The header fields in the template of a signature."""

_PROBE_URL = "https://example.com/"


def check_resigning(adapter: Adapter, secret: str, parameters: Mapping[str, str] = NO_PARAMETERS) -> None:
    """Check that requests can be signed as a provider signs, with the secret of somebody else.

    Raises:
        SecretFormatError: The secret is not in the provider's format.
    """
    spec = adapter.spec
    identifying = map(header_of, (spec.account, spec.delivery_id, spec.event_id))
    names = {*filter(None, identifying), *SIGNED_HEADER.findall(spec.signature.template)}
    headers = Headers([(name.lower().encode(), b"1") for name in sorted(names)])
    probe = RawRequest(body=b"{}", headers=headers, path="/", query=b"", url=_PROBE_URL)
    try:
        adapter.scheme.sign(probe, secret, 0.0, parameters)
    except SecretFormatError:
        raise
    except (Rejection, ValueError):
        pass  # the probe has no content that could be signed, so that nothing follows about real events


def publishes_keys(adapter: Adapter) -> bool:
    """Return whether receivers fetch the provider's public keys, so that nobody else can sign as it does."""
    return adapter.spec.signature.fetches_keys
