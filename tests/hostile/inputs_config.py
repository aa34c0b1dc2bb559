"""Inputs 117 to 122: configurations that must not start."""

from __future__ import annotations

import json
from typing import Any

from support.gateway_process import configuration

ACME: dict[str, Any] = configuration(0, 0, {})["providers"]["acme"]


def _with(**sections: Any) -> str:
    return json.dumps(configuration(0, 1, {}) | sections)


PROVIDERS: list[tuple[int, str, dict[str, Any], str]] = [
    *(
        (118, f"secret-{name}", {"secrets": [secret]}, f"secrets.0: {problem}")
        for name, secret, problem in [
            ("empty", "", "is empty"),
            ("blank", "   ", "is empty"),
            ("padded", " 0123456789abcdefgh", "has white space"),
            ("newline", "0123456789abcdefgh\n", "has white space"),
            ("short", "0a1b2c3", "is shorter than 8"),
            ("changeme", "changeme", "looks like a placeholder"),
            ("secret", "Secret", "looks like a placeholder"),
            ("monotonous", "x" * 40, "looks like a placeholder"),
        ]
    ),
    (118, "without-secrets", {"secrets": []}, "secrets: is empty"),
    (118, "no-base64", {"adapter": "standard_webhooks", "secrets": ["whsec_!!!!!!!!!!!!!!!!!!!!"]}, "secrets.0: is not base64"),
    (118, "private-key", {"adapter": "standard_webhooks", "secrets": ["whsk_" + "A" * 87 + "B="]}, "secrets.0: is the sender's private key"),
    (121, "no-scheme", {"adapter": "hmac", "secrets": ["0123456789abcdefgh"]}, "signature: is needed"),
    (122, "no-schema", {"schema": "missing.json"}, "schema: missing.json: cannot be read"),
    (122, "no-adapter", {"adapter": "gihub"}, "there is no adapter 'gihub'; did you mean github?"),
]  # fmt: skip
"""Number, name of a provider, how it differs from a good one, and what its problem says."""

FIELDS: list[tuple[int, dict[str, Any], str]] = [
    (117, {"sever": {}}, "sever: is not a setting; did you mean server?"),
    (117, {"server": {"max_bdy": "1MiB"}}, "server.max_bdy: is not a setting; did you mean max_body?"),
    (118, {"providers": {"x1": {**ACME, "secrets": [1234567890123456]}}}, "providers.x1.secrets.0: is not text"),
    (118, {"providers": {"x2": {**ACME, "secrets": [True]}}}, "providers.x2.secrets.0: is not text"),
    (118, {"providers": {"x3": {**ACME, "secrets": [None]}}}, "providers.x3.secrets.0: is not text"),
    (118, {"providers": {"x5": {**ACME, "secrets": ["0123456789abcdefgh"] * 6}}}, "providers.x5.secrets: "),
    (119, {"data_dir": "${MISSING}"}, "data_dir: needs the environment variable MISSING, which is not set"),
    (119, {"data_dir": "${}"}, "data_dir: has ${...} around something that is not a variable"),
    (119, {"data_dir": "${A${B}}"}, "data_dir: has ${...} around something that is not a variable"),
    (120, {"dedupe": {"lease": -30}}, "dedupe.lease: "),
    (120, {"dedupe": {"lease": True}}, "dedupe.lease: "),
    (120, {"server": {"processes": True}}, "server.processes: "),
    (120, {"server": {"processes": 0}}, "server.processes: "),
    (120, {"server": {"max_connections": -1}}, "server.max_connections: "),
    (120, {"server": {"max_body": "-1MiB"}}, "server.max_body: "),
    (120, {"server": {"deadline": "0s"}}, "server.deadline: "),
    (120, {"server": {"bind": "127.0.0.1:70000"}}, "server.bind: is not an address"),
    (120, {"server": {"bind": "127.0.0.1"}}, "server.bind: is not an address"),
    (121, {"providers": {"x6": {**ACME, "verification": "none"}}}, "providers.x6.verification: is not a setting; verification cannot be switched off"),
    (122, {"rabbitmq": {"exchange": ""}}, "rabbitmq.exchange: "),
    (122, {"rabbitmq": {"exchange": "x" * 256}}, "rabbitmq.exchange: "),
    (122, {"rabbitmq": {"exchange": "amq.topic"}}, "rabbitmq.exchange: must not begin with amq."),
    (122, {"providers": {"Upper": ACME}}, "providers.Upper: "),
    (122, {"providers": {"../x": ACME}}, "providers.../x: "),
    (122, {"providers": {}}, "providers: "),
    (122, {"server": {"trusted_proxies": ["10.0.0.1/8"]}}, "server.trusted_proxies.0: is an address within a network"),
]  # fmt: skip
"""Number, the sections that differ from a good configuration, and what is said of them."""

FILES: list[tuple[int, str, str, str]] = [
    (120, "a short lease", _with(dedupe={"lease": "15s"}), "dedupe.lease: 15s must be at least twice server.deadline (8s)"),
    (120, "a short retention", _with(dedupe={"retention": "10s"}), "dedupe.retention: must not be shorter than dedupe.lease"),
    (117, "a provider twice", "providers:\n  x: {}\n  x: {}\n", "providers.x: is defined twice"),
    (117, "a key twice", "server: {max_body: 1MiB, max_body: 2MiB}\n", "server.max_body: is defined twice"),
    (117, "a tab", "server:\n\tmax_body: 1MiB\n", "is not YAML"),
    (117, "a merge key", "a: &a {x: 1}\nserver: {<<: *a}\n", "merge keys are not supported"),
    (117, "a bomb of aliases", "a: &a [x]\n" + "".join(f"b{n}: [{'*a, ' * 9}*a]\n" for n in range(9)), "aliases"),
    (117, "an anchor within itself", "a: &a [*a]\n", "config.yaml"),
    (117, "a tag", "server: !!python/object/apply:os.system [id]\n", "server: "),
    (117, "a list", "- server\n", "config.yaml"),
    (117, "nothing", "", "providers: is missing"),
    (117, "100 000 levels", "[" * 100_000, "config.yaml"),
    (117, "other bytes than text", "\udcff\udcfe", "config.yaml"),
]  # fmt: skip
"""Number, name, the file, and what is said of it."""
