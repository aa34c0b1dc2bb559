"""Find the data that comes with the gateway: ``providers/`` and ``schemas/``.

The two folders lie at the top of the repository. In the wheel they travel inside the package, so that a project
may have folders of the same names.
"""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path


def bundled(folder: str) -> Traversable:
    """Return the bundled folder of this name."""
    package = resources.files("gateway")
    installed = package / "data" / folder
    return installed if installed.is_dir() else Path(str(package)).parent / folder
