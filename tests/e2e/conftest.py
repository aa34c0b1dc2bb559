"""Fixtures for tests that drive the installed program."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.gateway_process import Secrets
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer

_MAKE = """\
ok = rabbit_vhost:add(<<"{name}">>, <<"tests">>),
ok = rabbit_auth_backend_internal:set_permissions(
    <<"guest">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"tests">>).
"""
_DROP = 'rabbit_vhost:delete(<<"{name}">>, <<"tests">>).'


@pytest.fixture(scope="module")
def module_redis_url(redis_server: RedisServer) -> str:
    """The address of a Redis that is empty before the first test of a module."""
    redis_server.ensure_running()
    redis_server.flush()
    return redis_server.url


@pytest.fixture(scope="module")
def module_rabbitmq_url(rabbitmq_server: RabbitMQServer) -> Iterator[str]:
    """The address of a virtual host for the tests of one module."""
    name = f"module-{secrets.token_hex(4)}"
    rabbitmq_server.ensure_running()
    rabbitmq_server.ctl("eval", _MAKE.format(name=name))
    yield rabbitmq_server.vhost_url(name)
    rabbitmq_server.ensure_running()
    rabbitmq_server.ctl("eval", _DROP.format(name=name))


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder for the tests of one module."""
    return tmp_path_factory.mktemp("gateway")


@pytest.fixture(scope="module")
def module_secrets() -> Secrets:
    """Secrets for the tests of one module."""
    return Secrets()


@pytest.fixture
def fresh_secrets() -> Secrets:
    """Secrets for one test."""
    return Secrets()


@pytest.fixture
def expect_clean(module_secrets: Secrets) -> Callable[..., None]:
    """Raises for outputs that hold a traceback or a secret of the module."""

    def expect(*texts: str) -> None:
        module_secrets.expect_absent(*texts)
        assert not any("Traceback" in text for text in texts), texts

    return expect
