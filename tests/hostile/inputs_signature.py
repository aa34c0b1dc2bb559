"""Inputs 44 to 84: bad signatures, bad timestamps, and confusing event ids."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

from hostile.signed import acme, github, mac, now, partner, stripe
from hostile.target import Input
from hostile.wire import Text, Wire
from support.gateway_process import Secrets
from support.senders import order

SIGNATURE = "X-Acme-Signature"
ROTATED_SECRET = "rotated-0123456789abcdef"
"""The older of the two secrets of the provider ``rotating``; the newer is acme's."""

PUBLIC_KEY = "whpk_" + base64.b64encode(bytes(range(32))).decode()
"""The secret of the provider ``asymmetric``, which is none."""

_UNSIGNED = "401 invalid_signature"
_ACCEPTED = "202 accepted"
_QUARANTINED = "202 quarantined"
_MALFORMED = "400 malformed_request"
_CHALLENGE = b'{"type":"url_verification","challenge":"<script>"}'
_PING = b'{"zen":"z","hook_id":1,"hook":{"id":1}}'


def _signed_as(of: Secrets, value: Text) -> Wire:
    """Return Acme's event with another signature, in which ``{}`` is the right digest."""
    wire = acme(of)
    digest = wire.value(SIGNATURE).removeprefix(b"sha256=")
    text = value if isinstance(value, bytes) else value.encode()
    return wire.but(SIGNATURE, text.replace(b"{}", digest))


def _two(of: Secrets, *, is_valid_first: bool) -> Wire:
    wire = acme(of)
    valid, other = wire.value(SIGNATURE), b"sha256=" + b"0" * 64
    first, second = (valid, other) if is_valid_first else (other, valid)
    return wire.but(SIGNATURE, first).plus(SIGNATURE, second)


def _base64_bent(of: Secrets, bend: str) -> Wire:
    wire = partner(of)
    digest = wire.value("webhook-signature").decode().removeprefix("v1,")
    # The last character before the padding holds two bits that nothing needs.
    last = chr(ord(digest[-2]) + 1)
    bent = {
        "junk": digest[:9] + "!" + digest[9:],
        "no padding": digest.rstrip("="),
        "more padding": digest + "=",
        "alphabet": digest.translate(str.maketrans("+/", "-_")) + "-",
        "blank": digest[:9] + " " + digest[9:],
        "last": f"{digest[:-2]}{last}=",
        "hex": base64.b64decode(digest).hex(),
    }
    return wire.but("webhook-signature", "v1," + bent[bend])


def _reworded(of: Secrets, body: bytes) -> Wire:
    """The signature of one body over another."""
    signed = order(id="fixed")
    assert signed != body
    return acme(of, signed).holding(body)


def _redumped(of: Secrets) -> Wire:
    body = order()
    return acme(of, json.dumps(json.loads(body), separators=(",", ":")).encode()).holding(body)


def _stamped(of: Secrets, moment: str) -> Wire:
    """Acme's event, signed with whatever moment it claims."""
    return acme(of, moment=moment)


def _as_partner(of: Secrets, key: bytes) -> Wire:
    return partner(of, key=key)


def _with_key_headers(of: Secrets) -> Wire:
    """Signed by a key that the sender brings along."""
    wire = acme(of, key="attacker")
    for name in ("X-Key-Url", "X-Public-Key-Url", "X-Key-Id", "Jku", "X5u"):
        wire = wire.plus(name, "http://127.0.0.1:9/key")
    return wire.plus("X-Public-Key", "attacker").plus("webhook-key", "attacker")


def _downgraded(of: Secrets) -> Wire:
    wire = github(of).without("X-Hub-Signature-256")
    return wire.plus("X-Hub-Signature", "sha1=" + mac(of.github, wire.body, "sha1"))


def _upper(of: Secrets) -> Wire:
    wire = acme(of)
    digest = wire.value(SIGNATURE).removeprefix(b"sha256=")
    return wire.but(SIGNATURE, b"sha256=" + digest.upper())


def _shortened(of: Secrets) -> Wire:
    wire = acme(of)
    return wire.but(SIGNATURE, wire.value(SIGNATURE)[:-1])


def _spaced(of: Secrets) -> Wire:
    wire = acme(of)
    return wire.but(SIGNATURE, wire.value(SIGNATURE)[:20] + b" " + wire.value(SIGNATURE)[20:])


def _full_width(of: Secrets) -> Wire:
    """A moment in digits that Python takes for digits, as bytes of UTF-8."""
    moment = now().translate({ord("0") + digit: ord("\uff10") + digit for digit in range(10)}).encode()
    body = order()
    signature = "sha256=" + mac(of.acme, moment + b"." + body)
    return acme(of, body).but("X-Acme-Timestamp", moment).but(SIGNATURE, signature)


def _recased(of: Secrets) -> Wire:
    wire = acme(of)
    return replace(wire, fields=tuple((name.swapcase(), value) for name, value in wire.fields))


def _underscored(of: Secrets) -> Wire:
    wire = github(of)
    signature = wire.value("X-Hub-Signature-256")
    return wire.without("X-Hub-Signature-256").plus("x_hub_signature_256", signature)


_PRESENCE = [
    Input(44, "no signature of acme", lambda of: acme(of).without(SIGNATURE), _UNSIGNED),
    Input(44, "no signature of github", lambda of: github(of).without("X-Hub-Signature-256"), _UNSIGNED),
    Input(44, "no signature of stripe", lambda of: stripe(of).without("Stripe-Signature"), _UNSIGNED),
    Input(44, "no signature of partner", lambda of: partner(of).without("webhook-signature"), _UNSIGNED),
    *(
        Input(number, f"signature {value!r}", lambda of, value=value: _signed_as(of, value), _UNSIGNED)
        for number, value in [
            (45, ""),
            (45, "   "),
            (45, "sha256="),
            (47, "sha256={},extra"),
            (47, "sha256={}x"),
            (47, "sha256={};"),
            (47, "sha256={} sha256={}"),
            (48, b"sha256={}\xff"),
            (48, b"\xc3\xa9" * 35),
            (50, "sha1={}"),
            (50, "SHA256={}"),
            (50, "{}"),
            (50, "xxsha256={}"),
            (50, "sha256:{}"),
            (50, "sha256=sha256={}"),
            (55, "sha256=0x{}"),
            (55, "sha256= {}"),
            (55, "sha256=0{}"),
            (57, "sha256=0"),
            (57, "sha256=00"),
        ]
    ),
    Input(57, "a digest short of a digit", _shortened, _UNSIGNED),
    Input(
        58,
        "the signature of another event",
        lambda of: acme(of).but(SIGNATURE, acme(of).value(SIGNATURE)),
        _UNSIGNED,
    ),
    Input(46, "a valid signature and another", lambda of: _two(of, is_valid_first=True), _UNSIGNED),
    Input(46, "another signature and a valid one", lambda of: _two(of, is_valid_first=False), _UNSIGNED),
    Input(
        49,
        "a signature of 1 MB",
        lambda of: _signed_as(of, "x" * 1_000_000),
        "431 headers_too_large",
        closes=True,
    ),
    Input(
        49,
        "10 000 candidates",
        lambda of: stripe(of, header="t={t},v1={v1}" + ",v1=" * 10_000),
        "431 headers_too_large",
        closes=True,
    ),
    Input(49, "5 000 candidates", lambda of: stripe(of, header="t={t},v1={v1}" + ",v1=" * 5_000), _UNSIGNED),
    Input(51, "only a valid SHA-1", _downgraded, _UNSIGNED),
    Input(54, "hex in upper case", _upper, _ACCEPTED),
    Input(55, "blanks in hex", _spaced, _UNSIGNED),
    *(
        Input(56, f"base64 with {bend}", lambda of, bend=bend: _base64_bent(of, bend), _UNSIGNED)
        for bend in ["junk", "no padding", "more padding", "alphabet", "blank", "last", "hex"]
    ),
]

_LISTS = [
    *(
        Input(52, header, lambda of, header=header: stripe(of, header=header), _UNSIGNED)
        for header in [
            "t={t},v0={v1}",
            "t={t},v1=",
            "t={t},t={t},v1={v1}",
            "v1={v1}",
            "t={t}=2,v1={v1}",
            "t=,v1={v1}",
            "t={t} v1={v1}",
            "T={t},V1={v1}",
            "t={t};v1={v1}",
            ",",
            "=",
            "t={t},v1={v1}" + ",t=",
        ]
    ),
    Input(
        53, "several v1 with a valid one", lambda of: stripe(of, header="t={t},v1=00,v1={v1},v0=1"), _ACCEPTED
    ),
    Input(53, "twenty v1", lambda of: stripe(of, header="t={t}" + ",v1={v1}" * 20), _UNSIGNED),
    Input(66, "v1a under v1", lambda of: partner(of).to("/webhooks/asymmetric"), _UNSIGNED),
]

_BODIES = [
    Input(59, "the signature of the body dumped again", _redumped, _UNSIGNED),
    Input(60, "a line feed after the body", lambda of: _reworded(of, order(id="fixed") + b"\n"), _UNSIGNED),
    Input(
        60,
        "a byte order mark before the body",
        lambda of: _reworded(of, b"\xef\xbb\xbf" + order(id="fixed")),
        _UNSIGNED,
    ),
    Input(
        60,
        "other line ends in the body",
        lambda of: acme(of, b'{\n"id":"1"}').holding(b'{\r\n"id":"1"}'),
        _UNSIGNED,
    ),
]

_KEYS = [
    Input(62, "signed for another endpoint", lambda of: partner(of).to("/webhooks/openai"), _UNSIGNED),
    Input(62, "signed for another provider", lambda of: acme(of, key=of.github), _UNSIGNED),
    Input(63, "the empty key", lambda of: acme(of, key=""), _UNSIGNED),
    Input(63, "the empty key of partner", lambda of: _as_partner(of, b""), _UNSIGNED),
    Input(64, "the secret and a line feed", lambda of: acme(of, key=of.acme + "\n"), _UNSIGNED),
    Input(64, "the text of a secret in base64", lambda of: _as_partner(of, of.partner.encode()), _UNSIGNED),
    Input(
        64,
        "the text after whsec_",
        lambda of: _as_partner(of, of.partner.removeprefix("whsec_").encode()),
        _UNSIGNED,
    ),
    Input(65, "the new secret while rotating", lambda of: acme(of).to("/webhooks/rotating"), _ACCEPTED),
    Input(
        65,
        "the old secret while rotating",
        lambda of: acme(of, key=ROTATED_SECRET).to("/webhooks/rotating"),
        _ACCEPTED,
    ),
    Input(65, "the old secret after its removal", lambda of: acme(of, key=ROTATED_SECRET), _UNSIGNED),
    *(
        Input(
            66,
            f"{name} of the public key as a secret",
            lambda of, key=key: _as_partner(of, key).to("/webhooks/asymmetric"),
            _UNSIGNED,
        )
        for name, key in [("the text", PUBLIC_KEY.encode()), ("the bytes", bytes(range(32)))]
    ),
    Input(67, "a key that the sender brings", _with_key_headers, _UNSIGNED),
]

_MOMENTS = [
    *(
        Input(68, f"moment {moment[:24]!r}", lambda of, moment=moment: _stamped(of, moment), _UNSIGNED)
        for moment in [
            "",
            "abc",
            "1e9",
            "nan",
            "inf",
            "-1",
            "0",
            "0x6553f100",
            "9" * 30,
            "9" * 12,
            "\xb2",
            "\xa01",
        ]
    ),
    *(
        Input(68, f"moment {name}", lambda of, bend=bend: _stamped(of, bend(now())), _UNSIGNED)
        for name, bend in [
            ("with a plus", lambda moment: "+" + moment),
            ("with an underscore", lambda moment: f"{moment[0]}_{moment[1:]}"),
            ("with a fraction", lambda moment: moment + ".5"),
            ("with a blank", lambda moment: f"{moment[0]} {moment[1:]}"),
            ("twice", lambda moment: f"{moment},{moment}"),
        ]
    ),
    Input(68, "no moment", lambda of: acme(of).without("X-Acme-Timestamp"), _UNSIGNED),
    Input(68, "two moments", lambda of: acme(of).plus("X-Acme-Timestamp", now()), _UNSIGNED),
    Input(68, "full-width digits", _full_width, _UNSIGNED),
    Input(69, "milliseconds", lambda of: _stamped(of, now() + "000"), _UNSIGNED),
    *(
        Input(70, f"{shift:+} s", lambda of, shift=shift: _stamped(of, str(int(now()) + shift)), answer)
        for shift, answer in [
            # A second of leeway: one may begin between the signing and the verification.
            (-301, _UNSIGNED),
            (302, _UNSIGNED),
            (-298, _ACCEPTED),
            (299, _ACCEPTED),
            (-86_400, _UNSIGNED),
        ]
    ),
    Input(70, "partner, 301 s ago", lambda of: partner(of, moment=str(int(now()) - 301)), _UNSIGNED),
    Input(70, "stripe, 302 s ahead", lambda of: stripe(of, moment=str(int(now()) + 302)), _UNSIGNED),
    Input(
        71,
        "another moment than the signed one",
        lambda of: acme(of).but("X-Acme-Timestamp", str(int(now()) - 5)),
        _UNSIGNED,
    ),
]

_IDS = [
    Input(
        75,
        "the name of another event",
        lambda of: github(of).but("X-GitHub-Event", "release"),
        "202 quarantined",
    ),
    *(
        Input(
            76,
            f"delivery id {name}",
            lambda of, value=value: github(of, delivery="x").but("X-GitHub-Delivery", value),
            _ACCEPTED,
        )
        for name, value in [
            ("empty", ""),
            ("blank", "   "),
            ("of 10 KB", "x" * 10_000),
            ("of 256", "x" * 256),
            ("with a tab", "a\tb"),
            ("with a blank", "a b"),
            ("in unicode", "caf\xe9"),
            ("over 127", b"\xff\xfe"),
        ]
    ),
    Input(76, "no delivery id", lambda of: github(of).without("X-GitHub-Delivery"), _ACCEPTED),
    *(
        Input(76, f"delivery id {value!r}", lambda of, value=value: github(of, delivery=value), _ACCEPTED)
        for value in ["*", "{}", ":", "a:b:c", "../../etc/passwd", "%00", "\\r\\n", "{{7*7}}", "x" * 255]
    ),
    Input(80, "an id with a dot", lambda of: partner(of, message_id="a.b"), _UNSIGNED),
    Input(81, "two ids of partner", lambda of: partner(of).plus("webhook-id", "msg_2"), _UNSIGNED),
    Input(81, "two ids of github", lambda of: github(of).plus("X-GitHub-Delivery", "2"), _MALFORMED),
    Input(81, "two events of github", lambda of: github(of).plus("X-GitHub-Event", "push"), _MALFORMED),
    Input(82, "names in another case", _recased, _ACCEPTED),
    Input(82, "underscores in the names", _underscored, _UNSIGNED),
    Input(83, "an unsigned challenge", lambda of: acme(of, _CHALLENGE).without(SIGNATURE), _UNSIGNED),
    Input(83, "a signed challenge of a sender that has none", lambda of: acme(of, _CHALLENGE), _QUARANTINED),
    Input(84, "a signed ping", lambda of: github(of, _PING, event="ping"), _ACCEPTED),
    Input(
        84,
        "an unsigned ping",
        lambda of: github(of, _PING, event="ping").without("X-Hub-Signature-256"),
        _UNSIGNED,
    ),
]

INPUTS = [*_PRESENCE, *_LISTS, *_BODIES, *_KEYS, *_MOMENTS, *_IDS]
