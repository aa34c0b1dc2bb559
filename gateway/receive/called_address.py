"""The request as its adapter sees it, with the address that a signature may cover.

Only the operator (``public_url``) or a trusted proxy is believed about that address, never the caller.
"""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

from gateway.receive.proxy_headers import TrustedProxies
from gateway.receive.request import RequestHead
from gateway.receive.route import Route
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest


def raw_request(head: RequestHead, route: Route, proxies: TrustedProxies) -> RawRequest:
    """Return the request as its adapter sees it, with an empty body.

    Raises:
        SignatureRejected: the signature covers the address, and nobody who can be believed names it.
    """
    public_url, query, url = route.public_url, head.query, ""
    if route.adapter.needs_url:
        url, query = signed_address(public_url or _called_address(head, proxies), query)
    return RawRequest(
        body=b"",
        method=head.method,
        headers=head.headers,
        path=urlsplit(public_url).path or "/" if public_url else head.path.decode("latin-1"),
        query=query,
        url=url,
    )


def signed_address(address: str, query: bytes) -> tuple[str, bytes]:
    """Return the address that the provider called, with its query, and the query alone.

    If the configured address has a query, it comes first, followed by what the provider added: a proxy may have
    dropped the configured part, or reordered it.
    """
    address, _, configured = address.partition("?")
    if configured:
        known = Counter(configured.encode().split(b"&"))
        added = []
        for parameter in filter(None, query.split(b"&")):
            if known[parameter]:
                known[parameter] -= 1
            else:
                added.append(parameter)
        query = b"&".join([configured.encode(), *added])
    return f"{address}?{query.decode('latin-1')}" if query else address, query


def _called_address(head: RequestHead, proxies: TrustedProxies) -> str:
    origin = proxies.origin_of(head.peer, head.headers)
    if origin is None:
        raise SignatureRejected("address_unknown")
    scheme, host = origin
    return f"{scheme}://{host}{head.path.decode('latin-1')}"
