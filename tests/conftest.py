"""Fixtures for the whole suite: real servers, started when first asked for, and the shared collections."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from support.gateway_process import Program
from support.postgresql_server import PostgreSQLServer
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer
from support.requirements import require, require_package
from support.vhosts import VhostPool

# By default an example that takes longer than 200 ms fails, which a busy machine makes of any.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

_SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the programs that still run have written, when a test fails."""
    report = yield
    if report.failed:
        report.sections += [("gateway", program.report()) for program in Program.open_ones]
    return report


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Undo what a command has configured that a test ran in this process: others look at what is logged."""
    was_configured = structlog.is_configured()
    yield
    if structlog.is_configured() and not was_configured:
        structlog.reset_defaults()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One Redis for the test run. A test that kills it need not start it again: the next `redis_url` does."""
    require("redis-server")
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[RabbitMQServer]:
    """One RabbitMQ for the test run. A test that kills it need not start it again: the next `rabbitmq_url` does."""
    require("rabbitmq-server", "rabbitmqctl", "epmd")
    with RabbitMQServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQLServer]:
    """One PostgreSQL for the test run. A test that kills it need not start it again: the next `postgres_url` does."""
    require("postgres", "initdb")
    require_package("psycopg")
    with PostgreSQLServer() as server:
        yield server


@pytest.fixture(scope="session")
def _vhosts(rabbitmq_server: RabbitMQServer) -> VhostPool:
    return VhostPool(rabbitmq_server)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of an empty Redis."""
    redis_server.ensure_running()
    redis_server.flush()
    return redis_server.url


@pytest.fixture
def rabbitmq_url(rabbitmq_server: RabbitMQServer, _vhosts: VhostPool) -> str:
    """The address of a virtual host in which nothing has been declared: names need not be unique."""
    rabbitmq_server.ensure_running()
    return rabbitmq_server.vhost_url(_vhosts.take())


@pytest.fixture
def postgres_url(postgresql_server: PostgreSQLServer) -> Iterator[str]:
    """The address of an empty database."""
    postgresql_server.ensure_running()
    name = postgresql_server.create_database()
    yield postgresql_server.database_url(name)
    postgresql_server.ensure_running()
    postgresql_server.drop_database(name)


def _shared(name: str) -> Path:
    path = Path(os.environ.get(f"WEBHOOK_{name.upper()}") or _SHARED / name)
    if not path.is_dir():
        pytest.skip(f"{path} is not there; WEBHOOK_{name.upper()} says where it is")
    return path


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The directory of real deliveries and hostile inputs."""
    return _shared("corpus")


@pytest.fixture(scope="session")
def facts() -> Path:
    """The directory of facts about providers."""
    return _shared("facts")


@pytest.fixture(scope="session")
def conformance() -> Path:
    """The directory of other people's conformance suites."""
    return _shared("conformance")
