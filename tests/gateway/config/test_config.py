"""The configuration: every mistake is found before anything starts, told with its place, and never with a secret."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import structlog
import yaml

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.adapters.spec import ParameterSpec
from gateway.cli.check import run_check
from gateway.config import EMBEDDED, Config, config_warnings, load_config
from gateway.config.discovery import BUNDLED_CONFIG, load_without_secrets
from gateway.config.interpolation import UnsetVariable, expand, is_optional
from gateway.config.reference import config_schema
from gateway.config.resolve import adapter_of, retention_of
from gateway.errors import ConfigurationError
from gateway.server import log_config_warnings
from gateway.signatures.schemes import SignatureSpec
from support.repository import ROOT

SECRET = "correct horse battery staple"
GITHUB = 'providers:\n  github: {adapter: github, secrets: ["${SECRET}"]}\n'
SHIPPED_SECRETS = {
    name: f"{SECRET} of {name}"
    for name in ("STRIPE_WEBHOOK_SECRET", "GITHUB_WEBHOOK_SECRET", "ACME_WEBHOOK_SECRET")
}


def load(folder: Path, text: str, **environment: str) -> Config:
    """The configuration of a file with this text."""
    path = folder / "config.yaml"
    path.write_text(text, "utf-8")
    return load_config(path, {"SECRET": SECRET, **environment})


def problems_of(folder: Path, text: str, **environment: str) -> list[str]:
    """Return the problems of a configuration, one line each, without the folder."""
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text, **environment)
    assert caught.value.exit_code == 3
    assert caught.value.__cause__ is None
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def github(**settings: str) -> str:
    """One provider with a setting a line: adapter in line 3, secrets in line 4, then the rest."""
    settings = {"adapter": "github", "secrets": '["${SECRET}"]', **settings}
    return "providers:\n  x:\n" + "".join(f"    {name}: {value}\n" for name, value in settings.items())


def _needs_url(adapter: str) -> bool:
    return adapter != registry.GENERIC and registry.load(adapter).spec.needs_url


# The file that is shipped


@pytest.fixture
def shipped() -> Config:
    """config.yaml of the repository, with its secrets set."""
    return load_config(ROOT / "config.yaml", SHIPPED_SECRETS)


def test_the_shipped_file_loads(shipped: Config) -> None:
    """With secrets and nothing else set, everything is embedded."""
    assert {"stripe", "github"} == set(shipped.providers)
    assert (shipped.redis.url, shipped.rabbitmq.url) == (EMBEDDED, EMBEDDED)
    for provider in shipped.providers.values():
        adapter_of(provider).bind(provider.secret_texts())


def test_the_shipped_file_says_what_is_the_default(shipped: Config) -> None:
    """So that it can be read as the reference."""
    minimal = Config(providers=shipped.providers)

    assert minimal.model_dump(mode="json") == shipped.model_dump(mode="json") | {"data_dir": "var"}


def test_the_shipped_file_takes_addresses_from_the_environment() -> None:
    """As an operator sets them."""
    config = load_config(
        ROOT / "config.yaml",
        {
            **SHIPPED_SECRETS,
            "REDIS_URL": "redis://cache/0",
            "RABBITMQ_URL": "amqp://broker",
            "GATEWAY_DATA_DIR": "/data",
        },
    )

    assert (config.redis.url, config.rabbitmq.url) == ("redis://cache/0", "amqp://broker")
    assert config.data_dir == Path("/data")


def test_the_commented_provider_of_the_shipped_file_can_be_uncommented(tmp_path: Path) -> None:
    """It takes one secret, or two during a rotation."""
    text = (ROOT / "config.yaml").read_text("utf-8")
    head, _, block = text.partition("  #\n  # acme:")
    (tmp_path / "my-schemas").mkdir()
    (tmp_path / "my-schemas/acme.json").write_text("{}")
    path = tmp_path / "config.yaml"
    path.write_text(head + re.sub(r"^  # ", "  ", "  # acme:" + block, flags=re.MULTILINE))
    old = {"ACME_OLD_WEBHOOK_SECRET": f"{SECRET}, the old one"}

    assert len(load_config(path, SHIPPED_SECRETS).providers["acme"].secrets) == 1
    assert len(load_config(path, SHIPPED_SECRETS | old).providers["acme"].secrets) == 2


def test_the_demo_needs_no_more_than_its_secrets() -> None:
    """It has two providers with adapters, and one without."""
    demo = load_config(BUNDLED_CONFIG, SHIPPED_SECRETS)

    assert list(demo.providers) == ["stripe", "github", "acme"]
    assert (demo.redis.url, demo.rabbitmq.url) == (EMBEDDED, EMBEDDED)


def test_the_schema_for_editors_is_up_to_date() -> None:
    """docs/config.schema.json is what `gateway check --schema` prints."""
    path = ROOT / "docs" / "config.schema.json"

    assert json.dumps(config_schema(), indent=2) + "\n" == path.read_text("utf-8")


def test_the_schema_for_editors_accepts_the_shipped_file() -> None:
    """As it stands in the editor, variables and all."""
    schema = config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    content = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(content)


@pytest.mark.parametrize(
    "change",
    [{"servr": {}}, {"server": {"deadline": 8}}, {"providers": {}}, {"dedupe": {"on_unavailable": "drop"}}],
)
def test_the_schema_for_editors_refuses_mistakes(change: dict[str, Any]) -> None:
    """Which an editor underlines then."""
    content = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8")) | change

    assert not jsonschema.Draft202012Validator(config_schema()).is_valid(content)


# Mistakes, as they are told

DURATION = "is not a duration; write a number and a unit, such as 300s, 250ms, 5m, 12h or 4d"
VARIABLE = "has ${...} around something that is not a variable; write ${NAME} or ${NAME:-fallback}"
RATE = "is not a rate; write a number of events and a unit, such as 100/s, 600/m or 5000/h"
VERIFIED = "verification cannot be switched off"
SCHEMES = ", ".join(repr(kind.__metadata__[0].tag) for kind in get_args(get_args(SignatureSpec)[0]))
REDIS = "is not an address of Redis; write redis://host:6379/0, rediss://, unix:// or embedded"
PLACEHOLDER = "looks like a placeholder; use the secret that the provider shows you"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the file
        ("", "config.yaml:1: providers: is missing"),
        (
            "server:\n\tbind: x\n",
            "config.yaml:2: is not YAML: found character '\\t' that cannot start any token",
        ),
        (GITHUB + "  github: {}\n", "config.yaml:3: providers.github: is defined twice"),
        (
            "server:\n  bind: 127.0.0.1:1\n  bind: 127.0.0.1:2\n" + GITHUB,
            "config.yaml:3: server.bind: is defined twice",
        ),
        (
            "a: &a {adapter: github}\nproviders:\n  x:\n    <<: *a\n",
            "config.yaml:4: providers.x.<<: merge keys are not supported; write the keys out",
        ),
        (
            "a: &a [x]\nb: [" + ", ".join(["*a"] * 21) + "]\n" + GITHUB,
            "config.yaml: more than 20 aliases; write the values out",
        ),
        # settings
        (
            "server:\n  max_bdy: 1MiB\n" + GITHUB,
            "config.yaml:2: server.max_bdy: is not a setting; did you mean max_body?",
        ),
        (
            github(on_invald="reject"),
            "config.yaml:5: providers.x.on_invald: is not a setting; did you mean on_invalid?",
        ),
        ("zzz: 1\n" + GITHUB, "config.yaml:1: zzz: is not a setting"),
        (
            github(adapter="gihub"),
            "config.yaml:3: providers.x.adapter: there is no adapter 'gihub'; did you mean github?",
        ),
        (github(adapter="hmac"), "config.yaml:2: providers.x.signature: is needed by adapter hmac"),
        (
            github(signature="{header: X}"),
            "config.yaml:5: providers.x.signature: is defined by adapter github; remove it",
        ),
        (
            github(adapter="hmac", signature="{scheme: none}"),
            f"config.yaml:5: providers.x.signature.scheme: must be one of {SCHEMES}; {VERIFIED}",
        ),
        (
            github(on_invalid="drop"),
            "config.yaml:5: providers.x.on_invalid: must be 'quarantine' or 'reject'",
        ),
        (
            github(schema="nowhere.json"),
            "config.yaml:5: providers.x.schema: nowhere.json: cannot be read: No such file or directory",
        ),
        (
            'providers:\n  Git Hub: {adapter: github, secrets: ["${SECRET}"]}\n',
            (
                "config.yaml:2: providers.Git Hub: has characters that are not allowed; "
                "it must match ^[a-z0-9][a-z0-9_-]{0,62}$"
            ),
        ),
        # secrets
        (
            github(secrets='[""]'),
            "config.yaml:4: providers.x.secrets.0: is empty; anybody could sign with an empty secret",
        ),
        (
            github(secrets='["   "]'),
            "config.yaml:4: providers.x.secrets.0: is empty; anybody could sign with an empty secret",
        ),
        (github(secrets='["${SECRET} "]'), "config.yaml:4: providers.x.secrets.0: has white space around it"),
        (
            github(secrets='["${SECRET}", short]'),
            "config.yaml:4: providers.x.secrets.1: is shorter than 8 characters; choose a longer one at the provider",
        ),
        (github(secrets='["ChangeMe"]'), f"config.yaml:4: providers.x.secrets.0: {PLACEHOLDER}"),
        *(
            (github(secrets=f"['{text}']"), f"config.yaml:4: providers.x.secrets.0: {PLACEHOLDER}")
            for text in (
                "your-webhook-secret-here",
                "<your_secret_here>",
                "whsec_changeme_changeme",
                "$STRIPE_WEBHOOK_SECRET",
            )
        ),
        (github(secrets='["${UNEXPANDED}"]'), f"config.yaml:4: providers.x.secrets.0: {PLACEHOLDER}"),
        (github(secrets='["xxxxxxxxxxxxxxxxxxxx"]'), f"config.yaml:4: providers.x.secrets.0: {PLACEHOLDER}"),
        (
            github(secrets="[1234567890123456]"),
            "config.yaml:4: providers.x.secrets.0: is not text; put the secret in quotes",
        ),
        (
            github(secrets="[yes]"),
            "config.yaml:4: providers.x.secrets.0: is not text; put the secret in quotes",
        ),
        (
            github(adapter="standard_webhooks", secrets='["whsec_not base64 at all"]'),
            "config.yaml:4: providers.x.secrets.0: is not base64",
        ),
        # variables
        (
            github(secrets='["${MISSING}"]'),
            (
                "config.yaml:4: providers.x.secrets.0: needs the environment variable MISSING, which is not set; "
                "set it, or write ${NAME:-fallback}"
            ),
        ),
        (
            github(secrets='["${EMPTY}"]'),
            (
                "config.yaml:4: providers.x.secrets.0: needs the environment variable EMPTY, which is empty; "
                "set it, or write ${NAME:-fallback}"
            ),
        ),
        (github(secrets='["${}"]'), f"config.yaml:4: providers.x.secrets.0: {VARIABLE}"),
        (github(secrets='["${A${B}}"]'), f"config.yaml:4: providers.x.secrets.0: {VARIABLE}"),
        # numbers, addresses, names
        ("server:\n  deadline: -8s\n" + GITHUB, f"config.yaml:2: server.deadline: {DURATION}"),
        ("dedupe:\n  lease: true\n" + GITHUB, f"config.yaml:2: dedupe.lease: {DURATION}"),
        ("dedupe:\n  lease: 30\n" + GITHUB, f"config.yaml:2: dedupe.lease: {DURATION}"),
        (
            "server:\n  max_body: 0B\n" + GITHUB,
            "config.yaml:2: server.max_body: is not a size; write a number and a unit, such as 64KiB, 1MiB or 1GiB",
        ),
        (
            "server:\n  bind: 127.0.0.1:70000\n" + GITHUB,
            "config.yaml:2: server.bind: is not an address to listen at; write HOST:PORT, such as 127.0.0.1:8080",
        ),
        (
            "rabbitmq:\n  exchange: amq.topic\n" + GITHUB,
            "config.yaml:2: rabbitmq.exchange: must not begin with amq., which RabbitMQ reserves",
        ),
        (
            "rabbitmq:\n  exchange: ''\n" + GITHUB,
            (
                "config.yaml:2: rabbitmq.exchange: has characters that are not allowed; "
                "it must match ^[A-Za-z0-9_.:-]{1,200}$"
            ),
        ),
        ("server:\n  processes: true\n" + GITHUB, "config.yaml:2: server.processes: must be a whole number"),
        (
            "server:\n  max_connections: 0\n" + GITHUB,
            "config.yaml:2: server.max_connections: must be greater than or equal to 1",
        ),
        (
            "server:\n  max_in_flight: -1\n" + GITHUB,
            "config.yaml:2: server.max_in_flight: must be greater than or equal to 1",
        ),
        (
            "server:\n  max_in_flight: '5'\n" + GITHUB,
            "config.yaml:2: server.max_in_flight: must be a whole number",
        ),
        ("server:\n  shutdown_delay: 0s\n" + GITHUB, f"config.yaml:2: server.shutdown_delay: {DURATION}"),
        (
            "server:\n  trusted_proxies: [10.0.0.1/8]\n" + GITHUB,
            "config.yaml:2: server.trusted_proxies.0: is an address within a network; write 10.0.0.0/8, or the address alone",
        ),
        (
            github(allow_ips="['2001:db8::1/32']"),
            "config.yaml:5: providers.x.allow_ips.0: is an address within a network; write 2001:db8::/32, or the address alone",
        ),
        (
            github(allow_ips="[localhost]"),
            "config.yaml:5: providers.x.allow_ips.0: is not a network; write an address, or a network such as 192.0.2.0/24",
        ),
        (
            github(allow_ips="192.0.2.0/24"),
            "config.yaml:5: providers.x.allow_ips: must be a list, such as [a, b]",
        ),
        (github(rate_limit="0/s"), f"config.yaml:5: providers.x.rate_limit: {RATE}"),
        (github(rate_limit="100"), f"config.yaml:5: providers.x.rate_limit: {RATE}"),
        ("redis:\n  url: redis://h:70000\n" + GITHUB, f"config.yaml:2: redis.url: {REDIS}"),
        ("redis:\n  url: redis://h:0/1\n" + GITHUB, f"config.yaml:2: redis.url: {REDIS}"),
        ("redis:\n  url: redis://h/zero\n" + GITHUB, f"config.yaml:2: redis.url: {REDIS}"),
        (
            "redis:\n  url: redis://h/0?socket_timeout=5\n" + GITHUB,
            (
                "config.yaml:2: redis.url: has the parameter socket_timeout, which is not supported; there are "
                "ssl_ca_certs, ssl_certfile, ssl_keyfile, ssl_server_name, ssl_cert_reqs, ssl_check_hostname, db"
            ),
        ),
        (
            "redis:\n  url: rediss://h/0?ssl_cert_reqs=none\n" + GITHUB,
            (
                "config.yaml:2: redis.url: has ssl_cert_reqs other than required; a certificate is always verified, with "
                "its name, by the authority that ssl_ca_certs names"
            ),
        ),
        (
            "rabbitmq:\n  url: amqps://h/?heartbeat=60\n" + GITHUB,
            (
                "config.yaml:2: rabbitmq.url: has the parameter heartbeat, which is not supported; there are cacertfile, "
                "cafile, certfile, keyfile, server_name_indication, verify"
            ),
        ),
        (
            "rabbitmq:\n  url: amqps://h/?verify=verify_none\n" + GITHUB,
            (
                "config.yaml:2: rabbitmq.url: has verify other than verify_peer; a certificate is always verified, with "
                "its name, by the authority that cacertfile names"
            ),
        ),
        (
            "rabbitmq:\n  url: amqp://h/?cafile=ca.pem\n" + GITHUB,
            "config.yaml:2: rabbitmq.url: has parameters of TLS, and is not encrypted; write amqps://",
        ),
        (
            "rabbitmq:\n  url: amqps://h/?cafile=/no/ca.pem\n" + GITHUB,
            "config.yaml:2: rabbitmq.url: ca: /no/ca.pem cannot be read: No such file or directory",
        ),
        (
            "rabbitmq:\n  url: amqp://h\n  tls: {ca: ca.pem}\n" + GITHUB,
            "config.yaml:3: rabbitmq.tls: needs an encrypted connection; write rabbitmq.url as amqps://",
        ),
        (
            "redis:\n  tls: {ca: ca.pem}\n" + GITHUB,
            "config.yaml:2: redis.tls: needs an encrypted connection; write redis.url as rediss://",
        ),
        (
            "redis:\n  url: rediss://h\n  tls:\n    cert: /no/cert.pem\n" + GITHUB,
            "config.yaml:4: redis.tls.cert: /no/cert.pem cannot be read: No such file or directory",
        ),
        (
            "redis:\n  url: rediss://h\n  tls:\n    key: /no/key.pem\n" + GITHUB,
            "config.yaml:4: redis.tls.key: is a key without its certificate; name that as well, in cert",
        ),
        (
            "rabbitmq:\n  url: amqp://a\n  urls: [amqp://b, amqp://c]\n" + GITHUB,
            "config.yaml:3: rabbitmq.urls: and rabbitmq.url both name nodes; name all of them here",
        ),
        (
            "rabbitmq:\n  urls: [amqp://b, embedded]\n" + GITHUB,
            (
                "config.yaml:2: rabbitmq.urls.1: is not an address of RabbitMQ; write "
                "amqp://user:password@host:5672/vhost"
            ),
        ),
        (
            "rabbitmq:\n  urls: [amqp://b, amqp://c]\n  tls: {ca: ca.pem}\n" + GITHUB,
            "config.yaml:3: rabbitmq.tls: needs an encrypted connection; write rabbitmq.urls as amqps://",
        ),
        (
            "server:\n  limits: shared\n" + GITHUB,
            "config.yaml:2: server.limits: shared needs a Redis that all gateways use; name it in redis.url",
        ),
        (
            "redis:\n  sentinels: [redis://s]\n" + GITHUB,
            "config.yaml:2: redis.sentinels: needs redis.master, the name of the primary",
        ),
        (
            "redis:\n  master: claims\n" + GITHUB,
            "config.yaml:2: redis.master: is a name that Sentinels know; name them in redis.sentinels",
        ),
        (
            "redis:\n  password: secret\n" + GITHUB,
            (
                "config.yaml:2: redis.password: is for Sentinels only; elsewhere user and password stand in the "
                "address"
            ),
        ),
        (
            "redis:\n  url: redis://h\n  cluster: [redis://c]\n" + GITHUB,
            "config.yaml:3: redis.cluster: and redis.url both name servers; keep one of them",
        ),
        (
            "redis:\n  cluster: [redis://c/1]\n" + GITHUB,
            "config.yaml:2: redis.cluster.0: has a database, which neither a Sentinel nor a cluster has",
        ),
        ("spool: {enabled: maybe}\n" + GITHUB, "config.yaml:1: spool.enabled: must be true or false"),
        ("data_dir: 17\n" + GITHUB, "config.yaml:1: data_dir: must be the path of a file or a folder"),
        # verification
        (
            github(adapter="none"),
            f"config.yaml:3: providers.x.adapter: there is no adapter 'none'; {VERIFIED}",
        ),
        (github(verify="false"), f"config.yaml:5: providers.x.verify: is not a setting; {VERIFIED}"),
        (
            github(insecure_i_understand="true"),
            f"config.yaml:5: providers.x.insecure_i_understand: is not a setting; {VERIFIED}",
        ),
        (
            github(adapter="hmac", signature="none"),
            f"config.yaml:5: providers.x.signature: must say how the provider signs; {VERIFIED}",
        ),
        # sections
        ("server:\n" + GITHUB, "config.yaml:1: server: is empty; leave it out, or write something under it"),
        ("server: 5\n" + GITHUB, "config.yaml:1: server: must be settings by name"),
        ("- a\n", "config.yaml:1: must be settings by name"),
        ("providers: {}\n", "config.yaml:1: providers: is empty"),
        (github(secrets="[]"), "config.yaml:4: providers.x.secrets: is empty"),
        (
            github(secrets="[" + ", ".join(['"${SECRET}"'] * 6) + "]"),
            "config.yaml:4: providers.x.secrets: has more than 5 items",
        ),
        (
            github(subject="{push: nowhere}"),
            (
                "config.yaml:5: providers.x.subject.push: is not a place in a delivery; "
                "write header:NAME, query:NAME, body:/json/pointer, item:/json/pointer or parent:/json/pointer, or several of them in braces "
                "as one text"
            ),
        ),
        (
            github(summary='{push: "{actor} pushed {body:/commits|cuont}"}'),
            (
                "config.yaml:5: providers.x.summary.push: has a filter 'cuont', which there is not; there are "
                "money:CURRENCY, if:TEXT, count, count:ONE:MANY, date, ref, short, words"
            ),
        ),
        (
            github(summary='{push: ["{actor} pushed", "[{actor} pushed"]}'),
            (
                "config.yaml:5: providers.x.summary.push.1: has a bracket or a brace without its other half, or one "
                "within another"
            ),
        ),
        (
            github(redact="[/sender/login, sender]"),
            (
                "config.yaml:5: providers.x.redact.1: is not a JSON Pointer; write /customer/email, or "
                "/items/*/email for all of a list"
            ),
        ),
        (
            github(adapter="docusign", redact="[/data]"),
            (
                "config.yaml:5: providers.x.redact: cannot mask anything in application/xml, text/xml, which is "
                "published unchanged; remove it from content"
            ),
        ),
        (
            "a: &a [*a, *a]\n" + GITHUB,
            "config.yaml:1: a.0: refers to itself\nconfig.yaml:1: a.1: refers to itself",
        ),
        ("a: " + "[" * 100_000 + "\n" + GITHUB, "config.yaml:1: is nested more than 10 levels deep"),
        (
            "#" * 1024**2 + "\n" + GITHUB,
            "config.yaml: is larger than 1MiB; name a configuration file with --config",
        ),
        (
            "providers: \x01\n",
            "config.yaml: is not YAML: unacceptable character #x0001: special characters are not allowed",
        ),
        # what does not fit together
        (
            "server: {max_buffered: 1MiB, max_body: 2MiB}\n" + GITHUB,
            "config.yaml:1: server.max_body: must not be larger than server.max_buffered (1MiB)",
        ),
        (
            github(max_body="1GiB"),
            "config.yaml:5: providers.x.max_body: must not be larger than server.max_buffered (256MiB)",
        ),
        (
            "server: {deadline: 20s}\n" + GITHUB,
            (
                "config.yaml:1: dedupe.lease: 30s must be at least twice server.deadline (20s), "
                "or a slow event is published twice"
            ),
        ),
        *(
            (github(path=f"'{path}'"), f"config.yaml:5: providers.x.path: {problem}")
            for path, problem in (
                ("/readyz", "/readyz belongs to the gateway itself; choose another path"),
                *(
                    (
                        path,
                        (
                            "is not a path; write segments of letters, digits and -._~, without a slash at the end, such as "
                            "/stripe/hook"
                        ),
                    )
                    for path in ("hook", "/hook/", "/a//b", "/a/../b", "/a?b=c", "/a%20b", "/" + "a" * 300)
                ),
            )
        ),
        (
            "dedupe: {lease: 60s, retention: 30s}\n" + GITHUB,
            "config.yaml:1: dedupe.retention: must not be shorter than dedupe.lease (1m)",
        ),
        (
            "server: {bind: 'h:80', admin_bind: 'h:80'}\n" + GITHUB,
            "config.yaml:1: server.admin_bind: must differ from server.bind: metrics must not be public",
        ),
        *(
            (
                f"server: {{bind: {bind}, admin_bind: {admin}}}\n" + GITHUB,
                "config.yaml:1: server.admin_bind: must differ from server.bind: metrics must not be public",
            )
            for bind, admin in (
                ("'[::]:80'", "'127.0.0.1:80'"),
                ("'0.0.0.0:80'", "'127.0.0.1:80'"),
                ("['127.0.0.1:80', '[::1]:80']", "'[0:0::1]:80'"),
                ("'127.0.0.1:80'", "['127.0.0.1:81', '0.0.0.0:80']"),
                ("'H:80'", "'h:80'"),
            )
        ),
        *(
            (f"server:\n  bind: {bind}\n" + GITHUB, f"config.yaml:2: server.bind: {problem}")
            for bind, problem in (
                ("[]", "is empty"),
                ("['h:80', 'h:81', 'H:80']", "has h:80 twice"),
                ("['[::1]:80', '[0::1]:80']", "has [::1]:80 twice"),
                (
                    "['0.0.0.0:80', '127.0.0.1:80']",
                    "has 0.0.0.0:80 and 127.0.0.1:80, but one includes the other; remove it",
                ),
                (
                    "['127.0.0.1:80', '[::]:80']",
                    "has 127.0.0.1:80 and [::]:80, but one includes the other; remove it",
                ),
                (
                    "['127.0.0.1:0', '[::1]:80']",
                    "has port 0 (any free port) among several addresses; give each its own port",
                ),
                (
                    "['h:80', 'h']",
                    "has 'h', which is not an address to listen at; write HOST:PORT, such as 127.0.0.1:8080",
                ),
                *(
                    (f"'{bind}'", "is not an address to listen at; write HOST:PORT, such as 127.0.0.1:8080")
                    for bind in (
                        "",
                        "h",
                        ":80",
                        "h:65536",
                        "300.0.0.1:80",
                        "1.2.3:80",
                        "[1.2.3.4]:80",
                        "[:::]:80",
                        "::1:80",
                    )
                ),
            )
        ),
        (
            github(adapter="hmac", signature='{header: X, signed: "{url}{body}"}'),
            (
                "config.yaml:2: providers.x: public_url is missing: this provider's signature covers the URL that it "
                "calls; write the URL as the provider calls it, such as https://hooks.example.com/webhooks/NAME, or list "
                "in server.trusted_proxies the proxies that forward it in X-Forwarded-Proto and X-Forwarded-Host (see "
                "server.forwarded)"
            ),
        ),
        *(
            (
                github(public_url=url),
                (
                    "config.yaml:5: providers.x.public_url: is not a URL; write it as the provider calls it, such as "
                    "https://hooks.example.com/webhooks/acme"
                ),
            )
            for url in ("h/x", "ftp://h/x", "https://h/x#part", "https://", "https:///x", "https://h/a b")
        ),
        (
            github(adapter="stripe", dedupe="{retention: 10s}"),
            "config.yaml:5: providers.x.dedupe.retention: must not be shorter than dedupe.lease (30s)",
        ),
        (
            github(adapter="hmac", signature='{header: X, signed: "{id}.{body}"}'),
            (
                "config.yaml:2: providers.x: {id} in signed needs event_id: header:NAME, "
                "since nothing is parsed before it is verified"
            ),
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    """File and line, the path of the field, what is wrong and what to do: one line each, and no other."""
    assert expected.splitlines() == problems_of(
        tmp_path, text, EMPTY="", UNEXPANDED="${STRIPE_WEBHOOK_SECRET}"
    )


@pytest.mark.parametrize(
    "text",
    [
        "- a list\n",
        "providers: {}\n",
        "providers: 5\n",
        "server: 5\n" + GITHUB,
        "providers: \x01\n",
        GITHUB + "---\n" + GITHUB,
        "? [a, b]\n: c\n" + GITHUB,
        "data_dir: !!python/object:os.system x\n" + GITHUB,
        "data_dir: 2001-99-99\n" + GITHUB,
        "data_dir: 17\n" + GITHUB,
        github(secrets="[]"),
        github(secrets='["${MISSING:-}"]'),
        github(secrets="[" + ", ".join(['"${SECRET}"'] * 6) + "]"),
        github(events='["a\\tb"]'),
        github(events='[""]'),
        github(public_url="ftp://x"),
        github(adapter="hmac", signature="{heder: X}"),
        github(adapter="hmac", signature="{header: X, algorithm: md5}"),
        github(adapter="hmac", signature='{header: X, signed: "{bdy}"}'),
        github(event_id="body.id"),
        github(event_id="body:/" + "1" * 256),
        "rabbitmq: {exchange: " + "x" * 201 + "}\n" + GITHUB,
        "redis: {url: 'http://h'}\n" + GITHUB,
        "rabbitmq: {url: 'http://h'}\n" + GITHUB,
    ],
)
def test_other_mistakes_are_refused_too(tmp_path: Path, text: str) -> None:
    """Each with the name of the file."""
    assert problems_of(tmp_path, text)[0].startswith("config.yaml:")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """An operator mends them in one go."""
    problems = problems_of(tmp_path, "server: {a: 1, b: 2}\n" + github(on_invalid="drop"))

    assert [line.split(": ")[1] for line in problems] == ["server.a", "server.b", "providers.x.on_invalid"]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With the option that names another."""
    with pytest.raises(ConfigurationError, match="there is no such file; name one with --config"):
        load_config(tmp_path / "nowhere.yaml", {})


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    """It has to be UTF-8."""
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_config(tmp_path / "config.yaml", {})


# Secrets stay where they are

HUNTER = "hunter2-and-more"


@pytest.mark.parametrize(
    "text",
    [
        github(secrets=f"{HUNTER}-0123456789"),
        github(secrets=f"{{a: {HUNTER}-0123456789}}"),
        github(secrets=f'["{HUNTER} "]'),
        github(secrets=f'["{HUNTER[:7]}"]'),
        github(secrets=f'["${{{HUNTER}}}"]'),
        github(secrets=f'["abc${{{HUNTER}!}}"]'),
        github(secrets=f"[*{HUNTER}]"),
        github(secrets=f"[!{HUNTER} x]"),
        github(secrets=f"[!!python/object:os.system {HUNTER}]"),
        github(secrets=f'["{HUNTER}'),
        github(secrets='["${PASSWORD}", 5]'),
        github(secrets='["${PASSWORD} "]'),
        github(adapter="standard_webhooks", secrets='["${PASSWORD}"]'),
        github(secrets='["${PASSWORD}"]', signature="{header: X}"),
        github(secrets='["${PASSWORD}"]', unknown="1"),
        "redis: {url: 'http://:${PASSWORD}@h'}\n" + GITHUB,
        "redis: {url: 'redis://:${PASSWORD}/x@h'}\n" + GITHUB,
        "rabbitmq: {url: 'http://u:${PASSWORD}@h'}\n" + GITHUB,
        "rabbitmq: {url: 'amqp://u:${PASSWORD}/x@h'}\n" + GITHUB,
        *(
            f"{section}: {{url: '{scheme}://{address}'}}\n" + GITHUB
            for section, scheme in (
                ("rabbitmq", "amqp"),
                ("rabbitmq", "amqps"),
                ("redis", "redis"),
                ("redis", "rediss"),
            )
            for address in (
                "u:p@${PASSWORD}@h",
                "u:${PASSWORD}@p@h/0",
                "u:1/${PASSWORD}@h/0",
                "u:1?${PASSWORD}@h/0",
                "u:1#${PASSWORD}@h/0",
                "u:#${PASSWORD}@h/0",
                "u:[${PASSWORD}@h/0",
                "u:${PASSWORD}]@h/0",
                "u:\\${PASSWORD}@h/0",
                "u: ${PASSWORD}@h/0",
                "u:℀${PASSWORD}@@h/0",
                "h/0?password=a@${PASSWORD}",
            )
        ),
    ],
)
def test_no_mistake_is_told_with_a_secret(tmp_path: Path, text: str) -> None:
    """Neither one from the environment nor one in the file, whatever is wrong with it."""
    text_of_all = "\n".join(problems_of(tmp_path, text, PASSWORD=HUNTER + "!"))

    assert HUNTER[:9] not in text_of_all


@pytest.mark.parametrize(
    ("section", "address"),
    [
        ("rabbitmq", "amqp://u:p%40%2F%23%3F%3Aq@h/%40vhost"),
        ("rabbitmq", "amqps://u:a:b@h:5671/"),
        ("rabbitmq", "amqp://h"),
        ("redis", "redis://:p%40%2F%23%3Fq@h:6379/0"),
        ("redis", "rediss://u:a:b@h/1?ssl_cert_reqs=required"),
        ("redis", "unix://u:p@/run/redis.sock"),
    ],
)
def test_an_address_whose_password_is_percent_encoded_is_read(
    tmp_path: Path, section: str, address: str
) -> None:
    """As is one that contains no ambiguous character."""
    config = load(tmp_path, f"{section}: {{url: '{address}'}}\n" + GITHUB)

    assert getattr(config, section).url == address


def test_a_raw_character_in_a_password_is_told_with_how_to_write_it(tmp_path: Path) -> None:
    """Not merely as a malformed URL."""
    for address in ("redis: {url: 'redis://:a@b@h/0'}\n", "rabbitmq: {url: 'amqp://u:a/b@h'}\n"):
        assert "percent-encode it (@ is %40" in problems_of(tmp_path, address + GITHUB)[0]


def test_a_configuration_shows_no_secret(tmp_path: Path) -> None:
    """Neither printed, nor in a message, nor dumped; the passwords in addresses count as well."""
    urls = f"redis: {{url: 'redis://:{HUNTER}@h/0'}}\nrabbitmq: {{url: 'amqp://u:{HUNTER}@h'}}\n"
    config = load(tmp_path, urls + GITHUB)

    for shown in (
        repr(config),
        str(config),
        f"{config.redis} {config.rabbitmq} {config.providers['github']!r}",
    ):
        assert HUNTER not in shown
        assert SECRET not in shown
    assert SECRET not in config.providers["github"].model_dump_json()


# Variables


def expanded(text: str, **environment: str) -> str:
    """The text with its variables replaced, none of them supplied."""
    return expand(text, environment, lambda _: None)


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("plain", {}, "plain"),
        ("${A}", {"A": "1"}, "1"),
        ("<${A}-${B}>", {"A": "1", "B": "2"}, "<1-2>"),
        ("${A:-x}", {}, "x"),
        ("${A:-x}", {"A": ""}, "x"),
        ("${A:-x}", {"A": "1"}, "1"),
        ("${A:-}", {}, ""),
        ("${A:-redis://h:1/0?a=b}", {}, "redis://h:1/0?a=b"),
        ("${A}", {"A": "${B}", "B": "2"}, "${B}"),
        ("${A}", {"A": r"\1\g<0>$"}, r"\1\g<0>$"),
        ("$A $$ $ US$5 {A}", {"A": "1"}, "$A $$ $ US$5 {A}"),
        ("$${A}", {"A": "1"}, "$1"),
    ],
)
def test_variables_are_replaced_once(text: str, environment: dict[str, str], expected: str) -> None:
    """A dollar sign is otherwise itself, and values are not expanded again."""
    assert expected == expanded(text, **environment)


@pytest.mark.parametrize(
    "text", ["${}", "${ A}", "${A-B}", "${1A}", "${A${B}}", "${A:-${B}}", "${A:x}", "${A:-{x}${}"]
)
def test_what_is_no_variable_is_refused(text: str) -> None:
    """Braces do not nest, and a typing mistake is not taken for text."""
    with pytest.raises(ValueError, match="not a variable"):
        expanded(text, A="1", B="2")


@pytest.mark.parametrize("environment", [{}, {"A": ""}])
def test_a_variable_without_fallback_must_be_set(environment: dict[str, str]) -> None:
    """To something; and its name is told."""
    with pytest.raises(UnsetVariable, match="environment variable A"):
        expanded("${A}", **environment)


@pytest.mark.parametrize(
    "setting", ["data_dir: ${UNSET}", "rabbitmq: {exchange: '${UNSET}'}", "redis: {url: '${UNSET}'}"]
)
def test_where_data_are_is_never_made_up(tmp_path: Path, setting: str) -> None:
    """A command that needs no secrets, and a worker, must look where the gateway looks, or say why they cannot."""
    path = tmp_path / "config.yaml"
    path.write_text(setting + "\n" + github(secrets='["${SECRET_OF_IT}"]'))
    with pytest.raises(ConfigurationError) as caught:
        load_without_secrets(path)
    assert str(caught.value).count("\n") == 0
    assert "needs the environment variable UNSET" in str(caught.value)


def test_a_program_that_delivers_nothing_needs_no_key_of_the_way_out(tmp_path: Path) -> None:
    """A worker has no business with the secrets of endpoints, however the gateway keeps them."""
    path = tmp_path / "config.yaml"
    way_out = "outbound: {enabled: true, keys: ['${OUTBOUND_KEY}']}\npostgres: {url: 'postgresql://a/b'}\n"
    path.write_text(way_out + github(secrets='["${SECRET_OF_IT}"]'))

    assert load_without_secrets(path).has_way_out
    with pytest.raises(ConfigurationError, match="needs the environment variable OUTBOUND_KEY"):
        load_config(path)


def test_a_missing_variable_can_be_supplied() -> None:
    """As by `gateway dev`, which makes throw-away secrets; what is set comes first."""
    assert expand("${A}${B}", {"B": "2"}, {"A": "1", "B": "x"}.get) == "12"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("${A:-}", True), ("${A:-x}", False), ("${A}", False), ("x${A:-}", False), ("", False)],
)
def test_only_an_empty_fallback_is_optional(text: str, expected: bool) -> None:
    """Then the whole item of a list is left out."""
    assert expected is is_optional(text)


def test_an_empty_fallback_in_a_list_is_left_out(tmp_path: Path) -> None:
    """The old secret that is not set any more; the places of the others in messages stay right."""
    secrets = '["${OLD:-}", "${SECRET}", "${OLDER:-}"]'

    assert load(tmp_path, github(secrets=secrets)).providers["x"].secret_texts() == [SECRET]
    assert len(load(tmp_path, github(secrets=secrets), OLD=SECRET + "!").providers["x"].secrets) == 2


def test_a_value_with_a_dollar_sign_stays_as_it_is(tmp_path: Path) -> None:
    """Secrets of senders have them."""
    secret = "pa$$w0rd-${SECRET}-$HOME"

    assert load(tmp_path, github(secrets='["${ODD}"]'), ODD=secret).providers["x"].secret_texts() == [secret]


# Files in place of variables


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a secret", "a secret"),
        (b"a secret\n", "a secret"),
        (b"a secret\n\n", "a secret\n"),
        (b"pa$${X}", "pa$${X}"),
    ],
)
def test_a_file_stands_in_for_a_variable(tmp_path: Path, content: bytes, expected: str) -> None:
    """As containers are given secrets; read again whenever the configuration is, and less its last line feed."""
    path = tmp_path / "secret"
    path.write_bytes(content)

    assert expected == expanded("${A}", A_FILE=str(path)) == expanded("${A:-x}", A="", A_FILE=str(path))
    path.write_bytes(b"another")
    assert expanded("${A}", A_FILE=str(path)) == "another"


def test_the_variable_comes_before_its_file_and_the_file_before_the_fallback(tmp_path: Path) -> None:
    """An empty one counts as unset, be it a variable or a file."""
    (tmp_path / "empty").write_bytes(b"\n")

    assert expanded("${A}", A="1", A_FILE="/nowhere") == "1"
    assert expanded("${A:-x}", A_FILE=str(tmp_path / "empty")) == "x"
    assert expanded("${A:-x}", A_FILE="") == "x"


def test_a_file_that_cannot_be_read_is_told_with_its_path(tmp_path: Path) -> None:
    """And never with its content; also if the variable is an optional item of a list."""
    (tmp_path / "large").write_text(HUNTER * 10_000)
    (tmp_path / "latin").write_text(HUNTER + "\xe9", "latin-1")
    told = {
        "nowhere": "cannot be read: No such file or directory",
        "large": "is larger than 64KiB",
        "latin": "is not UTF-8",
    }
    for name, problem in told.items():
        for text in ("${OLD}", "${OLD:-}")[: 1 if name == "nowhere" else 2]:
            assert problems_of(
                tmp_path, github(secrets=f'["${{SECRET}}", "{text}"]'), OLD_FILE=str(tmp_path / name)
            ) == [f"config.yaml:4: providers.x.secrets.1: needs the file {name} of OLD_FILE, which {problem}"]


def test_a_file_that_is_not_there_counts_as_unset_where_there_is_a_fallback(tmp_path: Path) -> None:
    """An old secret is removed after a rotation; a warning says so, since it may be a typo as well."""
    text = github(secrets='["${SECRET}", "${OLD:-}"]') + 'rabbitmq: {exchange: "${OLD:-fallback}"}\n'

    config = load(tmp_path, text, OLD_FILE=str(tmp_path / "nowhere"))

    assert len(config.providers["x"].secrets) == 1
    assert config.rabbitmq.exchange == "fallback"
    path = tmp_path / "nowhere"
    assert config_warnings(config) == [
        f"{tmp_path}/config.yaml:{line}: {place}: needs the file {path} of OLD_FILE, which cannot be read: "
        "No such file or directory; it counts as unset"
        for line, place in ((4, "providers.x.secrets"), (5, "rabbitmq.exchange"))
    ]


# Warnings


def warnings_of(folder: Path, text: str) -> list[str]:
    """Return the warnings about a valid configuration."""
    return config_warnings(load(folder, text, OTHER=SECRET + "!"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GITHUB, []),
        (github(events='[push, "pull_request.*", issues.opened, "*.created", "#"]'), []),
        (github(adapter="stripe", events="[invoice.paid, invoice/paid]"), []),
        (
            github(events="[push, pull_requests.opened]"),
            [
                "providers.x.events.1: pull_requests.opened matches none of the 73 known event types of GitHub; did you mean pull_request.opened?"
            ],
        ),
        (github(secrets='["${SECRET}", "${OTHER}"]'), []),
        (
            GITHUB + '  x: {adapter: stripe, secrets: ["${OTHER}", "${SECRET}"]}\n',
            [
                "providers.x.secrets.1: equals providers.github.secrets.0; anyone who can sign for one can sign for the other"
            ],
        ),
        ("server: {trusted_proxies: [10.0.0.0/8]}\n" + GITHUB, []),
        (
            github(adapter="stripe", dedupe="{retention: 1d}"),
            [
                (
                    "providers.x.dedupe.retention: is 1d; Stripe retries a request for up to 3d, and a later "
                    "retry is published again"
                )
            ],
        ),
        ("dedupe: {retention: 1d}\n" + github(adapter="stripe"), []),
        (
            "server: {trusted_proxies: [10.0.0.0/8, '::/0']}\n" + GITHUB,
            ["server.trusted_proxies.1: contains every address; anybody could claim an address in allow_ips"],
        ),
        (
            "rabbitmq: {confirm_timeout: 9500ms}\nserver: {deadline: 15s}\n" + GITHUB,
            [
                (
                    "providers.github: GitHub waits 10s for a response, but redis.timeout and "
                    "rabbitmq.confirm_timeout together are 9750ms; a request can end before its event is spooled"
                )
            ],
        ),
        ("server: {keep_alive: 61s}\n" + GITHUB, []),
        (
            "server: {keep_alive: 1m}\n" + GITHUB,
            [
                (
                    "server.keep_alive: 1m is not longer than the 1m for which most load balancers keep a connection; "
                    "now and then they would send a request into a connection that is closing, and answer 502"
                )
            ],
        ),
        (
            "server: {deadline: 2s}\n" + GITHUB,
            [
                (
                    "rabbitmq.confirm_timeout: together with redis.timeout, is not shorter than server.deadline (2s); "
                    "a request can end before its event is spooled"
                )
            ],
        ),
    ],
)
def test_what_is_most_likely_a_mistake_is_a_warning(tmp_path: Path, text: str, expected: list[str]) -> None:
    """It may be intended, so nothing is refused."""
    assert expected == warnings_of(tmp_path, text)


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ("h:80", ["h:80"]),
        ("['[::]:80', '0.0.0.0:80']", ["[::]:80", "0.0.0.0:80"]),
        ("['0.0.0.0:80', '[::1]:80', '127.0.0.1:81']", ["0.0.0.0:80", "[::1]:80", "127.0.0.1:81"]),
        ("'127.0.0.1:0'", ["127.0.0.1:0"]),
    ],
)
def test_one_address_or_several_can_be_listened_at(tmp_path: Path, bind: str, expected: list[str]) -> None:
    """Of either family."""
    assert load(tmp_path, f"server: {{bind: {bind}}}\n" + GITHUB).server.bind == expected


@pytest.mark.parametrize("adapter", [name for name in registry.names() if _needs_url(name)])
def test_what_signs_the_address_has_to_know_it(tmp_path: Path, adapter: str) -> None:
    """From the operator, or from a proxy; only where no other machine calls, the gateway knows it itself."""
    text, path = github(adapter=adapter), tmp_path / "config.yaml"

    def address_is_missing(text: str, *, is_local: bool = False) -> bool:
        path.write_text(text, "utf-8")
        try:
            load_config(path, {"SECRET": SECRET}, is_local=is_local)
        except ConfigurationError as error:  # the adapter may need parameters, or another kind of secret
            return f"{path}:2: providers.x: public_url is missing" in str(error)
        return False

    assert address_is_missing(text)
    assert not address_is_missing(text, is_local=True)
    assert not address_is_missing(github(adapter=adapter, public_url="https://h/x?a=b"))
    assert not address_is_missing("server: {trusted_proxies: [10.0.0.0/8]}\n" + text)


def test_a_warning_is_printed_by_check_and_logged_by_serve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ends neither of them."""
    path = tmp_path / "config.yaml"
    path.write_text("server: {trusted_proxies: [0.0.0.0/0]}\n" + GITHUB)
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.chdir(tmp_path)
    run_check(path)
    assert "  warning: server.trusted_proxies.0: contains every address; " in capsys.readouterr().out

    with structlog.testing.capture_logs() as logs:
        log_config_warnings(load_config(path))
    assert [entry["warning"] for entry in logs] == [
        "server.trusted_proxies.0: contains every address; anybody could claim an address in allow_ips"
    ]


# Values


def test_times_that_fit_are_accepted(tmp_path: Path) -> None:
    """At the limit: twice the deadline, and a retention as long as the lease and the sender's patience."""
    text = "server: {deadline: 15s}\ndedupe: {lease: 30s, retention: 3d}\n"
    config = load(tmp_path, text + github(adapter="stripe"))

    assert (config.dedupe.lease, config.dedupe.retention, config.server.deadline) == (30, 259_200, 15)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        (github(adapter="github"), 4),
        ("dedupe: {retention: 1d}\n" + github(adapter="github"), 1),
        ("dedupe: {retention: 1d}\n" + github(adapter="stripe"), 3),
        ("dedupe: {retention: 9d}\n" + github(adapter="stripe"), 9),
        (github(adapter="stripe", dedupe="{retention: 2d}"), 2),
    ],
)
def test_events_are_remembered_for_as_long_as_they_are_repeated(tmp_path: Path, text: str, days: int) -> None:
    """Unless the provider is told otherwise, or all are remembered for longer."""
    config = load(tmp_path, text)
    provider = config.providers["x"]
    assert retention_of(config, provider, adapter_of(provider)) == days * 86_400


def test_the_identity_of_an_adapter_can_be_changed_in_the_configuration(tmp_path: Path) -> None:
    """All other fields stay as the adapter has them."""
    provider = load(tmp_path, github(subject="body:/ref")).providers["x"]

    assert adapter_of(provider).spec.subject == "body:/ref"
    assert adapter_of(provider).spec.event_id == "header:X-GitHub-Delivery"


def test_a_schema_of_one_s_own_is_found_beside_the_file(tmp_path: Path) -> None:
    """Relative to the configuration, wherever the program was started; and checked at once."""
    (tmp_path / "own.json").write_text('{"type":"object"}')
    assert load(tmp_path, github(schema="own.json")).providers["x"].schema_file == Path("own.json")
    (tmp_path / "own.json").write_text('{"typ":"object"}')

    assert (
        "/typ: is not a keyword of JSON Schema 2020-12; did you mean type?"
        in problems_of(tmp_path, github(schema="own.json"))[0]
    )


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("{topic: a}", []),
        ("{topic: a, region: b}", []),
        (
            "{region: b}",
            [
                "config.yaml:5: providers.x.parameters: parameters.topic is needed by adapter github: The topic."
            ],
        ),
        ("{}", ["config.yaml:2: providers.x: parameters.topic is needed by adapter github: The topic."]),
        ('{topic: " "}', ["config.yaml:5: providers.x.parameters.topic: is empty"]),
        (
            "{topic: a, regoin: b}",
            [
                (
                    "config.yaml:5: providers.x.parameters.regoin: is not a parameter of adapter github; "
                    "did you mean region?"
                )
            ],
        ),
    ],
)
def test_an_adapter_is_told_what_it_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parameters: str, expected: list[str]
) -> None:
    """All of it, and nothing else."""
    known = registry.load("github")
    asked = {
        "topic": ParameterSpec(description="The topic.", required=True),
        "region": ParameterSpec(description="The region."),
    }
    asking = Adapter("github", known.spec.model_copy(update={"parameters": asked}))
    monkeypatch.setattr(registry, "load", lambda _: asking)
    text = github(parameters=parameters)
    if expected:
        assert problems_of(tmp_path, text) == expected
    else:
        assert load(tmp_path, text).providers["x"].parameters["topic"] == "a"
