"""Servers come late, go and return: the gateway reports it, and recovers by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support import senders
from support.gateway_process import GatewayProcess, Secrets
from support.inbox import Inbox
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer
from support.requirements import require
from support.senders import Delivery, post
from support.waiting import wait_until


def an_event(secrets: Secrets) -> Delivery:
    """One that nobody has seen."""
    return senders.stripe(secrets.stripe, senders.stripe_event())


def checks_of(gateway: GatewayProcess) -> tuple[int, dict[str, Any]]:
    """What /readyz says, which is what the processes said a moment ago."""
    response = gateway.get("/readyz", admin=True)
    return response.status_code, response.json()["checks"]


def wait_for_checks(gateway: GatewayProcess, status: int, **texts: str) -> None:
    """Wait until /readyz has this status, and these texts are in what it says of the parts."""

    def says_so() -> bool:
        found, checks = checks_of(gateway)
        return found == status and all(text in checks.get(part, "") for part, text in texts.items())

    wait_until(says_so, 15, f"/readyz answers {status} with {texts}")


def test_a_gateway_that_is_started_first_becomes_ready_when_its_servers_come(
    tmp_path: Path, fresh_secrets: Secrets, rabbitmq_server: RabbitMQServer, rabbitmq_url: str
) -> None:
    """Alive at once, not ready without RabbitMQ, degraded without Redis, which it names; what comes meanwhile is kept."""
    require("redis-server")
    rabbitmq_server.stop()
    late_redis = RedisServer()  # it has a port, and is not started
    gateway = GatewayProcess(
        tmp_path, fresh_secrets, redis_url=late_redis.url, rabbitmq_url=rabbitmq_url, wait_ready=False
    )
    early, late = an_event(fresh_secrets), an_event(fresh_secrets)
    try:
        with gateway:
            assert gateway.get("/livez").json() == {"status": "live"}
            wait_for_checks(gateway, 503, clock="ok")
            checks = checks_of(gateway)[1]
            assert set(checks) == {"claims", "clock", "publisher"}
            assert "ok" not in {checks["claims"], checks["publisher"]}
            assert post(gateway.url, early).json()["status"] == "accepted"

            rabbitmq_server.start()
            wait_until(lambda: checks_of(gateway)[1]["publisher"] == "ok", 15, "RabbitMQ was found")
            status, checks = checks_of(gateway)
            assert status == 200, "events are published unchecked"
            assert checks["claims"] != "ok"
            assert gateway.get("/readyz", admin=True).json()["status"] == "degraded"
            assert gateway.get("/readyz").json() == {"status": "ready"}

            late_redis.start()
            wait_until(lambda: checks_of(gateway)[1]["claims"] == "ok", 15, "Redis was found")
            assert checks_of(gateway) == (200, {"claims": "ok", "clock": "ok", "publisher": "ok"})
            assert gateway.get("/readyz", admin=True).status_code == 200
            inbox = Inbox(rabbitmq_url)
            assert post(gateway.url, late).json()["status"] == "accepted"
            events = [arrival.event for arrival in inbox.take(1)]
            unrouted = Inbox(rabbitmq_url, "webhooks.unrouted", pattern=None)
            if early.event_id not in {event["id"] for event in events}:  # drained before the queue was there
                events += [arrival.event for arrival in unrouted.take(1)]
            assert {event["id"]: event["dedupe"] for event in events} == {
                early.event_id: "unchecked",
                late.event_id: "claimed",
            }
            assert gateway.stop() == 0
    finally:
        late_redis.close()


def test_while_the_broker_is_away_events_wait_on_disk_or_are_refused_and_arrive_when_it_is_back(
    tmp_path: Path,
    fresh_secrets: Secrets,
    redis_url: str,
    rabbitmq_server: RabbitMQServer,
    rabbitmq_url: str,
) -> None:
    """With a spool accepted, and safe from a kill meanwhile; without one 503 with Retry-After, and not ready."""
    kept, refused = [an_event(fresh_secrets) for _ in range(5)], an_event(fresh_secrets)
    folders = [tmp_path / "spooling", tmp_path / "strict"]
    for folder in folders:
        folder.mkdir()
    spooling, strict = (
        GatewayProcess(
            folder,
            fresh_secrets,
            redis_url=redis_url,
            rabbitmq_url=rabbitmq_url,
            overrides={"spool": {"enabled": folder.name == "spooling"}},
        )
        for folder in folders
    )
    with spooling, strict:
        inbox = Inbox(rabbitmq_url)
        rabbitmq_server.stop()

        assert [post(spooling.url, delivery).status_code for delivery in kept * 2] == [202] * 5 + [200] * 5
        wait_for_checks(spooling, 200, claims="ok", publisher="5 events wait in the spool")
        assert "creating transport" not in spooling.stdout, "each attempt of the console to connect"
        spooling.kill()
        for _ in range(2):
            answer = post(strict.url, refused)
            assert answer.status_code == 503
            assert answer.json() == {
                "status": "unavailable",
                "reason": "broker_unavailable",
                "id": refused.event_id,
            }
            assert int(answer.headers["retry-after"]) > 0
        wait_for_checks(strict, 503)

        rabbitmq_server.start()
        spooling.start()
        strict.wait_ready()
        answers = [post(strict.url, refused).json()["status"] for _ in range(2)]
        assert answers == ["accepted", "duplicate"]
        data = {arrival.message_id: arrival.data for arrival in inbox.take(6)}
        assert data == {delivery.event_id: delivery.body for delivery in [*kept, refused]}
        wait_until(lambda: checks_of(spooling)[1]["publisher"] == "ok", message="the spool was drained")


def test_while_redis_is_away_events_go_out_marked_as_unchecked(
    tmp_path: Path, fresh_secrets: Secrets, redis_server: RedisServer, redis_url: str, rabbitmq_url: str
) -> None:
    """Accepted and ready; what this gateway published itself stays a duplicate. Checked again once Redis is back."""
    delivery, other = an_event(fresh_secrets), an_event(fresh_secrets)
    with GatewayProcess(tmp_path, fresh_secrets, redis_url=redis_url, rabbitmq_url=rabbitmq_url) as gateway:
        inbox = Inbox(rabbitmq_url)
        redis_server.stop()

        answers = [post(gateway.url, each).status_code for each in (delivery, other, delivery)]

        assert answers == [202, 202, 200]
        wait_until(lambda: checks_of(gateway)[1]["claims"] != "ok", 15, "Redis was missed")
        status, checks = checks_of(gateway)
        assert (status, checks["publisher"]) == (200, "ok")
        arrivals = inbox.take(2)
        assert [arrival.message_id for arrival in arrivals] == [delivery.event_id, other.event_id]
        assert [arrival.event["dedupe"] for arrival in arrivals] == ["unchecked"] * 2
        counted = gateway.get("/metrics", admin=True).text
        assert 'webhook_dedupe_unchecked_total{provider="stripe"} 2.0' in counted

        redis_server.start()
        wait_until(lambda: checks_of(gateway)[1]["claims"] == "ok", 15, "Redis was found again")
        later = an_event(fresh_secrets)
        assert [post(gateway.url, later).status_code for _ in range(2)] == [202, 200]
        (arrival,) = inbox.take(1)
        assert arrival.event["dedupe"] == "claimed"


def test_set_to_reject_events_are_refused_while_redis_is_away(
    tmp_path: Path, fresh_secrets: Secrets, redis_server: RedisServer, redis_url: str
) -> None:
    """503 dedupe_unavailable and not ready, where a duplicate is worse than a delay."""
    strict = {"dedupe": {"on_unavailable": "reject"}}
    with GatewayProcess(tmp_path, fresh_secrets, redis_url=redis_url, overrides=strict) as gateway:
        redis_server.stop()

        refused = post(gateway.url, an_event(fresh_secrets))

        assert (refused.status_code, refused.json()["reason"]) == (503, "dedupe_unavailable")
        assert "retry-after" in refused.headers
        assert gateway.get("/readyz").status_code == 503
