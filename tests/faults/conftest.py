"""One gateway for the tests of a module, for as long as its faults can be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

import pytest

from support.gateway_process import Section
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer
from support.rig import LENIENT, STRICT, Rig, open_rig
from support.vhosts import VhostPool

_MODES = {"lenient": LENIENT, "strict": STRICT}


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
