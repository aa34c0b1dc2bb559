"""The secrets that `gateway dev` makes fit the adapters that they are for."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.config import Config, load_config
from gateway.config.dev_secrets import DevSecrets
from gateway.config.resolve import adapter_of
from gateway.devtools.provider_reference import config_block
from gateway.devtools.samples import load_sample
from gateway.devtools.simulator import Simulator
from gateway.signatures.request import Headers, RawRequest
from support.deliveries import NAMES

NOW = time.time()


def write(folder: Path, *blocks: str) -> Path:
    """A configuration with these providers."""
    path = folder / "config.yaml"
    lines = [f"  {line}" for text in blocks for line in text.splitlines()]
    path.write_text("\n".join([f"data_dir: {folder}", "providers:", *lines]) + "\n")
    return path


def load(path: Path) -> tuple[Config, DevSecrets]:
    """The configuration as `gateway dev` has it."""
    secrets = DevSecrets(path.parent / "dev.env")
    secrets.generate_for(path)
    config = secrets.fill_in(load_config(path, missing=secrets.get))
    secrets.save()
    return config, secrets


def prove(config: Config, secrets: DevSecrets, name: str) -> None:
    """Have the gateway verify what `gateway send` sends."""
    provider = config.providers[name]
    adapter, url = adapter_of(provider), provider.public_url or f"http://localhost/webhooks/{name}"
    secret = secrets.signing_secret_of(provider.secret_texts()[0])
    sender = Simulator(adapter, secret, url, load_sample(adapter, None), parameters=provider.parameters)
    request = sender.make(NOW)
    address = urlsplit(request.url)
    fields = [(key.lower().encode(), value.encode("latin-1")) for key, value in request.headers.items()]
    raw = RawRequest(
        body=request.body,
        headers=Headers(fields),
        path=address.path,
        query=address.query.encode(),
        url=request.url,
    )
    adapter.bind(provider.secret_texts(), provider.parameters).verify(raw, NOW)


def test_every_adapter_can_be_tried_with_the_block_that_is_to_be_pasted(tmp_path: Path) -> None:
    """Nothing else is configured, and the next start has the same secrets."""
    path = write(tmp_path, *map(config_block, NAMES))
    config, secrets = load(path)
    for name in NAMES:
        prove(config, secrets, name)

    kept = (tmp_path / "dev.env").read_bytes()
    config, secrets = load(path)
    assert kept == (tmp_path / "dev.env").read_bytes()
    for name in ("discord", "wise", "aws_sns", "braintree"):
        prove(config, secrets, name)


def test_a_described_sender_has_a_secret_of_its_kind(tmp_path: Path) -> None:
    """By its own description; one that does not fit is made anew."""
    described = (
        'acme:\n  adapter: hmac\n  secrets: ["${ACME}"]\n  signature: {header: X-Sig, secret_format: hex}\n'
    )
    path = write(tmp_path, described)
    (tmp_path / "dev.env").write_text("ACME=whsec_c3RhbmRzIGluIGZvciBhIHNlY3JldCE=\nSTRIPE=kept\n")
    config, secrets = load(path)
    (secret,) = config.providers["acme"].secret_texts()
    assert bytes.fromhex(secret)
    assert secrets.used == {"ACME": secret}
    assert DevSecrets(tmp_path / "dev.env").get("STRIPE") == "kept"


def test_variables_that_are_no_secrets_are_left_alone(tmp_path: Path) -> None:
    """Those of the environment too: they are neither replaced nor written down."""
    path = write(
        tmp_path, config_block("github"), config_block("stripe").replace("STRIPE_WEBHOOK_SECRET", "HOME")
    )
    path.write_text(path.read_text() + 'redis: {url: "${NO_SUCH_REDIS}"}\n')
    secrets = DevSecrets(tmp_path / "dev.env")
    secrets.generate_for(path)
    assert list(secrets.used) == ["GITHUB_WEBHOOK_SECRET"]


@pytest.mark.parametrize("name", ["discord", "wise"])
def test_a_private_key_is_kept_beside_the_public_one(tmp_path: Path, name: str) -> None:
    """One line each, whatever stands in it."""
    _, secrets = load(write(tmp_path, config_block(name)))
    public, private = (tmp_path / "dev.env").read_text().splitlines()
    variable = f"{name.upper()}_WEBHOOK_SECRET"
    assert public.startswith(f"{variable}=")
    assert private.startswith(f'{variable}.sender="-----BEGIN PRIVATE KEY-----\\n')
    assert "PRIVATE" not in secrets.used[variable]
