"""The gateway's program, which kills itself when it gets to a certain point: run as a script.

Arguments: ``module:Class.method`` or ``module:function``, when (``before``, ``during`` or ``after`` its first
call; ``after:3`` is its third), and then those of the program itself.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from gateway.cli import main

_MEANWHILE = 0.002  # seconds after the begin of a call, for a death during it


def die() -> None:
    """End as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def dying(function: Callable[..., Any], moment: str) -> Callable[..., Any]:
    """``function``, with the death of the process."""
    moment, _, number = moment.partition(":")
    calls, fatal = itertools.count(1), int(number or 1)

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if next(calls) < fatal:
            return function(*arguments, **named)
        if moment == "before":
            die()
        if moment == "during":
            threading.Timer(_MEANWHILE, die).start()
        result = function(*arguments, **named)
        if moment == "after" and inspect.isawaitable(result):
            return _die_after(result)
        if moment == "after":
            die()
        return result

    return call


async def _die_after(result: Any) -> None:
    await result
    die()


def arm(target: str, moment: str) -> None:
    """Replace what ``target`` names."""
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    setattr(owner, name, dying(getattr(owner, name), moment))


if __name__ == "__main__":
    arm(sys.argv[1], sys.argv[2])
    sys.argv = ["gateway", *sys.argv[3:]]
    main()
