"""Common mistakes between a provider and its receiver, each as the case without the mistake.

If the changed case verifies, the hypothesis is the explanation: it names the mistake and the remedy. Cheap and common
hypotheses come first. The module is long because it is one list whose order should be visible in one place.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import product
from typing import Any, NamedTuple, get_args
from urllib.parse import urlsplit

from gateway.adapters import registry
from gateway.devtools.explain.body_variants import bodies
from gateway.devtools.explain.case import Case

_SIGNATURE_LIKE = re.compile(rb".*(signature|hmac|sign|token|digest|auth|secret).*")
_PREFIX = re.compile(rb"[A-Za-z][A-Za-z0-9-]{0,9}(?:[=:,] ?| )")
_MAX_VALUES = 12
"""Values of a repeated header, or elements of a joined one, that are tried."""

_MAX_RENAMED = 48
"""Headers among which a signature under another name is looked for."""

_MAX_HOSTS = 3
"""Values of a header with a host name. Each is tried in combination with all schemes and paths."""

_KEEP_BYTES = "Find what parses and rewrites the body on the way (a proxy, a framework, a log): it has to pass on the exact bytes."
_TEMPLATES = (
    "{body}", "{timestamp}.{body}", "{timestamp}{body}", "{timestamp}:{body}", "{body}{timestamp}",
    "v0:{timestamp}:{body}", "{id}.{timestamp}.{body}", "{url}{body}", "{method}{url}{body}", "{method}{path}{body}",
)  # fmt: skip


class Hypothesis(NamedTuple):
    """A possible mistake.

    Attributes:
        case: The case without the mistake.
        what: The explanation, if that case verifies.
        remedy: How to fix it.
    """

    case: Case
    what: str
    remedy: str


def hypotheses(case: Case) -> Iterator[Hypothesis]:
    """Yield all hypotheses for a case, in the order in which to try them."""
    for kind in _KINDS:
        yield from kind(case)


def signature_headers(case: Case) -> list[bytes]:
    """Return the headers (lower case) that carry the signature; empty if it is elsewhere."""
    signature = case.signature
    named = getattr(signature, "header", None) or [
        f"{prefix}signature" for prefix in getattr(signature, "header_prefixes", [])
    ]
    return [name.lower().encode() for name in ([named] if isinstance(named, str) else named)]


def _repeated(case: Case) -> Iterator[Hypothesis]:
    headers = case.request.headers
    for name in dict.fromkeys(name for name, _ in headers.fields):
        values = headers.all(name)
        if len(values) == 1 and b"," in values[0] and name in signature_headers(case):
            values = re.split(rb", ?", values[0])
        for value in list(dict.fromkeys(values))[:_MAX_VALUES] if len(values) > 1 else ():
            yield Hypothesis(
                case.with_field(name, value),
                f"the header {_name(name)} has {len(values)} values, one of which is valid",
                "A proxy repeats or joins the header; configure it to pass the header on once.",
            )


def _renamed(case: Case) -> Iterator[Hypothesis]:
    own = signature_headers(case)
    for name, value in case.request.headers.fields[:_MAX_RENAMED]:
        if name in own or not _SIGNATURE_LIKE.fullmatch(name):
            continue
        for expected in own:
            yield Hypothesis(
                case.with_field(expected, value),
                f"the signature is in the header {_name(name)}, not in {_name(expected)}",
                _describe(case, "header", _name(name)),
            )


def _affixes(case: Case) -> Iterator[Hypothesis]:
    signature = case.signature
    for name in signature_headers(case):
        if name not in case.request.headers or case.request.headers.is_repeated(name):
            continue
        value = case.request.headers.get(name) or b""
        stripped = value.strip(b"\"' \t")
        if stripped != value:
            yield Hypothesis(
                case.with_field(name, stripped),
                f"the value of {_name(name)} is quoted",
                "Find what adds the quotes; the header has to be passed on unchanged.",
            )
        if hasattr(signature, "prefix"):
            separator = getattr(signature, "separator", None)
            elements = value.split(separator.encode())[:_MAX_VALUES] if separator else [value]
            found = [match[0].decode() for element in elements if (match := _PREFIX.match(element))]
            for prefix in dict.fromkeys([*found, ""]):
                if prefix != signature.prefix:
                    shown = f"`{prefix}`" if prefix else "nothing"
                    yield from _described(
                        case,
                        {"prefix": prefix},
                        f"the prefix of the signature is {shown}, not `{signature.prefix}`",
                    )
        elif hasattr(signature, "header_prefixes"):
            yield from _versions(case, name, value)


def _versions(case: Case, name: bytes, value: bytes) -> Iterator[Hypothesis]:
    """Yield variants of a Standard Webhooks signature: without its version, or in another encoding."""
    bare = value.partition(b",")[2] or value
    yield Hypothesis(
        case.with_field(name, b"v1," + bare),
        f"the version `v1,` is missing before the signature in {_name(name)}",
        "Find what strips it; the header has to be passed on unchanged.",
    )
    for what, decode in (
        ("hexadecimal", binascii.unhexlify),
        ("base64url", lambda text: base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))),
    ):
        with suppress(ValueError):
            yield Hypothesis(
                case.with_field(name, b"v1," + base64.b64encode(decode(bare))),
                f"the signature in {_name(name)} is in {what}, not in base64",
                "The provider does not follow Standard Webhooks here; report it, or describe the signature with `adapter: hmac`.",
            )


def _bodies(case: Case) -> Iterator[Hypothesis]:
    length = case.request.headers.all(b"content-length")
    content_length = int(length[0]) if length and length[0].isdigit() and len(length[0]) < 10 else None
    for what, body in bodies(case.request.body, content_length, case.adapter.spec.form_json):
        yield Hypothesis(
            case.with_request(body=body), f"the body is not what was signed: {what}", _KEEP_BYTES
        )


def _formats(case: Case) -> Iterator[Hypothesis]:
    """Yield the other values of each setting of the signature that is one of several words."""
    for key, what in (
        ("secret_format", "the format of the secret is {new}, not {old}"),
        ("key_format", "the format of the key is {new}, not {old}"),
        ("encoding", "the encoding of the signature is {new}, not {old}"),
        ("algorithm", "the algorithm is {new}, not {old}"),
    ):
        for old, new in _others(case.signature, key):
            yield from _described(case, {key: new}, what.format(old=old, new=new))
    timestamp: Any = getattr(case.signature, "timestamp", None)
    for old, new in _others(timestamp, "unit"):
        changed = timestamp.model_dump() | {"unit": new}
        yield from _described(
            case, {"timestamp": changed}, f"the timestamp is in {_UNITS[new]}, not in {_UNITS[old]}", "unit"
        )


_UNITS = {
    "s": "seconds",
    "ms": "milliseconds",
    "auto": "seconds or milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "decimal": "seconds with a fraction",
    "iso8601": "ISO 8601 format",
    "rfc3339": "RFC 3339 format",
    "http_date": "the HTTP date format",
}


def _others(spec: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield the value of a setting with each of its other possible values."""
    old = getattr(spec, key, None)
    if old is not None:
        yield from ((old, new) for new in get_args(type(spec).model_fields[key].annotation) if new != old)


_SECRETS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("without surrounding whitespace", str.strip),
    ("with a line feed at the end", lambda text: text + "\n"),
    ("with CR LF at the end", lambda text: text + "\r\n"),
    ("with a space at the end", lambda text: text + " "),
    ("without surrounding quotes", lambda text: text.strip("\"'")),
    ("without the prefix whsec_", lambda text: text.removeprefix("whsec_")),
    ("with the prefix whsec_", lambda text: "whsec_" + text.removeprefix("whsec_")),
    ("as plain text without whsec_", lambda text: _base64(text.removeprefix("whsec_").encode())),
    ("decoded from hexadecimal", lambda text: _base64(bytes.fromhex(text))),
    ("in hexadecimal", lambda text: text.encode().hex()),
    ("in lower case", str.lower),
    ("in upper case", str.upper),
)


def _secrets(case: Case) -> Iterator[Hypothesis]:
    for what, change in _SECRETS:
        for secret in case.secrets:
            with suppress(ValueError):
                changed = change(secret)
                if changed and changed != secret:
                    yield Hypothesis(
                        case.with_secrets(changed),
                        f"the request is signed with the secret {what}",
                        "Compare it with the secret that the provider shows, and configure exactly that.",
                    )


def _other_secrets(case: Case) -> Iterator[Hypothesis]:
    for name, secrets in case.other_secrets.items():
        for secret in secrets:
            yield Hypothesis(
                case.with_secrets(secret),
                f"the request is signed with the secret of the provider {name}",
                "Either the provider calls the wrong path, or the two secrets are swapped.",
            )


def _addresses(case: Case) -> Iterator[Hypothesis]:
    request = case.request
    if not (
        case.signature.needs_url or re.search(r"\{(path|query|url)", getattr(case.signature, "signed", ""))
    ):
        return
    known = urlsplit(request.url or "http://localhost" + request.path)
    query = request.query.decode("latin-1")
    plain = (known.hostname or "") if ":" not in (known.hostname or "") else f"[{known.hostname}]"
    hosts = [known.netloc, plain, f"{plain}:443", f"{plain}:80", f"{plain}:8080"]
    for field in (b"x-forwarded-host", b"x-original-host", b"host"):
        hosts += [value.decode("latin-1") for value in request.headers.all(field)[:_MAX_HOSTS]]
    paths = [known.path, known.path.rstrip("/"), known.path.rstrip("/") + "/", request.path]
    paths += [
        value.decode("latin-1").rstrip("/") + known.path
        for value in request.headers.all(b"x-forwarded-prefix")[:_MAX_HOSTS]
    ]
    paths += ["/" + known.path.split("/", 2)[-1]]
    schemes = [known.scheme, "https", "http"]
    for scheme, host, path, tail in product(
        *map(dict.fromkeys, (schemes, hosts, paths, [f"?{query}" if query else "", "", "?"]))
    ):
        address = f"{scheme}://{host}{path}"
        if address + tail != request.url:
            with_query = " with its query" if len(tail) > 1 else " without the query" if query else ""
            yield Hypothesis(
                case.with_request(url=address + tail, path=path or "/"),
                f"the request was signed for {address}{with_query}, not for {request.url.partition('?')[0]}",
                f"Set `public_url: {address}` for this provider, and let no proxy change the path or query.",
            )


def _templates(case: Case) -> Iterator[Hypothesis]:
    signed = getattr(case.signature, "signed", None)
    for template in _TEMPLATES if signed else ():
        if template != signed:
            yield from _described(
                case, {"signed": template}, f"`{template}` is signed, not `{signed}`", "signed"
            )


def _described(
    case: Case, changes: dict[str, Any], what: str, key: str | None = None
) -> Iterator[Hypothesis]:
    """Yield the case with a changed description of the signature, if that is valid."""
    with suppress(ValueError):
        name, value = next(iter(changes.items()))
        shown = value["unit"] if isinstance(value, dict) else value
        yield Hypothesis(case.with_signature(**changes), what, _describe(case, key or name, shown))


def _describe(case: Case, key: str, value: str) -> str:
    line = f'`{key}: "{value}"`'
    if case.adapter.name == registry.GENERIC:
        return f"Set {line} in `signature` of this provider."
    return (
        f"{case.adapter.spec.title or case.adapter.name} does not sign like that: is this another provider, or does a proxy "
        f"change the request? `adapter: hmac` with {line} would describe it."
    )


def _base64(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _name(field: bytes) -> str:
    return "-".join(word.capitalize() for word in field.decode("latin-1").split("-"))


_KINDS: tuple[Callable[[Case], Iterator[Hypothesis]], ...] = (
    _repeated,
    _renamed,
    _affixes,
    _bodies,
    _formats,
    _secrets,
    _other_secrets,
    _addresses,
    _templates,
)
