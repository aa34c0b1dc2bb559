"""The settings of the way out: safe by default, and every mistake is told in one line with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.check import run_check
from gateway.config import Config, config_warnings, load_config
from gateway.errors import ConfigurationError

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
KEY = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
PROVIDERS = (
    'providers: {stripe: {adapter: stripe, secrets: ["correct horse battery"]}, sns: {adapter: aws_sns, secrets: [], parameters: '
    f"{{topic_arn: 'arn:aws:sns:eu-west-1:123456789012:a'}}}}, resend: {{adapter: resend, secrets: [{SECRET}]}}}}\n\n"
)


def load(folder: Path, text: str, **environment: str) -> Config:
    """Load a file with this text after the providers, which take two lines."""
    path = folder / "config.yaml"
    path.write_text(PROVIDERS + text, "utf-8")
    return load_config(path, {"SECRET": SECRET, "KEY": KEY, **environment})


def problem_of(folder: Path, text: str) -> str:
    """Return the only problem of a file, without the folder."""
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text)
    assert len(caught.value.args) == 1, caught.value.args
    return str(caught.value).replace(f"{folder}/", "")


def endpoint(**settings: str) -> str:
    """One endpoint with a setting a line; `url` is in line 5, `events` in line 6, `secrets` in line 7, then the rest."""
    settings = {
        "url": "https://a.example/hooks",
        "events": "[stripe.#]",
        "secrets": '["${SECRET}"]',
        **settings,
    }
    lines = [f"    {name}: {value}\n" for name, value in settings.items() if value]
    return "endpoints:\n  billing:\n" + "".join(lines)


def test_without_endpoints_there_is_no_way_out(tmp_path: Path) -> None:
    """Nothing starts that nobody asked for, and nothing unsafe is on by default."""
    config = load(tmp_path, "")

    assert not config.has_way_out
    outbound = config.outbound
    assert (outbound.allow_http, outbound.allow_networks, outbound.proxy) == (False, [], "")


def test_an_endpoint_switches_the_way_out_on(tmp_path: Path) -> None:
    """Its settings are safe by default."""
    config = load(tmp_path, endpoint())

    assert config.has_way_out
    billing = config.endpoints["billing"]
    assert billing.secret_texts() == [SECRET]
    assert (billing.allow_private, billing.concurrency, billing.timeout) == (False, 8, 15.0)


@pytest.mark.parametrize(("enabled", "expected"), [("true", True), ("false", False), ("auto", True)])
def test_the_way_out_can_be_switched(tmp_path: Path, enabled: str, expected: bool) -> None:
    """`true` is for endpoints that are made through the API alone."""
    config = load(tmp_path, f"outbound: {{enabled: {enabled}}}\n{endpoint()}")

    assert config.has_way_out is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (endpoint(url="http://a.example/"), "config.yaml:5: endpoints.billing.url: is not encrypted"),
        (endpoint(url="ftp://a.example/"), "config.yaml:5: endpoints.billing.url: is not a URL"),
        (endpoint(events="[]"), "config.yaml:6: endpoints.billing.events: is empty"),
        (endpoint(secrets=""), "config.yaml:4: endpoints.billing: secrets is missing"),
        (endpoint(secrets="[whsec_c2hvcnQ=]"), "config.yaml:7: endpoints.billing.secrets.0: is not whsec_"),
        (
            endpoint(secrets='["${SECRET}", "${SECRET}"]'),
            "config.yaml:7: endpoints.billing.secrets.1: stands there twice",
        ),
        (
            endpoint(signature="timestamp", secrets="[tiny]"),
            "config.yaml:7: endpoints.billing.secrets.0: is shorter than 8",
        ),
        (endpoint(signature="ed25519"), "config.yaml:4: endpoints.billing: private_key is missing"),
        (
            endpoint(signature="ed25519", private_key="whsk_AAAA"),
            "config.yaml:9: endpoints.billing.private_key: is not whsk_",
        ),
        (endpoint(private_key="whsk_${KEY}"), "endpoints.billing.private_key: is for signature: ed25519"),
        (endpoint(format="original", sign_as="strpe"), "did you mean stripe?"),
        (endpoint(sign_as="stripe"), "endpoints.billing.sign_as: is for format: original"),
        (endpoint(on_dead="hold"), "endpoints.billing.on_dead: hold needs an order"),
        (endpoint(order="sideways"), "config.yaml:8: endpoints.billing.order:"),
        (
            endpoint(timeout="40s"),
            "config.yaml:8: endpoints.billing.timeout: must be less than or equal to 30",
        ),
        (
            endpoint(where="{data: {eq: 1}}"),
            "config.yaml:8: endpoints.billing.where: data is no JSON pointer",
        ),
        (
            endpoint(where="{/data/a: {matches: 1}}"),
            "config.yaml:8: endpoints.billing.where: /data/a: matches is no operator; there are eq, ne",
        ),
        (endpoint(where="{/data/a: {in: a}}"), "endpoints.billing.where: /data/a: in has to be a list"),
        (endpoint(where="{/data/a: {gt: true}}"), "endpoints.billing.where: /data/a: gt has to be a number"),
        (
            endpoint(where="{/data/a: {exists: 1}}"),
            "endpoints.billing.where: /data/a: exists has to be true or false",
        ),
        (
            endpoint(where="{/data/a: {prefix: 1}}"),
            "endpoints.billing.where: /data/a: prefix has to be a text",
        ),
        (endpoint(where="{/data/a: {eq: [1]}}"), "endpoints.billing.where: /data/a: eq has to be a text"),
        (
            endpoint(where="[" + ", ".join("{/a: {eq: 1}}" for _ in range(17)) + "]"),
            "endpoints.billing.where: has more than 16 conditions",
        ),
        (
            endpoint(headers="{Host: a}"),
            "config.yaml:8: endpoints.billing.headers.Host: is a header that the gateway",
        ),
        (endpoint(headers='{X-A: "a\\nb"}'), "endpoints.billing.headers.X-A: has characters"),
        (
            endpoint(headers="{svix-id: a}"),
            "config.yaml:8: endpoints.billing.headers.svix-id: is a header that the gateway",
        ),
        (endpoint(headers='{X-A: ""}'), "endpoints.billing.headers.X-A: is empty"),
        (endpoint(headers="{X-A: a, x-a: b}"), "endpoints.billing.headers.x-a: stands there twice"),
        (
            endpoint(format="original", sign_as="paypal"),
            "config.yaml:9: endpoints.billing.sign_as: receivers of paypal fetch its public keys",
        ),
        (
            endpoint(format="original", events="[sns.#]"),
            "config.yaml:8: endpoints.billing.format: receivers of aws_sns fetch its public keys",
        ),
        (
            endpoint(format="original", sign_as="svix", secrets="['not base64 at all!']"),
            "config.yaml:7: endpoints.billing.secrets.0: cannot sign as svix: it is not base64",
        ),
        (
            endpoint(format="original", events="[resend.#]", secrets="['not base64 at all!']"),
            "config.yaml:7: endpoints.billing.secrets.0: cannot sign as resend: it is not base64",
        ),
        (endpoint(headers=f"{{X-A: {'a' * 5000}}}"), "endpoints.billing.headers: are larger than 4096"),
        (
            endpoint(give_up_on="[200]"),
            "endpoints.billing.give_up_on.0: must be greater than or equal to 400",
        ),
        (endpoint(event="[a]"), "endpoints.billing.event: is not a setting; did you mean events?"),
        (
            "endpoints:\n  Bad_Name: {url: 'https://a.example', events: [a.b]}\n",
            "config.yaml:4: endpoints.Bad_Name",
        ),
        ("outbound: {keys: [abc]}\n", "config.yaml:3: outbound.keys.0: is not base64 of 32 bytes"),
        ("outbound: {proxy: 'socks5://a'}\n", "config.yaml:3: outbound.proxy: is not the address of a proxy"),
        (
            "outbound: {allow_networks: [10.1.2.3/8]}\n",
            "outbound.allow_networks.0: is an address within a network",
        ),
        ("outbound: {retention: {held: 30d}}\n", "outbound.retention.held: must not be longer than"),
        (
            "postgres: {url: 'postgresql://a@b/c'}\n" + endpoint(),
            "outbound.keys: is empty, but postgres.url names a database",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    """One line for each: where, what, and what to do."""
    problem = problem_of(tmp_path, text)

    assert expected in problem
    assert "\n" not in problem
    assert SECRET not in problem


def test_an_unset_variable_is_told_and_supplied_for_commands_that_deliver_nothing(tmp_path: Path) -> None:
    """As a provider's secrets: a worker needs none of them."""
    text = endpoint(secrets='["${UNSET}"]', url='"${UNSET}"')
    path = tmp_path / "config.yaml"
    path.write_text(PROVIDERS + text, "utf-8")

    with pytest.raises(ConfigurationError, match="needs the environment variable UNSET"):
        load_config(path, {})
    config = load_config(path, {}, missing=lambda _: "stand-in", has_secrets=False)
    assert config.endpoints["billing"].events == ["stripe.#"]


def test_conditions_may_have_alternatives(tmp_path: Path) -> None:
    """One object, or a list of them."""
    one = load(tmp_path, endpoint(where="{/data/a: {gt: 1}}")).endpoints["billing"]
    two = load(tmp_path, endpoint(where="[{/data/a: {gt: 1}}, {/data/b: {eq: x}}]")).endpoints["billing"]

    assert one.where == [{"/data/a": {"gt": 1}}]
    assert two.where == [{"/data/a": {"gt": 1}}, {"/data/b": {"eq": "x"}}]
    assert load(tmp_path, endpoint()).endpoints["billing"].where == []


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("stripe.invoce.paid", "matches none of the"),
        ("stripe", "matches no event: write stripe.#"),
        ("billing-agent.agent.run.#", ""),
        ("#", ""),
        ("stripe.invoice.*", ""),
    ],
)
def test_a_pattern_that_matches_nothing_is_warned_of(tmp_path: Path, pattern: str, expected: str) -> None:
    """Those of agents are not known."""
    warnings = config_warnings(load(tmp_path, endpoint(events=f'["{pattern}"]')))

    about = [warning for warning in warnings if warning.startswith("endpoints.billing.events.0")]
    assert bool(about) is bool(expected)
    assert all(expected in warning for warning in about)


def test_endpoints_that_get_nothing_are_warned_of(tmp_path: Path) -> None:
    """Somebody may have switched the way out off for a while, and forgotten it."""
    warnings = config_warnings(load(tmp_path, "outbound: {enabled: false}\n" + endpoint()))

    assert any(warning.startswith("outbound.enabled: is false") for warning in warnings)


def test_check_shows_endpoints_without_paths_and_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path may be a token."""
    path = tmp_path / "config.yaml"
    text = endpoint(url="https://a.example/s3cr3t", secrets=f'["{SECRET}"]', headers="{X-Token: s3cr3t}")
    path.write_text(PROVIDERS + text, "utf-8")

    run_check(path)

    output = capsys.readouterr().out
    assert "endpoint billing: stripe.# to a.example, format: json, 1 secret" in output
    assert "s3cr3t" not in output
    assert SECRET not in output
    assert "s3cr3t" not in repr(load_config(path, {}))
