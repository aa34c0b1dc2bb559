"""Inputs 6 to 43: what is wrong with HTTP, and with the kind of body that it carries."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from urllib.parse import quote

from hostile.signed import acme, github, github_body
from hostile.target import DISCONNECTED, Input
from hostile.wire import Text, Wire
from support.gateway_process import Secrets
from support.senders import order

MAX_BODY = 1024**2
_TEN_GIGABYTES = "10737418240"

_MALFORMED = "400 malformed_request"
_NO_PATH = "404 unknown_provider"
_NO_METHOD = "405 method_not_allowed"
_TOO_LARGE = "413 body_too_large"
_BAD_TYPE = "415 unsupported_media_type"
_LARGE_HEAD = "431 headers_too_large"
_ACCEPTED = "202 accepted"
_UNSIGNED = "401 invalid_signature"


def _padded(size: int) -> bytes:
    """Return an event of exactly this size."""
    return order(note="x" * (size - len(order(note=""))))


def _endless_chunks(wire: Wire) -> Iterator[bytes]:
    yield wire.chunked(b"").head
    piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    for _ in range(5_000):
        yield piece


def _huge_field(wire: Wire, size: int) -> Iterator[bytes]:
    yield wire.head.removesuffix(b"\r\n") + b"X-Padding: "
    for _ in range(size // 65_536):
        yield b"x" * 65_536
    yield b"\r\n\r\n" + wire.body


def _with_head_of(wire: Wire, size: int) -> Wire:
    """Return the request with header fields of this size, counting names and values alone."""
    used = sum(len(name) + len(value) for name, value in wire.fields)
    return wire.plus("X-Padding", "x" * (size - used - len("X-Padding")))


def _with_fields(wire: Wire, count: int) -> Wire:
    """Return the request with this number of header fields."""
    for number in range(count - len(wire.fields)):
        wire = wire.plus(f"X-{number}", "x")
    return wire


def _raw(wire: Wire, line: bytes) -> bytes:
    """The request with a line of any bytes at the end of its head."""
    return wire.head.removesuffix(b"\r\n") + line + b"\r\n\r\n" + wire.body


def _with_lengths(of: Secrets, *values: Text) -> Wire:
    wire = acme(of).without("Content-Length")
    for value in values:
        wire = wire.plus("Content-Length", value)
    return wire


def _with_codings(of: Secrets, *values: Text) -> Wire:
    wire = acme(of).chunked().without("Transfer-Encoding")
    for value in values:
        wire = wire.plus("Transfer-Encoding", value)
    return wire


def _long_query(of: Secrets) -> Wire:
    return acme(of).to("/webhooks/acme?" + "x" * 100_000)


def _cut(data: bytes) -> list[bytes]:
    return [data[at : at + 4096] for at in range(0, len(data), 4096)]


def _asking(of: Secrets, line: str) -> Wire:
    return acme(of).asking(line)


def _declaring_only(of: Secrets, line: str) -> bytes:
    """A head that announces a body which never comes: the answer must not wait for it."""
    return acme(of).asking(line).head


def _signature_in_trailer(of: Secrets) -> Wire:
    wire = acme(of)
    signature = b"X-Acme-Signature: " + wire.value("X-Acme-Signature") + b"\r\n"
    return wire.without("X-Acme-Signature").chunked(trailer=signature)


def _folded_signature(of: Secrets) -> bytes:
    wire = acme(of)
    return _raw(wire.without("X-Acme-Signature"), b"X-Acme-Signature:\r\n " + wire.value("X-Acme-Signature"))


def _upgrade_to_h2c(of: Secrets) -> Wire:
    wire = acme(of).plus("Connection", "Upgrade, HTTP2-Settings")
    return wire.plus("Upgrade", "h2c").plus("HTTP2-Settings", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA")


def _bomb(of: Secrets) -> Wire:
    """A small body that would be a large one, were it inflated."""
    return acme(of, gzip.compress(b"0" * 100_000_000, 1))


def _form_with_part(of: Secrets) -> Wire:
    part = b'--x\r\nContent-Type: application/json\r\n\r\n{"id":"1","event":"e"}\r\n--x--\r\n'
    return acme(of, part).but("Content-Type", "multipart/form-data; boundary=x")


def _form_of_github(of: Secrets) -> Wire:
    body = b"payload=" + quote(github_body()).encode()
    return github(of, body).but("Content-Type", "application/x-www-form-urlencoded")


_BODIES = [
    Input(
        6,
        "a declared length of 10 GB",
        lambda of: acme(of).but("Content-Length", _TEN_GIGABYTES).head,
        _TOO_LARGE,
        closes=True,
    ),
    Input(7, "endless chunks", lambda of: _endless_chunks(acme(of)), _TOO_LARGE, closes=True),
    Input(8, "a body of exactly the limit", lambda of: acme(of, _padded(MAX_BODY)), _ACCEPTED),
    Input(
        8, "a body over the limit by one", lambda of: acme(of, _padded(MAX_BODY + 1)), _TOO_LARGE, closes=True
    ),
    Input(8, "chunks of exactly the limit", lambda of: acme(of, _padded(MAX_BODY)).chunked(), _ACCEPTED),
    Input(
        8,
        "chunks over the limit by one",
        lambda of: acme(of, _padded(MAX_BODY + 1)).chunked(),
        _TOO_LARGE,
    ),
    Input(
        10,
        "less than the declared length",
        lambda of: bytes(acme(of))[:-1],
        DISCONNECTED,
        closes=True,
        half_close=True,
    ),
    Input(
        10,
        "chunks without their end",
        lambda of: bytes(acme(of).chunked())[:-5],
        DISCONNECTED,
        closes=True,
        half_close=True,
    ),
]

_FRAMING = [
    Input(11, "two different lengths", lambda of: _with_lengths(of, "5", "6"), _MALFORMED, closes=True),
    Input(12, "two equal lengths", lambda of: _with_lengths(of, "5", "5"), _MALFORMED, closes=True),
    *(
        Input(
            number,
            f"length {value[:8]!r}",
            lambda of, value=value: _with_lengths(of, value),
            _MALFORMED,
            closes=True,
        )
        for number, value in [
            (12, "7, 7"),
            (13, "+7"),
            (13, "0x7"),
            (13, "-1"),
            (13, "7_0"),
            (13, "9" * 30),
            (13, ""),
            (13, "7 7"),
            (13, "\xb2"),
        ]
    ),
    Input(
        14,
        "length before coding",
        lambda of: acme(of).plus("Transfer-Encoding", "chunked"),
        _MALFORMED,
        closes=True,
    ),
    Input(
        14,
        "coding before length",
        lambda of: acme(of).chunked().plus("Content-Length", "5"),
        _MALFORMED,
        closes=True,
    ),
    *(
        Input(
            15,
            f"coding {' and '.join(values)!r}",
            lambda of, values=values: _with_codings(of, *values),
            _MALFORMED,
            closes=True,
        )
        for values in [
            ("xchunked",),
            ("chunked, identity",),
            ("gzip, chunked",),
            ("identity",),
            ("chunked, chunked",),
            ("chunked", "chunked"),
            ("chunked", "identity"),
            ("gzip", "chunked"),
            ("",),
            ("\x0bchunked",),
        ]
    ),
    Input(
        16,
        "a blank before the colon",
        lambda of: _raw(acme(of).chunked().without("Transfer-Encoding"), b"Transfer-Encoding : chunked"),
        _MALFORMED,
        closes=True,
    ),
    Input(
        17,
        "a chunk that is longer than it says",
        lambda of: acme(of).chunked(b"5\r\nhelloX\r\n0\r\n\r\n"),
        _MALFORMED,
        closes=True,
    ),
    Input(
        17,
        "a bare line feed after a chunk",
        lambda of: acme(of).chunked(b"5\r\nhello\n0\r\n\r\n"),
        _MALFORMED,
        closes=True,
    ),
    *(
        Input(
            18,
            f"chunk size {size!r}",
            lambda of, size=size: acme(of).chunked(size + b"\r\nhello\r\n0\r\n\r\n"),
            _MALFORMED,
            closes=True,
        )
        for size in [b"1" + b"0" * 17, b"f" * 17, b"-5", b"+5", b"0x5", b"5 5", b"", b"g"]
    ),
    Input(
        19,
        "a chunk extension of 100 KB",
        lambda of: acme(of).chunked(b"5;" + b"e" * 100_000 + b"\r\nhello\r\n0\r\n\r\n"),
        _UNSIGNED,
    ),
    Input(20, "the signature only in a trailer", _signature_in_trailer, _UNSIGNED),
    Input(
        21,
        "a second host in a trailer",
        lambda of: acme(of).chunked(trailer=b"Host: evil.test\r\n"),
        _ACCEPTED,
    ),
    Input(
        21,
        "a second signature in a trailer",
        lambda of: acme(of).chunked(trailer=b"X-Acme-Signature: sha256=0\r\n"),
        _ACCEPTED,
    ),
]

_HEADS = [
    Input(
        22,
        "bare line feeds",
        lambda of: acme(of).head.replace(b"\r\n", b"\n") + b"{}",
        _MALFORMED,
        closes=True,
    ),
    Input(22, "one bare line feed", lambda of: _raw(acme(of), b"X-A: a\nX-B: b"), _MALFORMED, closes=True),
    Input(23, "a folded signature", _folded_signature, _MALFORMED, closes=True),
    Input(
        23,
        "a folded first field",
        lambda of: acme(of).head.replace(b"\r\n", b"\r\n X: y\r\n", 1),
        _MALFORMED,
        closes=True,
    ),
    *(
        Input(
            24,
            f"{byte!r} in a value",
            lambda of, byte=byte: _raw(acme(of), b"X-A: a" + byte + b"b"),
            _MALFORMED,
            closes=True,
        )
        for byte in [b"\0", b"\r", b"\x0b", b"\x7f"]
    ),
    *(
        Input(
            24,
            f"{byte!r} in a name",
            lambda of, byte=byte: _raw(acme(of), b"X" + byte + b"A: b"),
            _MALFORMED,
            closes=True,
        )
        for byte in [b"\0", b"\r", b" ", b"\xe9", b"(", b"\t"]
    ),
    Input(24, "no name", lambda of: _raw(acme(of), b": b"), _MALFORMED, closes=True),
    Input(24, "no colon", lambda of: _raw(acme(of), b"X-A"), _MALFORMED, closes=True),
    Input(25, "100 header fields", lambda of: _with_fields(acme(of), 100), _ACCEPTED),
    Input(25, "101 header fields", lambda of: _with_fields(acme(of), 101), _LARGE_HEAD, closes=True),
    Input(25, "10 000 header fields", lambda of: _with_fields(acme(of), 10_000), _LARGE_HEAD, closes=True),
    Input(26, "31 KiB of header fields", lambda of: _with_head_of(acme(of), 31 * 1024), _ACCEPTED),
    Input(
        26,
        "a header field of 32 KiB",
        lambda of: _with_head_of(acme(of), 33 * 1024),
        _LARGE_HEAD,
        closes=True,
    ),
    Input(
        26, "a header field of 1 MB", lambda of: _huge_field(acme(of), 1_000_000), _LARGE_HEAD, closes=True
    ),
    Input(
        26, "a header field of 20 MB", lambda of: _huge_field(acme(of), 20_000_000), _LARGE_HEAD, closes=True
    ),
    Input(
        26,
        "a header name of 1 MB",
        lambda of: _raw(acme(of), b"x" * 1_000_000 + b": y"),
        _LARGE_HEAD,
        closes=True,
    ),
    Input(27, "a query of 100 KB", _long_query, _NO_PATH, closes=True),
    Input(27, "a query of 100 KB in pieces", lambda of: _cut(bytes(_long_query(of))), _NO_PATH, closes=True),
    Input(28, "HTTP 0.9", lambda of: b"POST /webhooks/acme\r\n\r\n", _MALFORMED, closes=True),
    Input(
        28, "the preface of HTTP 2", lambda of: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", _MALFORMED, closes=True
    ),
    Input(
        28,
        "the hello of TLS",
        lambda of: bytes.fromhex("16030100c8010000c40303") + b"\0" * 194,
        _MALFORMED,
        closes=True,
    ),
    *(
        Input(
            28,
            f"version {version}",
            lambda of, version=version: _asking(of, f"POST /webhooks/acme {version}"),
            _MALFORMED,
            closes=True,
        )
        for version in [
            "HTTP/2.0",
            "HTTP/0.9",
            "HTTP/1.2",
            "HTTP/1.10",
            "HTTP/11",
            "http/1.1",
            "HTTPS/1.1",
            "HTTP/1.1 x",
        ]
    ),
    Input(28, "HTTP 1.0", lambda of: _asking(of, "POST /webhooks/acme HTTP/1.0"), _ACCEPTED, closes=True),
    Input(29, "no host", lambda of: acme(of).without("Host"), _MALFORMED, closes=True),
    Input(29, "two hosts", lambda of: acme(of).plus("Host", "evil.test"), _MALFORMED, closes=True),
    Input(29, "two equal hosts", lambda of: acme(of).plus("Host", "gateway.test"), _MALFORMED, closes=True),
    Input(
        29,
        "two hosts in HTTP 1.0",
        lambda of: _asking(of, "POST /webhooks/acme HTTP/1.0").plus("Host", "evil.test"),
        _MALFORMED,
        closes=True,
    ),
]

_LINES = [
    *(
        Input(
            30,
            method,
            lambda of, method=method: _declaring_only(of, f"{method} /webhooks/acme HTTP/1.1"),
            _NO_METHOD,
            closes=True,
        )
        for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
    ),
    *(
        Input(
            30,
            method,
            lambda of, method=method: _asking(of, f"{method} /webhooks/acme HTTP/1.1"),
            _MALFORMED,
            closes=True,
        )
        for method in ["post", "POSTED", "P\x00ST", ""]
    ),
    Input(30, "CONNECT", lambda of: _asking(of, "CONNECT evil.test:443 HTTP/1.1"), _NO_PATH, closes=True),
    Input(30, "an asterisk", lambda of: _asking(of, "OPTIONS * HTTP/1.1"), _NO_PATH, closes=True),
    *(
        Input(
            31,
            f"upgrade to {protocol}",
            lambda of, protocol=protocol: acme(of).plus("Connection", "Upgrade").plus("Upgrade", protocol),
            _ACCEPTED,
        )
        for protocol in ["h2c", "websocket"]
    ),
    Input(31, "the upgrade that clients for h2c try", _upgrade_to_h2c, _ACCEPTED),
    Input(
        32,
        "an expectation before 10 GB",
        lambda of: acme(of).but("Content-Length", _TEN_GIGABYTES).plus("Expect", "100-continue").head,
        _TOO_LARGE,
        closes=True,
    ),
    Input(
        32,
        "an expectation where there is no path",
        lambda of: acme(of).to("/webhooks/nobody").plus("Expect", "100-continue").head,
        _NO_PATH,
        closes=True,
    ),
    Input(
        32,
        "an expectation of a GET",
        lambda of: _asking(of, "GET /webhooks/acme HTTP/1.1").plus("Expect", "100-continue").head,
        _NO_METHOD,
        closes=True,
    ),
    *(
        Input(34, path, lambda of, path=path: acme(of).to(path), _NO_PATH, closes=True)
        for path in [
            "/webhooks/acme//",
            "//webhooks/acme",
            "/webhooks//acme",
            "/webhooks/./acme",
            "/webhooks/../webhooks/acme",
            "/webhooks/acme/..",
            "/webhooks/",
            "/webhooks",
            "/",
            "/WEBHOOKS/acme",
            "/webhooks/ACME",
            "/webhooks/acme;x",
            "/webhooks/acme\\",
        ]
    ),
    *(
        Input(35, path[:24], lambda of, path=path: acme(of).to(path), _NO_PATH, closes=True)
        for path in [
            "/webhooks/ac%6de",
            "/webhooks/acme%2F",
            "/webhooks%2Facme",
            "/webhooks/acme%00",
            "/webhooks/acme%ff",
            "/webhooks/acme%",
            "/webhooks/acme%0a",
            "/webhooks/%zz",
            "/webhooks/" + "x" * 5_000,
            "/webhooks/{provider}",
            '/webhooks/"',
        ]
    ),
    Input(35, "a query", lambda of: acme(of).to("/webhooks/acme?a=b%00&%ff"), _ACCEPTED),
    Input(
        35,
        "a byte over 127 in the path",
        lambda of: acme(of).to(b"/webhooks/acm\xe9"),
        _MALFORMED,
        closes=True,
    ),
    *(
        Input(36, f"target {target}", lambda of, target=target: acme(of).to(target), _NO_PATH, closes=True)
        for target in [
            "http://evil.test/webhooks/acme",
            "http://gateway.test/webhooks/acme",
        ]
    ),
    Input(36, "a target without its slash", lambda of: acme(of).to("webhooks/acme"), _MALFORMED, closes=True),
    Input(
        36, "a scheme without a host", lambda of: acme(of).to("http:/webhooks/acme"), _MALFORMED, closes=True
    ),
    Input(36, "a fragment", lambda of: acme(of).to("/webhooks/acme#x"), _NO_PATH, closes=True),
]

_TYPES = [
    Input(37, "no media type", lambda of: acme(of).without("Content-Type"), _ACCEPTED),
    *(
        Input(
            number,
            f"media type {kind!r}",
            lambda of, kind=kind: acme(of).but("Content-Type", kind),
            _BAD_TYPE,
        )
        for number, kind in [
            (38, "text/plain"),
            (38, "application/jsonx"),
            (38, "application/json5"),
            (38, "application/x-json"),
            (38, "application/json, text/plain"),
            (38, "json"),
            (38, "*/*"),
            (38, ""),
            (38, "application/json\xe9"),
            (42, "multipart/form-data; boundary=x"),
            (43, "application/x-www-form-urlencoded"),
            (108, "application/cloudevents-batch+json"),
        ]
    ),
    *(
        Input(38, f"media type {kind!r}", lambda of, kind=kind: acme(of).but("Content-Type", kind), _ACCEPTED)
        for kind in [
            "application/json; charset=utf-8",
            "APPLICATION/JSON",
            "application/cloudevents+json",
            'application/json;charset="UTF-8"',
            "application/json ; x=y",
            "application/json, application/json",  # as a proxy joins them
            "application/json; charset=utf-16",  # the body is UTF-8, whatever is declared
            "application/json;charset=latin-1",
            "application/json; charset=utf-8; charset=utf-16",
        ]
    ),
    Input(
        40, "one media type twice", lambda of: acme(of).plus("Content-Type", "application/json"), _ACCEPTED
    ),
    Input(40, "two media types", lambda of: acme(of).plus("Content-Type", "text/plain"), _MALFORMED),
    *(
        Input(
            41,
            f"encoding {encoding}",
            lambda of, encoding=encoding: _bomb(of).plus("Content-Encoding", encoding),
            _BAD_TYPE,
        )
        for encoding in ["gzip", "deflate", "br", "zstd", "identity, gzip", "x"]
    ),
    Input(42, "a form with a part in JSON", _form_with_part, _BAD_TYPE),
    Input(43, "GitHub's form", _form_of_github, _ACCEPTED),
]

INPUTS = [*_BODIES, *_FRAMING, *_HEADS, *_LINES, *_TYPES]
