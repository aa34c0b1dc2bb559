"""One gateway for the tests of a module, for as long as its faults can be undone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer
from support.rig import LENIENT, STRICT, Rig, open_rig
from support.vhosts import VhostPool

_MODES = {"lenient": LENIENT, "strict": STRICT}


@pytest.fixture(scope="module", params=list(_MODES))
def module_rig(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    redis_server: RedisServer,
    rabbitmq_server: RabbitMQServer,
    _vhosts: VhostPool,
) -> Iterator[Rig]:
    """The gateway for the tests of a module, lenient or strict."""
    redis_server.ensure_running()
    rabbitmq_server.ensure_running()
    rabbitmq_url = rabbitmq_server.vhost_url(_vhosts.take())
    folder = tmp_path_factory.mktemp("gateway")
    with open_rig(folder, redis_server, rabbitmq_server, rabbitmq_url, _MODES[request.param]) as rig:
        yield rig


@pytest.fixture
def rig(module_rig: Rig) -> Rig:
    """The gateway of the module, in good order, with nothing sent yet."""
    module_rig.renew()
    return module_rig
