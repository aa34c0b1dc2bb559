"""A gateway for each module of hostile inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from hostile.target import Target
from support.gateway_process import GatewayProcess, Secrets


@pytest.fixture(scope="module")
def overrides() -> Mapping[str, Any]:
    """The settings of the gateway that differ from the usual ones; for modules to replace."""
    return {}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, overrides: Mapping[str, Any]) -> Iterator[Target]:
    """The gateway that all tests of a module send to."""
    with GatewayProcess(tmp_path_factory.mktemp("gateway"), Secrets(), overrides=overrides) as gateway:
        yield Target(gateway)
