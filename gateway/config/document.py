"""The configuration file as plain values with their lines, variables expanded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from gateway.config.interpolation import UnsetVariable, expand, is_optional
from gateway.errors import ConfigurationError
from gateway.transport.files import FileTooLarge, read_file
from gateway.transport.yaml_bounds import read_events

FieldPath = tuple[str | int, ...]
"""The keys and positions that lead to a value."""

_PLACEHOLDER_SECTIONS = (("providers",), ("endpoints",), ("outbound", "keys"))
"""The places in which a command may replace unset variables. All other sections say where data are, so that every
command must read them alike."""

_MAX_ALIASES = 20
"""Aliases in a file. Aliases of aliases grow exponentially when they are expanded."""

_MAX_DEPTH = 10
"""Levels of nesting, more than any setting needs. Composing recurses, so deep nesting would end in a RecursionError."""

_MAX_FILE_SIZE = 1024**2
"""Bytes of a configuration file, so that a wrong path does not fill the memory."""


class Document:
    """A YAML file as plain values that know their lines.

    Args:
        path: The path of the file.
        environment: The environment variables.
        missing: Returns a value for an unset variable of a provider or an endpoint, given its name, or None to report a problem.
        supplies_all: Whether ``missing`` is also asked for variables of other sections.

    Attributes:
        content: The values, with variables expanded.
        problems: What is wrong with the file as YAML or with its variables, one line each.
        warnings: What is odd about it but can be used, one line each.

    Raises:
        ConfigurationError: The file cannot be read, or is not YAML.
    """

    def __init__(
        self,
        path: Path,
        environment: Mapping[str, str],
        missing: Callable[[str], str | None],
        *,
        supplies_all: bool = False,
    ) -> None:
        self.path = path
        self.problems: list[str] = []
        self._environment = environment
        self.warnings: list[str] = []
        self._missing = missing
        self._supplies_all = supplies_all
        self._lines: dict[FieldPath, int] = {(): 1}
        try:
            text = read_file(path, _MAX_FILE_SIZE).decode()
            _check_bounds(text, path)
            node = yaml.compose(text, yaml.SafeLoader)
        except FileTooLarge:
            raise ConfigurationError(
                f"{path}: is larger than 1MiB; name a configuration file with --config"
            ) from None
        except FileNotFoundError:
            raise ConfigurationError(
                f"{path}: there is no such file; name one with --config, or make one with `gateway init`"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path}: cannot be read: it is not UTF-8") from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            # The message quotes the alias, which may be a secret that begins with an asterisk.
            problem = str(error.problem).partition("alias '")[0].replace("undefined ", "an undefined alias")
            raise ConfigurationError(f"{path}:{line}: is not YAML: {problem}") from None
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{path}: is not YAML: {str(error).partition(chr(10))[0]}") from None
        self._open: list[yaml.Node] = []
        self._constructor = yaml.constructor.SafeConstructor()
        self.content = self._build(node, ()) if node else {}

    def locate(self, place: FieldPath, text: str) -> str:
        """Format a problem as one line: file and line, path of the field, text."""
        known = place
        while known not in self._lines:
            known = known[:-1]
        return f"{self.path}:{self._lines[known]}: {'.'.join(map(str, place))}{': ' if place else ''}{text}"

    def _build(self, node: yaml.Node, place: FieldPath) -> Any:
        self._lines.setdefault(place, node.start_mark.line + 1)
        if any(node is outer for outer in self._open):
            self.problems.append(self.locate(place, "refers to itself"))
            return None
        self._open.append(node)
        content = self._content(node, place)
        self._open.pop()
        return content

    def _content(self, node: yaml.Node, place: FieldPath) -> Any:
        match node:
            case yaml.MappingNode():
                return self._mapping(node, place)
            case yaml.SequenceNode():
                kept = [item for item in node.value if not self._is_omitted(item, place)]
                return [self._build(item, (*place, position)) for position, item in enumerate(kept)]
            case yaml.ScalarNode(tag="tag:yaml.org,2002:str"):
                return self._expand(node.value, place)
            case _:
                try:
                    return self._constructor.construct_object(node)
                except (yaml.YAMLError, ValueError):  # the error quotes the value, which may be a secret
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
                self.problems.append(self.locate(inner, "merge keys are not supported; write the keys out"))
                continue
            if key in content:
                self.problems.append(self.locate(inner, "is defined twice"))
            content[key] = self._build(value_node, inner)
        return content

    def _is_omitted(self, node: yaml.Node, place: FieldPath) -> bool:
        if not isinstance(node, yaml.ScalarNode) or not is_optional(node.value):
            return False
        try:
            return not self._try_expand(node.value, place)
        except ValueError:  # reported when the value is built
            return False

    def _try_expand(self, text: str, place: FieldPath) -> str:
        is_supplied = self._supplies_all or any(
            place[: len(section)] == section for section in _PLACEHOLDER_SECTIONS
        )
        return expand(
            text,
            self._environment,
            self._missing if is_supplied else _none,
            lambda error: self.warnings.append(self.locate(place, f"{error}; it counts as unset")),
        )

    def _expand(self, text: str, place: FieldPath) -> str:
        try:
            return self._try_expand(text, place)
        except UnsetVariable as error:
            self.problems.append(self.locate(place, f"{error}; set it, or write ${{NAME:-fallback}}"))
        except ValueError as error:
            self.problems.append(self.locate(place, str(error)))
        return text


def _none(_: str) -> None:
    """Supply no value."""


def _check_bounds(text: str, path: Path) -> None:
    """Refuse a document that would take long to compose or expand, before it is composed.

    Raises:
        ConfigurationError: It has too many aliases, or nests too deeply.
    """
    for reading in read_events(text):
        if reading.aliases > _MAX_ALIASES:
            raise ConfigurationError(f"{path}: more than {_MAX_ALIASES} aliases; write the values out")
        if reading.depth > _MAX_DEPTH:
            raise ConfigurationError(f"{path}:{reading.line}: is nested more than {_MAX_DEPTH} levels deep")
