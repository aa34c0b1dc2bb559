"""The adapters that come with the gateway: one YAML file each, read when it is asked for."""

from __future__ import annotations

from functools import cache
from importlib.resources.abc import Traversable
from itertools import takewhile
from typing import Any
from urllib.parse import unquote

import yaml

from gateway.adapters.adapter import Adapter
from gateway.adapters.bundled import bundled
from gateway.adapters.spec import AdapterSpec

GENERIC = "hmac"
"""The adapter whose description stands in the configuration itself."""

_FOLDER = bundled("providers")
_SAMPLES = _FOLDER / "samples"
_SAMPLE_SUFFIXES = ("json", "txt", "xml")
"""The suffixes of sample bodies; a folder of samples may hold other files, such as evidence of where they come from."""


@cache
def names() -> tuple[str, ...]:
    """The adapters that there are, sorted; :data:`GENERIC` is among them."""
    described = (file.name.removesuffix(".yaml") for file in _FOLDER.iterdir() if file.name.endswith(".yaml"))
    return tuple(sorted({GENERIC, *described}))


@cache
def load(name: str) -> Adapter:
    """The adapter called ``name``.

    Raises:
        KeyError: there is none of that name that is described here.
    """
    if name not in names() or name == GENERIC:
        raise KeyError(name)
    description, family = _describe(name)
    return Adapter(name, AdapterSpec.model_validate(description), family)


def sample_files(family: str) -> dict[str, Traversable]:
    """Return the bundled sample bodies of a family of adapters by event type.

    A file is named after its event type. Types such as ``pr:opened`` or a path are percent-encoded, because not every
    file system can hold them.
    """
    folder = _SAMPLES / family
    if not folder.is_dir():
        return {}
    named = [(file.name.rpartition("."), file) for file in folder.iterdir() if not file.name.startswith("_")]
    return {unquote(stem): file for (stem, _, suffix), file in named if suffix in _SAMPLE_SUFFIXES}


def note_on(name: str) -> str:
    """The comment at the head of an adapter's file: what its signature covers and does not, and what is peculiar."""
    lines = (_FOLDER / f"{name}.yaml").read_text("utf-8").splitlines()
    return " ".join(
        line.removeprefix("#").strip() for line in takewhile(lambda line: line.startswith("#"), lines)
    )


def _describe(name: str) -> tuple[dict[str, Any], str]:
    """What the file of an adapter says, on top of what the one says that it extends; and its family.

    The family is the adapter whose samples and schemas it has: itself, or that of the one it extends if it has none.
    """
    text = (_FOLDER / f"{name}.yaml").read_text("utf-8")
    description: dict[str, Any] = yaml.load(text, _Loader)  # noqa: S506
    base = description.pop("extends", None)
    if not base:
        return description, name
    inherited, family = _describe(base)
    return {**inherited, **description}, name if (_SAMPLES / name).is_dir() else family


_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Six times as fast where libyaml is there, and as safe."""
