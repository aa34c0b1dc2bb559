"""Providers' own limits are the defaults, and a setting that refuses what they send is warned of."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.adapters import registry
from gateway.config import Config, config_warnings, load_config
from gateway.config.resolve import adapter_of, max_body_of
from gateway.config.secrets import warnings_about
from gateway.errors import ConfigurationError
from gateway.signatures.request import Headers, RawRequest

MIB = 1024**2
SECRET = "correct horse battery staple"
GITHUB = "providers:\n  x: {adapter: github, secrets: [%s]%s}\n"
REWRITTEN = (
    "providers:\n  x: {adapter: hmac, secrets: [%s], signature: {header: X-S, signed: '{json_sorted}'}%s}\n"
)


def load(folder: Path, text: str) -> Config:
    """The configuration of a file with this text."""
    (folder / "config.yaml").write_text(text, "utf-8")
    return load_config(folder / "config.yaml", {})


def problems_of(folder: Path, text: str) -> list[str]:
    """What is wrong with it, a line each, without the folder."""
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


# Sizes


@pytest.mark.parametrize(
    ("server", "provider", "expected"),
    [
        ("", "", 25 * MIB),
        ("server: {processes: 2}\n", "", 25 * MIB),
        ("server: {max_body: 2MiB}\n", "", 2 * MIB),
        ("server: {max_body: 30MiB}\n", "", 30 * MIB),
        ("server: {max_body: 2MiB}\n", ", max_body: 3MiB", 3 * MIB),
        ("", ", max_body: 512KiB", MIB // 2),
        ("server: {max_buffered: 16MiB}\n", "", 16 * MIB),
    ],
)
def test_the_largest_body_is_as_configured_or_as_the_sender_documents(
    tmp_path: Path, server: str, provider: str, expected: int
) -> None:
    """The provider's own setting first, then the server's, then the adapter's; what is below is warned of."""
    config = load(tmp_path, server + GITHUB % (f'"{SECRET}"', provider))
    limit = max_body_of(config, config.providers["x"], adapter_of(config.providers["x"]))
    assert limit == expected
    warnings = [warning for warning in config_warnings(config) if "sends bodies of up to 25MiB" in warning]
    assert len(warnings) == (expected < 25 * MIB)
    if warnings:
        place = "providers.x" if provider else "server"
        assert warnings[0].startswith((f"{place}.max_body", "server.max_buffered"))


def test_a_sender_of_usual_size_has_the_limit_of_the_server(tmp_path: Path) -> None:
    """One mebibyte, and no warning."""
    config = load(tmp_path, GITHUB.replace("github", "stripe") % (f'"{SECRET}"', ""))
    assert max_body_of(config, config.providers["x"], adapter_of(config.providers["x"])) == MIB
    assert config_warnings(config) == []


def test_what_is_parsed_before_it_is_proven_is_small(tmp_path: Path) -> None:
    """Whatever the server lets in."""
    config = load(tmp_path, "server: {max_body: 20MiB}\n" + REWRITTEN % (f'"{SECRET}"', ""))
    assert max_body_of(config, config.providers["x"], adapter_of(config.providers["x"])) == MIB
    problems = problems_of(tmp_path, REWRITTEN % (f'"{SECRET}"', ", max_body: 2MiB"))
    assert problems == [
        "config.yaml:2: providers.x.max_body: must not be larger than 1MiB, because the body is rewritten before it is verified"
    ]


# Moments


def test_a_tolerance_of_ones_own_holds_and_is_warned_of_where_it_is_lower(tmp_path: Path) -> None:
    """Linear's repetitions have the moment of the first attempt."""
    text = (
        "providers:\n  x: {adapter: %s, secrets: ['" + SECRET + "'], tolerance: %s, "
        "public_url: 'https://hooks.example.com/webhooks/x'}\n"
    )
    for adapter, tolerance, is_low in (
        ("linear", "5m", True),
        ("linear", "9h", False),
        ("stripe", "10m", False),
        ("stripe", "1m", True),
        ("zoom", "5m", True),
        ("messagebird", "1m", True),
    ):
        config = load(tmp_path, text % (adapter, tolerance))
        spec = adapter_of(config.providers["x"]).spec
        assert spec.signature.moment_tolerance == config.providers["x"].tolerance
        assert any("tolerance: is" in warning for warning in config_warnings(config)) == is_low


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("adapter: github, tolerance: 5m", "tolerance is for senders that sign when they send"),
        ("adapter: gitlab, tolerance: 5m", "tolerance is for senders that sign when they send"),
        (
            "adapter: hmac, signature: {header: X-S}, tolerance: 5m",
            "tolerance is for adapters; write it under signature.timestamp",
        ),
        (
            "adapter: stripe, tolerance: 5d",
            "accepts requests that are 5d old, longer than dedupe.retention (4d)",
        ),
        (
            "adapter: hmac, signature: {header: X-S, signed: '{timestamp}{body}', timestamp: {header: X-T, tolerance: 5d}}",
            "accepts requests that are 5d old, longer than dedupe.retention (4d)",
        ),
    ],
)
def test_a_tolerance_that_cannot_be_is_a_mistake(tmp_path: Path, provider: str, said: str) -> None:
    """A delivery that is older than what is remembered could be sent again as a new event."""
    (problem,) = problems_of(tmp_path, f"providers:\n  x: {{{provider}, secrets: ['{SECRET}']}}\n")
    assert said in problem


def test_no_adapter_is_warned_of_by_default(tmp_path: Path) -> None:
    """Its sender's limits are those that it has."""
    for adapter in ("github", "gitlab", "linear", "zoom", "pusher", "meta", "mailgun", "slack", "shopify"):
        token = ", handshake_token: a-token-to-verify" if adapter == "meta" else ""
        config = load(tmp_path, f"providers:\n  x: {{adapter: {adapter}, secrets: ['{SECRET}']{token}}}\n")
        assert [w for w in config_warnings(config) if "max_body" in w or "tolerance" in w] == []


# Templates


@pytest.mark.parametrize("template", ["{id}{timestamp}{body}", "{header:X-A}.{id}.{timestamp}.{body}"])
def test_a_template_that_can_be_read_in_two_ways_is_a_mistake(tmp_path: Path, template: str) -> None:
    """With its line, and what can be said to tell the fields apart."""
    text = f"""providers:
  x:
    adapter: hmac
    secrets: ['{SECRET}']
    event_id: header:X-Id
    signature:
      header: X-Signature
      signed: "{template}"
      timestamp: {{header: X-Timestamp}}
"""
    (problem,) = problems_of(tmp_path, text)
    assert problem.startswith("config.yaml:8: providers.x.signature.signed: does not say where {")
    assert "signature.alphabets" in problem
    alphabets = '      alphabets: {id: A-Za-z_-, "header:X-A": a-z}\n'
    if "header:X-A" not in template:
        alphabets = "      alphabets: {id: A-Za-z_-}\n"
    load(tmp_path, text + alphabets)


def test_of_a_moment_and_a_header_the_header_is_what_is_to_be_described(tmp_path: Path) -> None:
    """The moment is not made of the letters that the advice has."""
    text = f"""providers:
  x:
    adapter: hmac
    secrets: ['{SECRET}']
    signature:
      header: X-Signature
      signed: "{{timestamp}}.{{header:X-Event}}.{{body}}"
      timestamp: {{header: X-Timestamp, unit: iso8601}}
"""
    (problem,) = problems_of(tmp_path, text)
    assert problem.endswith('such as {"header:X-Event": A-Za-z0-9_-}')
    load(tmp_path, text + '      alphabets: {"header:X-Event": A-Za-z0-9_-}\n')


@pytest.mark.parametrize("name", ["elevenlabs", "mailjet"])
def test_what_brings_recordings_and_attachments_may_be_large(name: str) -> None:
    """Both come in Base64 in the body."""
    assert registry.load(name).spec.max_body == 25 * MIB


def test_what_stands_before_a_signature_may_be_several_words(tmp_path: Path) -> None:
    """Such as a scheme of authorization and the name of a key."""
    text = """providers:
  x:
    adapter: hmac
    secrets: ['%s']
    signature: {header: Authorization, prefix: "HMAC client-7:", signed: "{body}"}
"""
    adapter = adapter_of(load(tmp_path, text % SECRET).providers["x"])
    request = RawRequest(body=b"{}", headers=Headers([]), path="/", url="http://x/")
    signed = adapter.scheme.sign(request, SECRET, 0.0)
    assert signed.headers["Authorization"].startswith("HMAC client-7:")
    headers = Headers([(name.lower().encode(), text.encode()) for name, text in signed.headers.items()])
    again = RawRequest(body=b"{}", headers=headers, path="/", url="http://x/")
    assert adapter.bind([SECRET]).verify(again, 0.0).body == b"{}"


# Secrets

ODD: list[tuple[str, str]] = [
    ('"correct horse battery staple"', "is in quotes"),
    ("'correct horse battery staple'", "is in quotes"),
    ("`correct horse battery staple`", "is in quotes"),
    ("“correct horse battery staple”", "is in quotes"),
    ('correct horse battery staple"', "has a quote at one end"),
    ("'correct horse battery staple", "has a quote at one end"),
    ("\ufeffcorrect horse battery staple", "has a byte order mark"),
    ("correct horse\u200b battery staple", "U+200B"),
    ("correct horse battery staple\u2060", "U+2060"),
    ("correct\u00a0horse battery staple", "U+00A0"),
    ("\u202ecorrect horse battery staple", "U+202E"),
    ("correct horse\u00ad battery staple", "U+00AD"),
    ("correct horse\tbattery staple", "a tab"),
    ("correct horse\nbattery staple", "a line feed"),
    ("correct horse\rbattery staple", "a carriage return"),
    ("correct horse\x00battery staple", "U+0000"),
    ("export STRIPE_SECRET=correct horse battery", "begins like an assignment"),
    ("STRIPE_WEBHOOK_SECRET=correct horse battery", "begins like an assignment"),
    ("SECRET = correct horse battery", "begins like an assignment"),
    ("changeme123", "words that anybody would try"),
    ("my-webhook-secret-1", "words that anybody would try"),
    ("password123!", "words that anybody would try"),
    ("It's a Secret to Everybody", "an example from a provider's documentation"),
    ("0a1b2c3d", "is shorter than 16 characters"),
    ("0a1b2c3d4e5f6a7", "is shorter than 16 characters"),
]


@pytest.mark.parametrize(("secret", "said"), ODD, ids=[ascii(secret) for secret, _ in ODD])
@pytest.mark.parametrize("kind", ["variable", "file"])
def test_a_secret_that_was_not_copied_as_it_is_is_told(
    tmp_path: Path, secret: str, said: str, kind: str
) -> None:
    """With its place, and with nothing of it."""
    environment = {"X": secret}
    if kind == "file":
        (tmp_path / "secret").write_bytes(secret.encode() + b"\n")
        environment = {"X_FILE": str(tmp_path / "secret")}
    (tmp_path / "config.yaml").write_text("providers:\n  x: {adapter: stripe, secrets: ['${X}']}\n", "utf-8")
    warnings = config_warnings(load_config(tmp_path / "config.yaml", environment))
    assert any(warning.startswith("providers.x.secrets.0: ") and said in warning for warning in warnings)
    assert not any("horse" in warning or "changeme" in warning or "0a1b" in warning for warning in warnings)


@pytest.mark.parametrize(
    "secret",
    [
        SECRET,
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oE",
        "EZtpq/9GFZGp9m1dTVsxHLjXEZMK7LTTnxPfS7NBSZ0=",
        "b537207f20cbfa02357cf448134da559",
        "pässwörd-über-alles-2026",
        "He said 'no', and \"yes\" too.",
        "A=b+c/d==0123456789",
    ],
)
def test_a_secret_as_senders_make_them_is_not_doubted(tmp_path: Path, secret: str) -> None:
    """Blanks within, base64, letters of any language."""
    (tmp_path / "config.yaml").write_text("providers:\n  x: {adapter: stripe, secrets: ['${X}']}\n", "utf-8")
    assert config_warnings(load_config(tmp_path / "config.yaml", {"X": secret})) == []


def test_a_key_in_pem_has_lines() -> None:
    """They are no mistake."""
    assert list(warnings_about("-----BEGIN PUBLIC KEY-----\r\nAAAA\n-----END PUBLIC KEY-----")) == []


def test_a_handshake_token_is_looked_at_too(tmp_path: Path) -> None:
    """It is compared as it is."""
    text = f"providers:\n  x: {{adapter: meta, secrets: ['{SECRET}'], handshake_token: '\"to-verify-us\"'}}\n"
    assert any(
        w.startswith("providers.x.handshake_token: is in quotes")
        for w in config_warnings(load(tmp_path, text))
    )


def test_one_secret_in_two_places_is_told(tmp_path: Path) -> None:
    """In one provider, written in two ways, and in two providers."""
    text = (
        "providers:\n"
        "  a: {adapter: svix, secrets: [whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oE, C2FVsBQIhrscChlQIMV+b5sSYspob7oE]}\n"
        "  b: {adapter: clerk, secrets: [whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oE]}\n"
    )
    assert config_warnings(load(tmp_path, text)) == [
        "providers.a.secrets.1: equals providers.a.secrets.0; while rotating, list two different secrets",
        "providers.b.secrets.0: equals providers.a.secrets.0; anyone who can sign for one can sign for the other",
    ]


@pytest.mark.parametrize("secret", ["0a1b2c3", "whsec_0a1b2c3", "v1,whsec_0a1b2c3"])
def test_a_secret_of_less_than_eight_characters_is_refused(tmp_path: Path, secret: str) -> None:
    """The prefix that everybody knows does not count."""
    (problem,) = problems_of(tmp_path, GITHUB % (f'"{secret}"', ""))
    assert "secrets.0: is shorter than 8 characters" in problem
