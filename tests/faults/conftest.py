"""One gateway for the tests of a module, for as long as its faults can be undone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from support.cluster_times import HEAD, Measured
from support.gateway_process import Section
from support.rabbitmq_cluster import QUICK_TO_NOTICE, RabbitMQCluster
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer
from support.requirements import require
from support.rig import LENIENT, STRICT, Rig, open_rig
from support.vhosts import VhostPool

_CLUSTER_PROGRAMS = ("rabbitmq-server", "rabbitmqctl", "epmd")

_MODES = {"lenient": LENIENT, "strict": STRICT}


_MEASURED = pytest.StashKey[list[Measured]]()


@pytest.fixture
def report(pytestconfig: pytest.Config) -> Callable[[Measured], None]:
    """Puts a measurement into the table that is printed at the end."""
    return pytestconfig.stash.setdefault(_MEASURED, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what faults have cost, and write it to the file that ``WEBHOOK_FAULT_TABLE`` names."""
    if measured := config.stash.get(_MEASURED, []):
        table = "\n".join([HEAD, *(each.row() for each in measured)])
        terminalreporter.section("what faults have cost")
        terminalreporter.write_line(table)
        if file := os.environ.get("WEBHOOK_FAULT_TABLE"):
            Path(file).write_text(f"{table}\n", "utf-8")


@pytest.fixture(scope="module")
def running_cluster() -> Iterator[RabbitMQCluster]:
    """Three nodes for the tests of a module."""
    require(*_CLUSTER_PROGRAMS)
    with RabbitMQCluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def attentive_cluster() -> Iterator[RabbitMQCluster]:
    """Three nodes for the tests of a module, which notice soon that one of them is silent."""
    require(*_CLUSTER_PROGRAMS)
    with RabbitMQCluster(QUICK_TO_NOTICE) as cluster:
        yield cluster


OpenRig = Callable[[Mapping[str, Section]], AbstractContextManager[Rig]]


@pytest.fixture(scope="session")
def new_rig(
    tmp_path_factory: pytest.TempPathFactory,
    redis_server: RedisServer,
    rabbitmq_server: RabbitMQServer,
    _vhosts: VhostPool,
) -> OpenRig:
    """Opens a gateway with settings of its own, in a folder and a virtual host of its own."""

    def new(overrides: Mapping[str, Section]) -> AbstractContextManager[Rig]:
        redis_server.ensure_running()
        rabbitmq_server.ensure_running()
        rabbitmq_url = rabbitmq_server.vhost_url(_vhosts.take())
        folder = tmp_path_factory.mktemp("gateway")
        return open_rig(folder, redis_server, rabbitmq_server, rabbitmq_url, overrides)

    return new


@pytest.fixture(scope="module", params=list(_MODES))
def module_rig(request: pytest.FixtureRequest, new_rig: OpenRig) -> Iterator[Rig]:
    """The gateway for the tests of a module, lenient or strict."""
    with new_rig(_MODES[request.param]) as rig:
        yield rig


@pytest.fixture
def rig(module_rig: Rig) -> Rig:
    """The gateway of the module, in good order, with nothing sent yet."""
    module_rig.renew()
    return module_rig
