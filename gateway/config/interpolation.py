"""``${VAR}`` and ``${VAR:-fallback}`` in the values of the configuration.

A dollar sign is otherwise itself, values are not expanded again, and braces do not nest. Where NAME is unset and
NAME_FILE is set, the value is what stands in that file, which is how containers are given secrets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.transport.files import FileTooLarge, read_file

_EXPRESSION = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<fallback>:-[^${]*)?")


_MAX_FILE = 64 * 1024


class UnsetVariable(ValueError):
    """A variable without a fallback is not set, or is set to nothing."""


def expand(text: str, environment: Mapping[str, str], note_missing: Callable[[str], str | None]) -> str:
    """``text`` with its variables replaced.

    Args:
        text: a value of the configuration.
        environment: where variables are looked up; an empty one counts as unset, as in a shell with ``:-``.
        note_missing: may supply a value for an unset variable, given its name.

    Raises:
        UnsetVariable: a variable is unset, with the name and what to do.
        ValueError: what stands in the braces is no name of a variable, or its file cannot be read.
    """

    def replace(expression: re.Match[str]) -> str:
        match = _NAME.fullmatch(expression[1])
        if not match:
            raise ValueError(
                "has ${...} around something that is not a variable; write ${NAME} or ${NAME:-fallback}"
            )
        name, fallback = match["name"], match["fallback"]
        value = (
            look_up(name, environment) or note_missing(name)
            if fallback is None
            else look_up(name, environment) or fallback[2:]
        )
        if value is None:
            state = "set to nothing" if name in environment else "not set"
            raise UnsetVariable(f"needs the environment variable {name}, which is {state}")
        return value

    return _EXPRESSION.sub(replace, text)


def look_up(name: str, environment: Mapping[str, str]) -> str | None:
    """The value of a variable, or of the file that NAME_FILE names, less one line feed at its end.

    Raises:
        ValueError: the file cannot be read; with its path, never with what stands in it.
    """
    path = environment.get(f"{name}_FILE")
    if environment.get(name) or not path:
        return environment.get(name)
    try:
        return read_file(Path(path), _MAX_FILE).decode().removesuffix("\n")
    except FileTooLarge:
        raise ValueError(f"needs the file {path} of {name}_FILE, which is larger than 64KiB") from None
    except OSError as error:
        raise ValueError(
            f"needs the file {path} of {name}_FILE, which cannot be read: {error.strerror}"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"needs the file {path} of {name}_FILE, which is not UTF-8") from None


def is_optional(text: str) -> bool:
    """Whether ``text`` is one variable with an empty fallback: nothing at all when it is unset."""
    return bool(re.fullmatch(r"\$\{[A-Za-z_][A-Za-z0-9_]*:-\}", text))
