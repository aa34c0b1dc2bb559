"""Environment variables in the configuration: ``${NAME}`` and ``${NAME:-fallback}``.

Any other dollar sign is itself. Values are not expanded again, and braces do not nest. If NAME is unset and NAME_FILE is
set, the value is the content of that file: this is how Docker and Kubernetes provide secrets. A file that is not there
counts as unset where there is a fallback, because an old secret is removed once nobody signs with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.transport.files import FileTooLarge, read_file

_EXPRESSION = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<fallback>:-[^${]*)?")

_MAX_FILE_SIZE = 64 * 1024
"""Bytes of a file that NAME_FILE names; a secret or a key is far smaller."""


class MissingFile(ValueError):
    """Raised when a variable names a file that does not exist."""


class UnsetVariable(ValueError):
    """Raised when a variable without a fallback is unset or empty."""


def expand(
    text: str,
    environment: Mapping[str, str],
    missing: Callable[[str], str | None],
    on_missing_file: Callable[[str], None] = lambda _: None,
) -> str:
    """Return ``text`` with its variables replaced by their values.

    Args:
        text: A value of the configuration.
        environment: The variables; an empty one counts as unset, as with ``:-`` in a shell.
        missing: Returns a value for an unset variable, given its name, or None.
        on_missing_file: Called with what is wrong if a file does not exist and the fallback is used.

    Raises:
        UnsetVariable: A variable is unset; the message names it.
        ValueError: The braces do not contain the name of a variable, or its file cannot be read.
    """

    def replace(expression: re.Match[str]) -> str:
        match = _NAME.fullmatch(expression[1])
        if not match:
            raise ValueError(
                "has ${...} around something that is not a variable; write ${NAME} or ${NAME:-fallback}"
            )
        name, fallback = match["name"], match["fallback"]
        try:
            value = look_up(name, environment)
        except MissingFile as error:
            if fallback is None:
                raise
            on_missing_file(str(error))
            value = None
        if not value:
            value = missing(name) if fallback is None else fallback[2:]
        if value is None:
            state = "empty" if name in environment else "not set"
            raise UnsetVariable(f"needs the environment variable {name}, which is {state}")
        return value

    return _EXPRESSION.sub(replace, text)


def look_up(name: str, environment: Mapping[str, str]) -> str | None:
    """Return the value of a variable, or the content of the file that NAME_FILE names.

    A final line feed of the file is left out.

    Raises:
        MissingFile: There is no such file.
        ValueError: The file cannot be read; the message has its path, and never its content.
    """
    path = environment.get(f"{name}_FILE")
    if environment.get(name) or not path:
        return environment.get(name)
    try:
        return read_file(Path(path), _MAX_FILE_SIZE).decode().removesuffix("\n")
    except FileTooLarge:
        raise ValueError(f"needs the file {path} of {name}_FILE, which is larger than 64KiB") from None
    except FileNotFoundError as error:
        raise MissingFile(
            f"needs the file {path} of {name}_FILE, which cannot be read: {error.strerror}"
        ) from None
    except OSError as error:
        raise ValueError(
            f"needs the file {path} of {name}_FILE, which cannot be read: {error.strerror}"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"needs the file {path} of {name}_FILE, which is not UTF-8") from None


def is_optional(text: str) -> bool:
    """Return whether a list omits ``text`` while its variable is unset: ``${NAME:-}`` alone."""
    return bool(re.fullmatch(r"\$\{[A-Za-z_][A-Za-z0-9_]*:-\}", text))
