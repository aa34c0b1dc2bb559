"""Tokens beside the body: an independent library makes them, and every way to get one past us is tried."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.adapters.spec import AdapterSpec
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.schemes.base import Verifier
from gateway.signatures.schemes.fetched_keys import KeptKey, KeyNeeded, KeyRequest
from gateway.signatures.schemes.jwt import JwtScheme, JwtSpec
from gateway.signatures.schemes.key_cache import FRESHNESS, LONGEST_TRUST, MAX_KEYS, REFETCH_INTERVAL
from gateway.signatures.secrets import SecretFormatError
from support.certificates import ec_key, private_pem, public_pem, rsa_key

NOW = 1_736_942_400
BODY = b'{"id": "evt_1"}'
URL = "https://hooks.example.com/webhooks/acme?tenant=7"
SECRET = "a secret that both sides share, 32"
OTHER = "another secret that nobody shares"
DIGEST = hashlib.sha256(BODY).hexdigest()
JWKS = "https://keys.example.com/certs"


def described(**signature: Any) -> JwtSpec:
    """A description of a sender that signs with a token."""
    defaults = {
        "scheme": "jwt",
        "header": "Authorization",
        "prefix": "Bearer ",
        "algorithms": ["HS256"],
        "body_claim": "digest",
        "required": ["exp"],
    }
    described = {name: value for name, value in (defaults | signature).items() if value is not None}
    names = ["audience"] if "parameter:audience" in str(signature) else []
    parameters = {name: {"description": "A name.", "required": True} for name in names}
    spec = AdapterSpec.model_validate({"signature": described, "parameters": parameters}).signature
    assert isinstance(spec, JwtSpec)
    return spec


PLAIN = described()
RSA = described(algorithms=["RS256"], key_format="pem")
PUBLISHED = described(algorithms=["RS256", "ES256"], keys={"jwks": JWKS})
CLAIMS: dict[str, Any] = {"exp": NOW + 60, "digest": DIGEST}


def as_request(token: str, prefix: str = "Bearer ", body: bytes = BODY) -> RawRequest:
    """A POST with a token."""
    return RawRequest(
        body=body, headers=Headers([(b"authorization", (prefix + token).encode("latin-1"))]), url=URL
    )


def encode(claims: dict[str, Any], key: Any = SECRET, algorithm: str = "HS256", **header: Any) -> str:
    """A token of the other library."""
    return jwt.encode(claims, key, algorithm, header)


def bind(spec: JwtSpec, *secrets: str, **parameters: str) -> Verifier:
    """A verifier."""
    return JwtScheme(spec).bind(secrets, parameters)


def fault(verifier: Verifier, request: RawRequest, now: float = NOW) -> str:
    """Why a request is refused."""
    with pytest.raises(SignatureRejected) as caught:
        verifier.verify(request, now)
    return caught.value.fault


def segment(value: Any) -> str:
    """A segment of a token."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


# What is accepted


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256"])
def test_the_tokens_of_another_library_are_accepted(algorithm: str) -> None:
    """With every kind of key, and the second secret while rotating."""
    is_shared = algorithm.startswith("HS")
    private = rsa_key() if algorithm.startswith("RS") else ec_key()
    spec = described(algorithms=[algorithm], key_format="raw" if is_shared else "pem")
    secrets = [OTHER, SECRET] if is_shared else [spec.make_secret().receiver, public_pem(private)]
    key = SECRET * 2 if is_shared else private
    secrets = [OTHER, SECRET * 2] if is_shared else secrets

    assert bind(spec, *secrets).verify(as_request(encode(CLAIMS, key, algorithm)), NOW) == 1


@pytest.mark.parametrize("algorithm", ["HS256", "HS512", "RS256", "ES256", "ES384", "EdDSA"])
def test_another_library_accepts_our_tokens(algorithm: str) -> None:
    """What the simulator sends, with the secrets that it makes for itself; so do we."""
    spec = described(
        algorithms=[algorithm],
        key_format="raw" if algorithm.startswith("HS") else "pem",
        required=["iat", "nbf", "exp", "jti"],
        claims={"iss": "acme", "aud": "{parameter:audience}", "verified": True, "url": "{url}"},
        url_claim="url_digest",
    )
    pair = spec.make_secret()
    request = RawRequest(body=BODY, headers=Headers([]), url=URL)
    signed = JwtScheme(spec).sign(request, pair.sender, NOW, {"audience": "us"})
    token = signed.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(
        token, pair.receiver, [algorithm], audience="us", issuer="acme", options={"verify_exp": False}
    )

    assert claims["digest"] == DIGEST
    assert claims["url_digest"] == hashlib.sha256(URL.encode()).hexdigest()
    assert bind(spec, pair.receiver, audience="us").verify(as_request(token), NOW) == 0


def test_a_body_may_be_the_token() -> None:
    """What it says then is the event."""
    spec = described(
        header=None, prefix=None, place="body", algorithms=["RS256"], key_format="pem", body_claim=None
    )
    pair = spec.make_secret()
    request = RawRequest(body=b'{"data": "{}"}', headers=Headers([]))
    signed = JwtScheme(spec).sign(request, pair.sender, NOW)

    assert jwt.decode(signed.body, pair.receiver, ["RS256"], options={"verify_exp": False})["data"] == "{}"
    assert bind(spec, pair.receiver).verify(RawRequest(body=signed.body, headers=Headers([])), NOW) == 0
    for body in (b"", b"{}", signed.body + b"\n", signed.body[:-8]):
        assert fault(bind(spec, pair.receiver), RawRequest(body=body, headers=Headers([]))).startswith(
            "signature_"
        )


def test_a_body_of_nothing_needs_no_digest() -> None:
    """But a wrong one it must not have, and a body must have one."""
    verifier = bind(PLAIN, SECRET)
    bare = encode({"exp": NOW + 60})

    assert verifier.verify(as_request(bare, body=b""), NOW) == 0
    assert fault(verifier, as_request(encode(CLAIMS), body=b"")) == "signature_mismatch"
    assert fault(verifier, as_request(bare)) == "signature_mismatch"


# What is refused


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"exp": None}, "timestamp_missing"),
        ({"exp": NOW - 60}, "timestamp_too_old"),
        ({"exp": NOW - 59}, None),
        ({"exp": str(NOW + 60)}, "timestamp_malformed"),
        ({"exp": True}, "timestamp_malformed"),
        ({"exp": [NOW]}, "timestamp_malformed"),
        ({"nbf": NOW + 61}, "timestamp_in_future"),
        ({"nbf": NOW + 60}, None),
        ({"iat": NOW + 61}, "timestamp_in_future"),
        ({"iat": NOW - 360}, "timestamp_too_old"),
        ({"iat": NOW - 359.5}, None),
        ({"iat": None}, "timestamp_missing"),
        ({"iss": "ACME"}, "claim_mismatch"),
        ({"iss": None}, "claim_mismatch"),
        ({"iss": ["acme"]}, "claim_mismatch"),
        ({"aud": "them"}, "claim_mismatch"),
        ({"aud": ["them", "us"]}, None),
        ({"aud": ["them"]}, "claim_mismatch"),
        ({"aud": None}, "claim_mismatch"),
        ({"verified": "true"}, "claim_mismatch"),
        ({"verified": 1}, "claim_mismatch"),
        ({"verified": False}, "claim_mismatch"),
        ({"jti": None}, "claim_mismatch"),
        ({"digest": None}, "signature_mismatch"),
        ({"digest": DIGEST.upper()}, "signature_mismatch"),
        ({"digest": DIGEST[:-1]}, "signature_mismatch"),
        ({"digest": {"a": 1}}, "signature_mismatch"),
        ({"digest": "é"}, "signature_mismatch"),
        ({"url": None}, "signature_mismatch"),
        ({"url": hashlib.sha256(b"https://else.example.com").hexdigest()}, "signature_mismatch"),
        ({}, None),
    ],
)
def test_claims_have_to_hold(change: dict[str, Any], expected: str | None) -> None:
    """Each of them spoiled alone."""
    spec = described(
        claims={"iss": "acme", "aud": "{parameter:audience}", "verified": True},
        required=["exp", "jti"],
        max_age="5m",
        url_claim="url",
    )
    claims = CLAIMS | {"iat": NOW, "iss": "acme", "aud": "us", "verified": True, "jti": "1"}
    claims |= {"url": hashlib.sha256(URL.encode()).hexdigest()} | change
    token = encode_raw({name: value for name, value in claims.items() if value is not None})
    verifier = bind(spec, SECRET, audience="us")

    if expected is None:
        assert verifier.verify(as_request(token), NOW) == 0
    else:
        assert fault(verifier, as_request(token)) == expected


def encode_raw(claims: dict[str, Any]) -> str:
    """A token of claims that the other library would not write."""
    return jwt.PyJWS().encode(json.dumps(claims).encode(), SECRET, "HS256")


def test_a_public_key_is_no_shared_secret() -> None:
    """The oldest trick: the public key, which everybody has, as the secret of an HMAC."""
    public = public_pem(rsa_key())
    header, claims = segment({"alg": "HS256", "typ": "JWT"}), segment(CLAIMS)
    for key in (public, public.strip()):
        signature = jwt.algorithms.HMACAlgorithm(hashlib.sha256).sign(
            f"{header}.{claims}".encode(), key.encode()
        )
        token = f"{header}.{claims}.{segment(signature)}"
        assert fault(bind(RSA, public), as_request(token)) == "signature_malformed"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 7, ["HS256"], "HS384", "RS256"])
def test_a_token_does_not_choose_its_algorithm(algorithm: object) -> None:
    """Only those count that are described."""
    header, _, signature = encode(CLAIMS).split(".")
    for last in (signature, "AA", ""):
        token = f"{segment({'alg': algorithm})}.{segment(CLAIMS)}.{last}"
        assert fault(bind(PLAIN, SECRET), as_request(token)) == "signature_malformed"
    assert header != segment({"alg": algorithm})


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key("forger").public_key()))},
        {"x5c": ["AAAA"]},
        {"x5u": "https://forger.example.com/certs"},
        {"jku": "https://forger.example.com/certs"},
    ],
)
def test_a_token_does_not_bring_its_key(header: dict[str, Any]) -> None:
    """Nor say where it is."""
    token = encode(CLAIMS, rsa_key("forger"), "RS256", kid="forged", **header)

    assert fault(bind(RSA, public_pem(rsa_key())), as_request(token)) == "signature_mismatch"
    with pytest.raises(KeyNeeded) as needed:
        bind(PUBLISHED).verify(as_request(token), NOW)
    assert needed.value.request == KeyRequest(JWKS, is_known=True)


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"b64": True},
        {"kid": 7},
        {"kid": None},
    ],
)
def test_a_token_that_demands_to_be_understood_otherwise_is_refused(header: dict[str, Any]) -> None:
    """Extensions of which nobody here knows what they mean."""
    signed = f"{segment({'alg': 'HS256'} | header)}.{segment(CLAIMS)}"
    signature = jwt.algorithms.HMACAlgorithm(hashlib.sha256).sign(signed.encode(), SECRET.encode())

    assert fault(bind(PLAIN, SECRET), as_request(f"{signed}.{segment(signature)}")) == "signature_malformed"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: "",
        lambda token: token + "=",
        lambda token: token + ".",
        lambda token: token + ".e30",
        lambda token: token.rpartition(".")[0],
        lambda token: token.rpartition(".")[0] + ".",
        lambda token: "." + token,
        lambda token: token.replace(".", " "),
        lambda token: token[:10] + "+" + token[11:],
        lambda token: token + "\n",
        lambda token: "e30" + token[token.index(".") :],
        lambda token: "W10" + token[token.index(".") :],
        lambda token: segment(b"[" * 3000) + token[token.index(".") :],
        lambda token: segment(b'{"alg":' * 500) + token[token.index(".") :],
        lambda token: segment({"alg": "HS256", "x": "x" * 4096}) + token[token.index(".") :],
        lambda token: segment(b'\xff{"alg": "HS256"}') + token[token.index(".") :],
    ],
)
def test_what_is_no_token_is_refused(spoil: Any) -> None:
    """Without an exception of any parser."""
    assert fault(bind(PLAIN, SECRET), as_request(spoil(encode(CLAIMS)))) == "signature_malformed"


def test_a_signature_has_one_spelling() -> None:
    """The unused bits of its last character are zero; so is a token known again."""
    token = encode(CLAIMS)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = token[:-1] + alphabet[alphabet.index(token[-1]) + 1]

    assert jwt.utils.base64url_decode(other.rpartition(".")[2]) == jwt.utils.base64url_decode(
        token.rpartition(".")[2]
    )
    assert fault(bind(PLAIN, SECRET), as_request(other)) == "signature_malformed"


def test_every_part_of_a_token_is_signed() -> None:
    """One character after the other."""
    token, verifier = encode(CLAIMS), bind(PLAIN, SECRET)
    for position, character in enumerate(token):
        other = token[:position] + ("A" if character != "A" else "B") + token[position + 1 :]
        assert fault(verifier, as_request(other)).startswith("signature_")


def test_claims_that_are_no_object_are_refused() -> None:
    """Even when they are signed."""
    for payload in (b"[]", b"x", b'"text"', b"[" * 5000):
        token = jwt.PyJWS().encode(payload, SECRET, "HS256")
        assert fault(bind(PLAIN, SECRET), as_request(token)) == "signature_malformed"


def test_the_prefix_and_the_header_are_needed() -> None:
    """Once, and as they are described."""
    verifier, token = bind(PLAIN, SECRET), encode(CLAIMS)
    twice = RawRequest(body=BODY, headers=Headers([(b"authorization", b"Bearer x")] * 2))

    assert fault(verifier, as_request(token, prefix="")) == "signature_malformed"
    assert fault(verifier, as_request(token, prefix="bearer ")) == "signature_malformed"
    assert fault(verifier, RawRequest(body=BODY, headers=Headers([]))) == "signature_missing"
    assert fault(verifier, twice) == "signature_ambiguous"


def test_an_es256_signature_of_another_length_is_refused() -> None:
    """Two numbers of 32 bytes, and never DER."""
    spec = described(algorithms=["ES256"], key_format="pem")
    verifier = bind(spec, public_pem(ec_key()))
    signed, _, signature = encode(CLAIMS, ec_key(), "ES256").rpartition(".")
    content = base64.urlsafe_b64decode(signature + "==")
    for other in (content[:-1], content + b"\0", b"\0" * 64, b"\xff" * 64, content[:32]):
        assert fault(verifier, as_request(f"{signed}.{segment(other)}")) == "signature_mismatch"


@given(st.binary(max_size=200))
def test_nothing_but_a_refusal_comes_of_rubbish(rubbish: bytes) -> None:
    """In the header, and as the body."""
    in_header = RawRequest(body=BODY, headers=Headers([(b"authorization", b"Bearer " + rubbish)]))
    for spec, secret in ((PLAIN, SECRET), (RSA, public_pem(rsa_key()))):
        with pytest.raises(SignatureRejected):
            bind(spec, secret).verify(in_header, NOW)


# Keys that are published


def jwk_of(key: Any, kid: str, **members: Any) -> dict[str, Any]:
    """A public key as senders publish it."""
    kind = jwt.algorithms.ECAlgorithm if hasattr(key, "curve") else jwt.algorithms.RSAAlgorithm
    made: dict[str, Any] = json.loads(kind.to_jwk(key.public_key()))
    return made | {"kid": kid} | members


def key_set(*keys: Any) -> bytes:
    """A set of them."""
    return json.dumps({"keys": keys}).encode()


SET = key_set(
    jwk_of(rsa_key(), "one"),
    jwk_of(ec_key(), "two"),
    jwk_of(rsa_key("cipher"), "three", use="enc"),
    {"kty": "oct", "k": "AAAA", "kid": "four"},
    {"kty": "RSA", "kid": "five"},
    {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA", "kid": "six"},
    {"kty": "OKP", "crv": "Ed25519", "x": "é", "kid": "seven"},
    "nonsense",
)


def token_of(key_id: str, key: Any = None, algorithm: str = "RS256") -> RawRequest:
    """A request with a token for a key of the set."""
    return as_request(encode(CLAIMS | {"exp": NOW + 10**7}, key or rsa_key(), algorithm, kid=key_id))


def learned() -> Verifier:
    """A verifier that knows the set."""
    verifier = bind(PUBLISHED)
    verifier.learn(KeyRequest(JWKS), SET, NOW)
    return verifier


def test_published_keys_are_asked_for_and_then_known() -> None:
    """One fetch for all of them."""
    verifier = bind(PUBLISHED)
    with pytest.raises(KeyNeeded) as needed:
        verifier.verify(token_of("one"), NOW)
    assert needed.value.request == KeyRequest(JWKS, is_known=True)

    verifier.learn(needed.value.request, SET, NOW)
    assert verifier.verify(token_of("one"), NOW) == 0
    assert verifier.verify(token_of("two", ec_key(), "ES256"), NOW) == 0


@pytest.mark.parametrize("key_id", ["three", "four", "five", "six", "seven", "eight", "/" * 256])
def test_a_key_that_is_not_published_is_asked_for_once_a_minute(key_id: str) -> None:
    """Neither are those that are for something else, or no keys; in between it is refused."""
    verifier = learned()
    assert fault(verifier, token_of(key_id), NOW) == "unknown_key"
    assert fault(verifier, token_of(key_id), NOW + REFETCH_INTERVAL - 1) == "unknown_key"
    with pytest.raises(KeyNeeded):
        verifier.verify(token_of(key_id), NOW + REFETCH_INTERVAL)


@pytest.mark.parametrize("key_id", ["", " ", "a b", "é", "/" * 257, "\n"])
def test_a_key_is_not_asked_for_under_a_name_that_none_can_have(key_id: str) -> None:
    """Not even when there is no key yet."""
    assert fault(bind(PUBLISHED), token_of(key_id), NOW) == "unknown_key"
    assert fault(learned(), token_of(key_id), NOW + REFETCH_INTERVAL) == "unknown_key"


def test_a_key_proves_only_what_it_signed() -> None:
    """Neither tokens of another key, nor those of an algorithm that is not its own."""
    verifier = learned()
    assert fault(verifier, token_of("one", rsa_key("forger"))) == "signature_mismatch"
    assert fault(verifier, token_of("two")) == "signature_mismatch"


def test_old_keys_are_refreshed_and_used_while_that_fails() -> None:
    """For an hour they are not due, for a day once a minute, and then they are believed no longer."""
    verifier, request = learned(), token_of("one")
    keys = verifier.fetched
    assert keys is not None
    assert keys.due(NOW + FRESHNESS - 1) == []

    for later in (FRESHNESS, FRESHNESS + REFETCH_INTERVAL, LONGEST_TRUST - 1):
        assert keys.due(NOW + later) == [JWKS]
        assert keys.due(NOW + later) == []
        assert verifier.verify(request, NOW + later) == 0

    with pytest.raises(KeyNeeded):
        verifier.verify(request, NOW + LONGEST_TRUST)


def test_a_set_is_used_on_though_the_clock_goes_back() -> None:
    """It is fetched anew soon."""
    verifier = learned()
    assert verifier.verify(token_of("one"), NOW - 7200) == 0
    assert verifier.fetched is not None
    assert verifier.fetched.due(NOW - 7200) == [JWKS]


def test_a_kept_set_is_as_good_as_a_fetched_one() -> None:
    """For as long as it would have been; a newer one stays."""
    kept = learned().fetched
    assert kept is not None
    verifier = bind(PUBLISHED)
    assert verifier.fetched is not None
    for key in kept.kept():
        verifier.fetched.restore(key, NOW)
    assert verifier.verify(token_of("one"), NOW) == 0
    assert verifier.fetched.kept() == kept.kept()

    verifier.fetched.restore(KeptKey(JWKS, key_set(jwk_of(rsa_key("old"), "old")), NOW - 1), NOW)
    assert verifier.verify(token_of("one"), NOW) == 0
    with pytest.raises(KeyNeeded):
        verifier.verify(token_of("one"), NOW + LONGEST_TRUST)


def test_a_refreshed_set_takes_the_place_of_the_old_one() -> None:
    """A key that was withdrawn proves nothing."""
    verifier = learned()
    verifier.learn(KeyRequest(JWKS), key_set(jwk_of(rsa_key("new"), "new")), NOW + 10)

    assert verifier.verify(token_of("new", rsa_key("new")), NOW + 10) == 0
    assert fault(verifier, token_of("one"), NOW + 10) == "unknown_key"


def test_a_set_is_bounded() -> None:
    """Of more keys than any sender has the first count."""
    verifier = bind(PUBLISHED)
    verifier.learn(KeyRequest(JWKS), key_set(*[jwk_of(rsa_key(), str(number)) for number in range(40)]), NOW)

    assert verifier.verify(token_of(str(MAX_KEYS - 1)), NOW) == 0
    assert fault(verifier, token_of(str(MAX_KEYS))) == "unknown_key"


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"[]", b"{}", b'{"keys": []}', b'{"keys": {}}', b'{"keys": [{}]}', b"[" * 5000],
)
def test_what_is_no_set_is_not_learned(content: bytes) -> None:
    """And the old one stays."""
    verifier = learned()
    with pytest.raises(ValueError, match=r"."):
        verifier.learn(KeyRequest(JWKS), content, NOW)
    assert verifier.verify(token_of("one"), NOW) == 0


def test_a_key_may_be_configured_in_place_of_the_published_ones() -> None:
    """Then nothing is fetched, and the name of the key does not matter."""
    assert bind(PUBLISHED, public_pem(rsa_key())).verify(token_of("any"), NOW) == 0
    assert not PUBLISHED.needs_secret
    assert PLAIN.needs_secret


# Descriptions


@pytest.mark.parametrize(
    ("signature", "problem"),
    [
        ({"algorithms": ["none"]}, "Input should be"),
        ({"algorithms": []}, "at least 1"),
        ({"algorithms": ["HS256", "RS256"]}, "must not become a shared secret"),
        ({"algorithms": ["HS256"], "key_format": "pem"}, "must not become a shared secret"),
        ({"algorithms": ["RS256"]}, "must not become a shared secret"),
        ({"algorithms": ["HS256"], "keys": {"jwks": JWKS}}, "must not become a shared secret"),
        ({"algorithms": ["RS256"], "keys": {"jwks": "http://keys.example.com"}}, "pattern"),
        ({"header": None}, "header or place"),
        ({"place": "body"}, "header or place"),
        ({"body_claim": None}, "binds_body: false"),
        ({"binds_body": False}, "binds_body: false"),
        ({"claims": {"aud": "{audience}"}}, "unknown field"),
        ({"claims": {"aud": "{parameter:other}"}}, "must declare other as required"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(signature: dict[str, Any], problem: str) -> None:
    """Before any token is judged by it."""
    with pytest.raises(ValidationError, match=problem):
        described(**signature)


@pytest.mark.parametrize(
    ("spec", "secret"),
    [(PLAIN, ""), (RSA, SECRET), (RSA, public_pem(ec_key())), (RSA, private_pem(rsa_key()))],
)
def test_a_secret_that_is_none_is_refused(spec: JwtSpec, secret: str) -> None:
    """When it is configured."""
    with pytest.raises(SecretFormatError):
        bind(spec, secret)
