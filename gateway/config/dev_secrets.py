"""The generated secrets of ``gateway dev``, each in the format of its adapter and kept for the next start.

The file has one line ``NAME=value`` per secret; a value of several lines is a JSON string. For a key pair, ``NAME`` is the
public key, as it would be configured, and ``NAME.sender`` the private key, for ``gateway send``. The secret of a provider
that is configured without any is called ``providers.NAME.secrets``.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from gateway.adapters.adapter import Adapter
from gateway.config import Config, ProviderConfig
from gateway.config.discovery import DEV_SECRETS
from gateway.config.document import Document
from gateway.config.resolve import adapter_of
from gateway.signatures.secrets import SecretFormatError
from gateway.transport.private_files import make_private, make_private_folder

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_PRIVATE_KEY_SUFFIX = ".sender"
"""The suffix of the name of a private key."""


class DevSecrets:
    """The generated secrets, read from their file.

    Args:
        path: The file, which only its owner may read. It need not exist.

    Attributes:
        path: The same file.
        used: The generated values of unset variables, by name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.used: dict[str, str] = {}
        self._kept = _read(path)

    @classmethod
    def of(cls, config: Config) -> DevSecrets:
        """Return those in the data directory of a configuration."""
        return cls(config.data_dir / DEV_SECRETS)

    def get(self, name: str) -> str | None:
        """Return the generated value of a variable, or None."""
        return self._kept.get(name)

    def generate_for(self, config: Path) -> None:
        """Generate values for the variables of providers that the environment does not set."""
        for name, needed in _needed(config):
            if isinstance(needed, Adapter):
                self._renew(name, needed)
            else:
                self._kept.setdefault(name, needed)
            self.used[name] = self._kept[name]

    def fill_in(self, config: Config) -> Config:
        """Return the configuration with a generated secret for each provider without any, such as one whose keys are fetched."""
        for name, provider in config.providers.items():
            if not provider.secrets:
                self._renew(_key_of(name), adapter_of(provider))
        return self.with_kept(config)

    def with_kept(self, config: Config) -> Config:
        """Return the configuration with the secrets that :meth:`fill_in` generated at an earlier start."""
        providers = {
            name: provider.model_copy(update={"secrets": [SecretStr(self._kept[_key_of(name)])]})
            if not provider.secrets and _key_of(name) in self._kept
            else provider
            for name, provider in config.providers.items()
        }
        return config.model_copy(update={"providers": providers})

    def signing_secret_of(self, secret: str) -> str:
        """Return what signs requests that ``secret`` verifies: the generated private key, or else ``secret`` itself."""
        for name, kept in self._kept.items():
            if kept == secret and name + _PRIVATE_KEY_SUFFIX in self._kept:
                return self._kept[name + _PRIVATE_KEY_SUFFIX]
        return secret

    def is_generated(self, secret: str) -> bool:
        """Return whether ``secret`` was generated."""
        return secret in self._kept.values()

    def save(self) -> None:
        """Write the secrets to their file."""
        make_private_folder(self.path.parent)
        make_private(self.path)
        lines = [
            f"{name}={json.dumps(value) if chr(10) in value else value}\n"
            for name, value in self._kept.items()
        ]
        self.path.write_text("".join(lines), "utf-8")

    def _renew(self, name: str, adapter: Adapter) -> None:
        """Generate a secret for an adapter, unless the kept one has the right format."""
        if name in self._kept and _fits(adapter, self._kept[name]):
            return
        generated = adapter.spec.signature.make_secret()
        self._kept.pop(name + _PRIVATE_KEY_SUFFIX, None)
        self._kept[name] = generated.receiver
        if generated.sender != generated.receiver:
            self._kept[name + _PRIVATE_KEY_SUFFIX] = generated.sender


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = [line.split("=", 1) for line in lines if "=" in line]
    return {name: json.loads(value) if value.startswith('"') else value for name, value in pairs}


def _key_of(provider: str) -> str:
    return f"providers.{provider}.secrets"


def _needed(path: Path) -> Iterator[tuple[str, Adapter | str]]:
    """Yield the unset variables of providers, each with the adapter whose secret it is, or with a value for it."""
    document = Document(path, os.environ, lambda name: f"${{{name}}}")
    content = document.content if isinstance(document.content, dict) else {}
    providers = content.get("providers")
    for provider in providers.values() if isinstance(providers, dict) else ():
        try:
            # Other errors in the provider are reported when the configuration is loaded with these secrets.
            adapter = adapter_of(ProviderConfig.model_validate({**provider, "secrets": []}))
        except (KeyError, TypeError, ValueError):
            continue
        texts: list[tuple[Any, Adapter | str]] = [
            *((secret, adapter) for secret in provider.get("secrets") or ()),
            (provider.get("handshake_token"), secrets.token_hex(16)),
        ]
        parameters = adapter.spec.parameters
        texts += [
            (provider.get("parameters", {}).get(name), known.example) for name, known in parameters.items()
        ]
        for text, needed in texts:
            if isinstance(text, str) and (variable := _VARIABLE.fullmatch(text)):
                yield variable[1], needed


def _fits(adapter: Adapter, secret: str) -> bool:
    try:
        adapter.bind([secret], {name: known.example for name, known in adapter.spec.parameters.items()})
    except SecretFormatError:
        return False
    return True
