"""``${VAR}`` and ``${VAR:-fallback}`` in the values of the configuration.

A dollar sign is otherwise itself, values are not expanded again, and braces do not nest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_EXPRESSION = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<fallback>:-[^${]*)?")


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
        ValueError: what stands in the braces is no name of a variable.
    """

    def replace(expression: re.Match[str]) -> str:
        match = _NAME.fullmatch(expression[1])
        if not match:
            raise ValueError(
                "has ${...} around something that is not a variable; write ${NAME} or ${NAME:-fallback}"
            )
        name, fallback = match["name"], match["fallback"]
        value = (
            environment.get(name) or note_missing(name)
            if fallback is None
            else environment.get(name) or fallback[2:]
        )
        if value is None:
            state = "set to nothing" if name in environment else "not set"
            raise UnsetVariable(f"needs the environment variable {name}, which is {state}")
        return value

    return _EXPRESSION.sub(replace, text)


def is_optional(text: str) -> bool:
    """Whether ``text`` is one variable with an empty fallback: nothing at all when it is unset."""
    return bool(re.fullmatch(r"\$\{[A-Za-z_][A-Za-z0-9_]*:-\}", text))
