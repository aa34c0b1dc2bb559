"""Reading the configuration: YAML with line numbers, variables, models, and what models cannot see.

All problems are reported at once, each in one line: the file and line, the path of the field, what is wrong
and what to do. A secret's value is never part of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.environment import UnsetVariable, expand, is_optional
from gateway.config.models import Config, ProviderConfig
from gateway.errors import ConfigurationError
from gateway.schemas import SchemaError, load_file
from providers import registry
from providers.adapter import Adapter
from providers.secrets import SecretFormatError
from providers.spec import AdapterSpec, IdentitySpec
from providers.units import format_duration

FieldPath = tuple[str | int, ...]

_SHORTEST_SECRET = 16
_DEFAULT_LOOKING = frozenset(
    {"changeme", "change-me", "secret", "password", "test", "example", "default", "todo", "xxx"}
)
_MAX_ALIASES = 20


def load_config(
    path: Path,
    environment: Mapping[str, str] | None = None,
    missing: Callable[[str], str | None] = lambda _: None,
) -> Config:
    """The configuration in ``path``.

    Args:
        path: the YAML file.
        environment: the variables; those of the process when left out.
        missing: supplies a value for an unset variable, given its name, or None for a problem.

    Raises:
        ConfigurationError: with every problem in it.
    """
    document = _Document(path, os.environ if environment is None else environment, missing)
    if document.problems:
        raise ConfigurationError(*document.problems)
    try:
        config = Config.model_validate(document.content)
    except ValidationError as error:
        raise ConfigurationError(
            *(document.locate(*_describe(detail)) for detail in error.errors())
        ) from None
    problems = [
        document.locate(("providers", name, *place), text)
        for name, provider in config.providers.items()
        for place, text in _check_provider(provider, config, path.parent)
    ]
    if problems:
        raise ConfigurationError(*problems)
    return config


def adapter_of(provider: ProviderConfig) -> Adapter:
    """The adapter of a configured provider, with what the configuration says of its deliveries.

    Raises:
        KeyError: there is none of that name.
        ValueError: what the configuration says does not fit together.
    """
    stated = {
        name: getattr(provider, name)
        for name in IdentitySpec.model_fields
        if name in provider.model_fields_set
    }
    if provider.adapter == registry.GENERIC:
        return Adapter(registry.GENERIC, AdapterSpec(signature=provider.signature, **stated))  # type: ignore[arg-type]
    adapter = registry.load(provider.adapter)
    return Adapter(adapter.name, adapter.spec.model_copy(update=stated)) if stated else adapter


def _check_provider(
    provider: ProviderConfig, config: Config, folder: Path
) -> Iterator[tuple[FieldPath, str]]:
    if provider.adapter not in registry.names():
        yield (
            ("adapter",),
            f"there is no adapter {provider.adapter!r}{_suggest(provider.adapter, registry.names())}",
        )
        return
    if (provider.signature is None) == (provider.adapter == registry.GENERIC):
        needed = provider.signature is None
        yield (
            ("signature",),
            "is needed by adapter hmac" if needed else f"is already known to adapter {provider.adapter}",
        )
        return
    try:
        adapter = adapter_of(provider)
    except ValueError as error:
        yield (), _pydantic_message(error)
        return
    yield from _check_secrets(provider, adapter)
    if provider.schema_file:
        try:
            load_file(folder / provider.schema_file)
        except SchemaError as error:
            yield ("schema",), str(error)
    horizon = adapter.spec.retry_horizon
    if horizon and config.dedupe.retention < horizon:
        yield (
            (),
            (
                f"{adapter.spec.title} repeats a delivery for up to {format_duration(horizon)}, longer than "
                f"dedupe.retention ({format_duration(config.dedupe.retention)}); raise the retention"
            ),
        )


def _check_secrets(provider: ProviderConfig, adapter: Adapter) -> Iterator[tuple[FieldPath, str]]:
    for position, secret in enumerate(provider.secret_texts()):
        problem = None
        if not secret.strip():
            problem = "is empty; everybody could sign with an empty secret"
        elif secret != secret.strip():
            problem = "has white space around it"
        elif secret.lower() in _DEFAULT_LOOKING or len(set(secret)) == 1:
            problem = "looks like a placeholder; use the secret that the sender shows you"
        elif len(secret) < _SHORTEST_SECRET:
            problem = f"is shorter than {_SHORTEST_SECRET} characters; choose a longer one at the sender"
        else:
            try:
                adapter.bind([secret])
            except SecretFormatError as error:
                problem = str(error)
        if problem:
            yield ("secrets", position), problem


class _Document:
    """A YAML file as plain values, with the line of each of them.

    Attributes:
        content: the values, variables replaced.
        problems: what is wrong with the file as YAML, or with its variables.
    """

    def __init__(
        self, path: Path, environment: Mapping[str, str], missing: Callable[[str], str | None]
    ) -> None:
        self.path = path
        self.problems: list[str] = []
        self._environment = environment
        self._missing = missing
        self._lines: dict[FieldPath, int] = {(): 1}
        try:
            text = path.read_text("utf-8")
            if sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)) > _MAX_ALIASES:
                raise ConfigurationError(f"{path}: more than {_MAX_ALIASES} aliases; write the values out")
            node = yaml.compose(text, yaml.SafeLoader)
        except FileNotFoundError:
            raise ConfigurationError(f"{path}: there is no such file; name one with --config") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path}: cannot be read: {error}") from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            # An alias is quoted by name; it may be a secret that begins with an asterisk.
            problem = str(error.problem).partition("alias '")[0].replace("undefined ", "an undefined alias")
            raise ConfigurationError(f"{path}:{line}: is not YAML: {problem}") from None
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{path}: is not YAML: {error}") from None
        self._constructor = yaml.constructor.SafeConstructor()
        self.content = self._build(node, ()) if node else {}

    def locate(self, place: FieldPath, text: str) -> str:
        """One problem as a line: where in the file, which field, what."""
        known = place
        while known not in self._lines:
            known = known[:-1]
        return f"{self.path}:{self._lines[known]}: {'.'.join(map(str, place))}{': ' if place else ''}{text}"

    def _build(self, node: yaml.Node, place: FieldPath) -> Any:
        self._lines.setdefault(place, node.start_mark.line + 1)
        match node:
            case yaml.MappingNode():
                return self._mapping(node, place)
            case yaml.SequenceNode():
                kept = [item for item in node.value if not self._is_left_out(item)]
                return [self._build(item, (*place, position)) for position, item in enumerate(kept)]
            case yaml.ScalarNode(tag="tag:yaml.org,2002:str"):
                return self._expand(node.value, place)
            case _:
                try:
                    return self._constructor.construct_object(node)
                except (yaml.YAMLError, ValueError):  # their texts quote the file, secrets included
                    self.problems.append(
                        self.locate(place, "cannot be read; if it is text, put it in quotes")
                    )

    def _mapping(self, node: yaml.MappingNode, place: FieldPath) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            inner = (*place, key)
            self._lines[inner] = key_node.start_mark.line + 1
            if key == "<<":
                self.problems.append(self.locate(inner, "merge keys are not read; write the keys out"))
                continue
            if key in content:
                self.problems.append(self.locate(inner, "stands here for the second time"))
            content[key] = self._build(value_node, inner)
        return content

    def _is_left_out(self, node: yaml.Node) -> bool:
        return (
            isinstance(node, yaml.ScalarNode) and is_optional(node.value) and not self._try_expand(node.value)
        )

    def _try_expand(self, text: str) -> str:
        return expand(text, self._environment, self._missing)

    def _expand(self, text: str, place: FieldPath) -> str:
        try:
            return self._try_expand(text)
        except UnsetVariable as error:
            self.problems.append(self.locate(place, f"{error}; set it, or write ${{NAME:-fallback}}"))
        except ValueError as error:
            self.problems.append(self.locate(place, str(error)))
        return text


def _describe(detail: ErrorDetails) -> tuple[FieldPath, str]:
    """The place and the text of a problem that a model found."""
    # The branches of a union and the keys of a mapping stand in pydantic's path, but not in the file.
    place = tuple(
        step
        for step in detail["loc"]
        if step not in ("hmac", "standard_webhooks", "[key]")
        and not (isinstance(step, str) and step.startswith(("function-", "list[", "dict[", "constrained-")))
    )
    match detail["type"]:
        case "extra_forbidden":
            return place, f"is not a setting{_suggest(str(place[-1]), _known_keys())}"
        case "missing":
            return place, "is missing"
        case "string_type" if "secrets" in place:
            return place, "is not text; put the secret in quotes"
        case "value_error":
            return place, str(detail["ctx"]["error"])
        case "union_tag_invalid":
            return (*place, "scheme"), f"must be one of {detail['ctx']['expected_tags']}"
        case "string_pattern_mismatch":
            return place, f"has characters that it cannot have; it must match {detail['ctx']['pattern']}"
        case _:
            return place, detail["msg"].replace("Input should be", "must be")


def _known_keys() -> list[str]:
    """All settings that there are."""
    schema = Config.model_json_schema(by_alias=True)
    keys: list[str] = []
    for definition in [schema, *schema["$defs"].values()]:
        keys += definition.get("properties", {})
    return keys


def _suggest(word: str, known: Any) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _pydantic_message(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(_describe(detail)[1] for detail in error.errors())
    return str(error)
