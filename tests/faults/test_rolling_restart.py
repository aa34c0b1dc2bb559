"""Gateways, brokers and Redis restart one after another under load, behind a load balancer: nobody notices.

``make faults-cluster`` prints what it costs. Times are reported, not asserted: a busy machine must not fail a test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.cluster_case import CLUSTER_PATIENCE, ClusterCase, open_site
from support.cluster_times import RATE, Measured, Watch, answers_of
from support.proxies import PROXIES
from support.rabbitmq_cluster import RabbitMQCluster
from support.redis_cluster import WatchedRedis
from support.requirements import require
from support.waiting import wait_until

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]

_CALM = 3.0
"""Seconds of load between two restarts."""

Report = Callable[[Measured], None]


@pytest.fixture
def watched() -> Iterator[WatchedRedis]:
    """A Redis with a replica, behind Sentinels."""
    require("redis-server")
    with WatchedRedis() as watched:
        yield watched


@pytest.fixture
def site(
    request: pytest.FixtureRequest, running_cluster: RabbitMQCluster, watched: WatchedRedis, tmp_path: Path
) -> Iterator[ClusterCase]:
    """Two gateways behind a proxy: HAProxy unless the test says otherwise."""
    in_front = getattr(request, "param", "haproxy")
    require(in_front)
    redis = {"sentinels": watched.urls, "master": watched.name}
    with open_site(running_cluster, tmp_path, redis, RATE, in_front) as site:
        yield site


def _under_load(site: ClusterCase, fault: str, restart: Callable[[], None]) -> Measured:
    """Restart under load, and return what it cost; assert that nothing was refused or lost."""
    with site.sender:
        time.sleep(_CALM)
        restart()
        time.sleep(_CALM)
    measured = answers_of(site, fault)
    assert not site.refusals()
    assert measured.lost == 0
    return measured


@pytest.mark.parametrize("site", PROXIES, indirect=True)
def test_gateways_restart_one_after_another(
    site: ClusterCase, report: Report, request: pytest.FixtureRequest
) -> None:
    """Each is ended in order, and is ready before the next ends."""

    def restart() -> None:
        for gateway in site.gateways:
            gateway.stop()
            gateway.start()
            time.sleep(_CALM)

    in_front = request.node.callspec.params["site"]
    report(_under_load(site, f"two gateways behind {in_front} restart, one after another", restart))


def test_brokers_restart_one_after_another(site: ClusterCase, report: Report) -> None:
    """Each ends in order, and is back with all its queues before the next ends."""
    watch = Watch(site)

    def restart() -> None:
        watch.begin()
        for node in site.cluster.nodes:
            node.stop()
            time.sleep(_CALM)
            site.cluster.ensure_running()
        watch.note_end()
        wait_until(lambda: site.spooled() == 0, CLUSTER_PATIENCE, "the spool is drained")

    with watch.running():
        _under_load(site, "", restart)
    report(watch.result("all nodes of RabbitMQ restart, one after another, below two gateways"))


def test_the_servers_of_redis_restart_one_after_another(
    site: ClusterCase, watched: WatchedRedis, report: Report
) -> None:
    """The replica first; then the primary hands over, and is the last."""
    first, second = watched.servers

    def restart() -> None:
        second.stop()
        second.start()
        watched.wait_follows(second, first)
        watched.hand_over()
        watched.wait_is_primary(second)
        watched.wait_follows(first, second)
        first.stop()
        first.start()
        watched.wait_follows(first, second)

    measured = _under_load(site, "", restart)
    unchecked = int(site.metric("webhook_dedupe_unchecked_total"))
    fault = (
        f"Redis restarts, one after another, behind Sentinels ({unchecked} events published without a claim)"
    )
    report(measured._replace(fault=fault))
