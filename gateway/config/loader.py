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
    """The configuration in ``path``.

    Args:
        path: the YAML file.
        environment: the variables; those of the process when left out.
        missing: supplies a value for an unset variable of a provider, given its name, or None for a problem.
        has_secrets: whether the secrets and parameters are real ones, to be checked; else they stand in for them.
        is_local: whether only this machine calls the gateway, so that it knows by which address.
        supplies_all: whether ``missing`` is asked for variables of other sections, too. Only where no data are looked
            for: a command must not look elsewhere than the gateway, for want of a variable.

    Raises:
        ConfigurationError: with every problem in it.
    """
    variables = os.environ if environment is None else environment
    document = Document(path, variables, missing, supplies_all=supplies_all)
    if document.problems:
        raise ConfigurationError(*document.problems)
    try:
        config = Config.model_validate(document.content)
    except ValidationError as error:
        raise ConfigurationError(*(document.locate(*problem) for problem in describe(error))) from None
    problems = [document.locate(*problem) for problem in conflicts(config)]
    problems += [
        document.locate(("providers", name, *place), text)
        for name, provider in config.providers.items()
        for place, text in check_provider(
            provider, config, path.parent, has_secrets=has_secrets, is_local=is_local
        )
    ]
    if problems:
        raise ConfigurationError(*problems)
    return config
