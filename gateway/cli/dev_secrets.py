"""The throw-away secrets of ``gateway dev``: made to fit the adapters that they are for, and kept for the next start.

The file has a line ``NAME=value`` for each, with the value as a JSON string where it has several lines. Of a pair of
keys ``NAME`` is the public one, as it would be configured, and ``NAME.sender`` the private one, for ``gateway send``.
Providers whose secrets are left out have theirs under ``providers.NAME.secrets``.
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
from gateway.config.document import Document
from gateway.config.resolve import adapter_of
from gateway.signatures.secrets import SecretFormatError
from gateway.transport.private_files import make_private, make_private_folder

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SENDER = ".sender"


class DevSecrets:
    """The secrets that were made, and those that are made now.

    Attributes:
        path: where they are kept, readable by their owner alone.
        used: those that stand for variables, by name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.used: dict[str, str] = {}
        self._kept = _read(path)

    def get(self, name: str) -> str | None:
        """The kept value of a variable."""
        return self._kept.get(name)

    def make_for(self, config: Path) -> None:
        """Make what the variables stand for that the configuration at ``config`` has and the environment has not."""
        for name, wanted in _wanted(config):
            if isinstance(wanted, Adapter):
                self._renew(name, wanted)
            else:
                self._kept.setdefault(name, wanted)
            self.used[name] = self._kept[name]

    def complete(self, config: Config) -> Config:
        """The configuration with secrets for the providers without any, whose keys are fetched or told otherwise."""
        for name, provider in config.providers.items():
            if not provider.secrets:
                self._renew(_key_of(name), adapter_of(provider))
        return self.completed(config)

    def completed(self, config: Config) -> Config:
        """The same with the secrets that were made before."""
        providers = {
            name: provider.model_copy(update={"secrets": [SecretStr(self._kept[_key_of(name)])]})
            if not provider.secrets and _key_of(name) in self._kept
            else provider
            for name, provider in config.providers.items()
        }
        return config.model_copy(update={"providers": providers})

    def sender_of(self, secret: str) -> str:
        """What a sender signs with whose deliveries ``secret`` verifies: its private key where one was made, else the same."""
        for name, kept in self._kept.items():
            if kept == secret and name + _SENDER in self._kept:
                return self._kept[name + _SENDER]
        return secret

    def has_made(self, secret: str) -> bool:
        """Whether a secret is one of these."""
        return secret in self._kept.values()

    def keep(self) -> None:
        """Write them down."""
        make_private_folder(self.path.parent)
        make_private(self.path)
        lines = [
            f"{name}={json.dumps(value) if chr(10) in value else value}\n"
            for name, value in self._kept.items()
        ]
        self.path.write_text("".join(lines), "utf-8")

    def _renew(self, name: str, adapter: Adapter) -> None:
        """Make a secret for an adapter, unless the kept one is of its kind."""
        if name in self._kept and _fits(adapter, self._kept[name]):
            return
        made = adapter.spec.signature.make_secret()
        self._kept.pop(name + _SENDER, None)
        self._kept[name] = made.receiver
        if made.sender != made.receiver:
            self._kept[name + _SENDER] = made.sender


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = [line.split("=", 1) for line in lines if "=" in line]
    return {name: json.loads(value) if value.startswith('"') else value for name, value in pairs}


def _key_of(provider: str) -> str:
    return f"providers.{provider}.secrets"


def _wanted(path: Path) -> Iterator[tuple[str, Adapter | str]]:
    """The variables of the providers that the environment does not have: what each is a secret of, or could be."""
    document = Document(path, os.environ, lambda name: f"${{{name}}}")
    content = document.content if isinstance(document.content, dict) else {}
    providers = content.get("providers")
    for provider in providers.values() if isinstance(providers, dict) else ():
        try:
            # The rest of it may be wrong; whoever loads it with what is made here is told.
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
        for text, wanted in texts:
            if isinstance(text, str) and (variable := _VARIABLE.fullmatch(text)):
                yield variable[1], wanted


def _fits(adapter: Adapter, secret: str) -> bool:
    try:
        adapter.bind([secret], {name: known.example for name, known in adapter.spec.parameters.items()})
    except SecretFormatError:
        return False
    return True
