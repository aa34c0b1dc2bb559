"""The bundled data of the gateway: ``providers/`` and ``schemas/``.

Both folders are at the top of the repository. In the wheel they are inside the package, so that a project may have folders
of the same names.
"""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path


def bundled(folder: str) -> Traversable:
    """Return a bundled folder by its name."""
    package = resources.files("gateway")
    installed = package / "data" / folder
    return installed if installed.is_dir() else Path(str(package)).parent / folder
