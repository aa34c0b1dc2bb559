"""Read the configuration: the file, its models, and the checks that the models cannot make.

All problems are reported at once, each in one line: the file and line, the path of the field, what is wrong
and what to do. No message contains the value of a secret.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from gateway.config.cross_checks import conflicts
from gateway.config.document import Document
from gateway.config.endpoint_checks import check_endpoint, check_outbound
from gateway.config.error_messages import describe
from gateway.config.models import Config
from gateway.config.provider_checks import check_provider
from gateway.errors import ConfigurationError


def load_config(
    path: Path,
    environment: Mapping[str, str] | None = None,
    missing: Callable[[str], str | None] = lambda _: None,
    *,
    has_secrets: bool = True,
    is_local: bool = False,
    supplies_all: bool = False,
) -> Config:
    """Load and check the configuration in ``path``.

    Args:
        path: The YAML file.
        environment: The environment variables; by default those of the process.
        missing: Returns a value for an unset variable of a provider or an endpoint, given its name, or None to report a problem;
            also for a key of `outbound.keys`.
        has_secrets: Whether secrets, keys and parameters are real and to be checked; otherwise they are placeholders.
        is_local: Whether only this machine calls the gateway, so that the gateway knows its own URL.
        supplies_all: Whether ``missing`` is also asked for variables of other sections. Use it only if no stored data
            are read: a command with other settings than the gateway would look for them in another place.

    Raises:
        ConfigurationError: With every problem found, one an argument.
    """
    variables = os.environ if environment is None else environment
    document = Document(path, variables, missing, supplies_all=supplies_all)
    if document.problems:
        raise ConfigurationError(*document.problems)
    try:
        config = Config.model_validate(document.content)
    except ValidationError as error:
        raise ConfigurationError(*(document.locate(*problem) for problem in describe(error))) from None
    problems = [document.locate(*problem) for problem in conflicts(config, has_servers=not supplies_all)]
    problems += [
        document.locate(("providers", name, *place), text)
        for name, provider in config.providers.items()
        for place, text in check_provider(
            provider, config, path.parent, has_secrets=has_secrets, is_local=is_local
        )
    ]
    problems += [
        document.locate(("outbound", *place), text)
        for place, text in check_outbound(
            config.outbound, config.postgres.url, has_way_out=config.has_way_out, has_secrets=has_secrets
        )
    ]
    problems += [
        document.locate(("endpoints", name, *place), text)
        for name, endpoint in config.endpoints.items()
        for place, text in check_endpoint(endpoint, config, has_secrets=has_secrets)
    ]
    if problems:
        raise ConfigurationError(*problems)
    config.note_document_warnings(document.warnings)
    return config
