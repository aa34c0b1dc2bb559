"""The way out over a store in memory: what is sent, when, and in which order; no test waits for anything."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.outbound import deliver, engine, ids, ownership
from gateway.outbound.client import Result
from gateway.outbound.lanes import Lanes
from gateway.outbound.models import DeliveryState, EndpointState, Operation, Trigger
from gateway.outbound.outcomes import Outcome
from gateway.outbound.predecessor import OwnerFile
from gateway.outbound.store import DeliveryFilter, StoreUnavailable
from support.way_out import Sent, Site, answer, run


async def failing(_: Sent) -> Result:
    """Answer as a receiver that does."""
    return answer(500)


@pytest.fixture
def days(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look less often than the program does, so that days of it take a second."""
    for module, name, seconds in (
        (deliver, "POLL_INTERVAL", 60.0),
        (deliver, "RENEW_INTERVAL", 1200.0),
        (ownership, "LEASE", 3600.0),
        (engine, "_SAMPLE_INTERVAL", 60.0),
        (engine, "COUNT_INTERVAL", 600.0),
        (engine, "_COMPARE_INTERVAL", 3600.0),
        (engine, "_PRUNE_INTERVAL", 36_000.0),
    ):
        monkeypatch.setattr(module, name, seconds)


def test_an_event_is_delivered_signed_and_recorded() -> None:
    """At once, with the id of its message."""

    async def test(site: Site) -> None:
        await site.start()
        accepted = await site.emit(data={"total": 1})
        await asyncio.sleep(0.1)
        (sent,) = site.receivers.to("shop.acme.com")
        assert sent.event["data"] == {"total": 1}
        assert sent.headers["webhook-id"] == accepted.message
        assert sent.headers["webhook-signature"].startswith("v1,")
        (delivery,) = await site.deliveries(DeliveryState.DELIVERED)
        (attempt,) = await site.attempts(delivery)
        assert (attempt.outcome, attempt.status, attempt.number) == ("delivered", 200, 1)

    run(test)


def test_a_bug_with_one_attempt_costs_its_endpoint_no_place() -> None:
    """The delivery is tried again at the next look."""

    async def test(site: Site) -> None:
        async def receive(_: Sent) -> Result:
            if len(site.receivers.sent) < 20:
                raise KeyError("a bug")
            return answer()

        await site.start()
        site.receivers.by_host["shop.acme.com"] = receive
        await site.emit()
        await asyncio.sleep(100)
        assert len(site.receivers.sent) == 20
        assert len(await site.deliveries(DeliveryState.DELIVERED)) == 1

    run(test)


def test_a_try_on_a_connection_that_was_closed_is_an_attempt_of_its_own() -> None:
    """It is listed, and costs the delivery no retry and the endpoint nothing."""

    async def test(site: Site) -> None:
        async def receive(_: Sent) -> Result:
            return answer(500, ms=7.0)._replace(earlier=Result(Outcome.RESET, ms=3.0, address="192.0.2.1"))

        way = await site.start()
        site.receivers.by_host["shop.acme.com"] = receive
        await site.emit()
        await asyncio.sleep(1)
        (delivery,) = await site.deliveries(DeliveryState.PENDING)
        first, second = await site.attempts(delivery)
        assert (first.number, first.outcome, first.address, first.ms) == (1, "reset", "192.0.2.1", 3.0)
        assert (second.number, second.outcome, second.ms) == (2, "status", 7.0)
        assert second.at == pytest.approx(first.at + 0.003)
        assert (delivery.made, delivery.attempts) == (2, 1)
        assert way.deliverer.senders["ep_shop"].behaviour.health.failures == 1

    run(test)


def test_the_same_event_twice_is_delivered_once() -> None:
    """Whenever it comes again."""

    async def test(site: Site) -> None:
        await site.start()
        first = await site.emit(id="evt_x")
        await asyncio.sleep(1000)
        second = await site.emit(id="evt_x")
        await asyncio.sleep(10)
        assert (first.is_new, second.is_new, second.deliveries) == (True, False, ())
        assert first.message == second.message
        assert len(site.receivers.sent) == 1

    run(test)


def test_a_round_without_retries_is_one_attempt() -> None:
    """It leaves the delivery dead, and the next round has its twelve again."""

    async def test(site: Site) -> None:
        site.receivers.by_host["shop.acme.com"] = failing
        await site.start()
        await site.emit()
        await asyncio.sleep(1)
        (delivery,) = await site.deliveries(DeliveryState.PENDING)
        await site.store.redeliver(
            delivery.id, trigger=Trigger.MANUAL, at=await site.store.now(), retries=False
        )
        await asyncio.sleep(100)
        (dead,) = await site.deliveries(DeliveryState.DEAD)
        assert (dead.attempts, dead.made) == (1, 2)
        await site.store.redeliver(delivery.id, trigger=Trigger.MANUAL, at=await site.store.now())
        await asyncio.sleep(50)
        assert len(site.receivers.sent) == 5

    run(test)


def test_a_replay_as_new_makes_receivers_act_again() -> None:
    """All attempts have one new `webhook-id`, whose signature is right, and the same body."""

    async def test(site: Site) -> None:
        await site.start()
        accepted = await site.emit()
        await asyncio.sleep(1)
        site.receivers.by_host["shop.acme.com"] = failing
        operation = Operation(
            id=ids.Ids().new("op", 1.0), endpoint="", created_at=1.0, actor="", state="running", total=0
        )
        await site.store.replay(operation, DeliveryFilter(), rate=1.0, as_new=True)
        await asyncio.sleep(20)
        first, *again = site.receivers.sent
        assert {each.headers["webhook-id"] for each in again} == {
            ids.renewed_id(accepted.message, operation.id)
        }
        assert first.headers["webhook-id"] == accepted.message
        assert len(again) > 1
        assert {each.body for each in again} == {first.body}

    run(test)


@pytest.mark.usefixtures("days")
def test_a_delivery_that_fails_is_tried_again_until_it_is_dead() -> None:
    """Twelve attempts with growing delays in three days, if others succeed meanwhile; the same bytes each time."""

    async def test(site: Site) -> None:
        async def receive(sent: Sent) -> object:
            return answer(500 if sent.id == "evt_bad" else 200)

        site.receivers.by_host["shop.acme.com"] = receive  # type: ignore[assignment]
        await site.start()
        await site.emit(id="evt_bad")
        for _ in range(24 * 4):
            await asyncio.sleep(3600)
            await site.emit()
        bad = [each for each in site.receivers.sent if each.id == "evt_bad"]
        assert len(bad) == 12
        assert len({each.body for each in bad}) == len({each.headers["webhook-id"] for each in bad}) == 1
        steps = (5, 30, 120, 600, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 72_000)
        for (before, after), step in zip(pairwise(bad), steps, strict=True):
            assert 0.85 * step <= after.at - before.at <= 1.15 * step + 61
        (dead,) = await site.deliveries(DeliveryState.DEAD)
        assert (dead.attempts, dead.outcome, dead.status) == (12, "status", 500)

    run(test)


@pytest.mark.parametrize("asked", ["600", "Sat, 21 Nov 2026 09:08:22 GMT"])
def test_retry_after_is_a_floor_and_closes_the_endpoint(asked: str) -> None:
    """Also for other deliveries, where it comes with 503."""

    async def test(site: Site) -> None:
        answers = [answer(503, retry_after=asked)]

        async def receive(_: Sent) -> object:
            return answers.pop() if answers else answer()

        site.receivers.by_host["shop.acme.com"] = receive  # type: ignore[assignment]
        await site.start()
        await site.emit()
        await asyncio.sleep(1)
        await site.emit()
        await asyncio.sleep(500)
        assert len(site.receivers.sent) == 1
        await asyncio.sleep(700)
        first, *later = site.receivers.sent
        assert len(later) == 2
        assert all(each.at - first.at >= 598 for each in later)

    run(test)


@pytest.mark.parametrize(
    ("response", "settings", "state"),
    [
        (answer(422), {"give_up_on": [422]}, DeliveryState.DEAD),
        (answer(422), {}, DeliveryState.PENDING),
        (answer(400, webhook_delivery="abort-message"), {}, DeliveryState.DEAD),
    ],
)
def test_a_refusal_may_end_a_delivery(
    response: object, settings: dict[str, object], state: DeliveryState
) -> None:
    """Where the endpoint or the receiver says so."""

    async def test(site: Site) -> None:
        async def receive(_: Sent) -> object:
            return response

        site.receivers.by_host["shop.acme.com"] = receive  # type: ignore[assignment]
        await site.start()
        await site.emit()
        await asyncio.sleep(2)
        assert [each.state for each in await site.deliveries()] == [state]

    run(test, {"shop": settings})


@pytest.mark.parametrize(
    ("response", "reason"), [(answer(410), "gone"), (answer(500, webhook_delivery="disable"), "asked")]
)
def test_a_receiver_can_end_everything(response: object, reason: str) -> None:
    """The endpoint is disabled, new deliveries are held, and another endpoint that subscribes is told."""

    async def test(site: Site) -> None:
        async def receive(_: Sent) -> object:
            return response

        site.receivers.by_host["shop.acme.com"] = receive  # type: ignore[assignment]
        way = await site.start()
        await site.emit()
        await asyncio.sleep(3)
        assert way.directory.health["ep_shop"].state is EndpointState.DISABLED
        assert way.directory.health["ep_shop"].reason == reason
        await site.emit()
        await asyncio.sleep(1000)
        assert len(site.receivers.to("shop.acme.com")) == 1
        deliveries = await site.deliveries()
        assert [each.state for each in deliveries][-1:] == [DeliveryState.HELD]
        first = next(each for each in deliveries if each.endpoint == "ep_shop")
        assert [each.next_at for each in await site.store.attempts(first.id)] == [None]
        (notice,) = site.receivers.to("ops.acme.com")
        assert notice.event["type"] == "gateway.endpoint.disabled"
        assert notice.event["data"]["endpoint_id"] == "ep_shop"
        assert "acme.com" not in notice.body.decode()

    run(test, {"shop": {}, "ops": {"events": ["gateway.#"]}})


@pytest.mark.usefixtures("days")
def test_an_endpoint_without_a_success_for_three_days_is_disabled_and_told() -> None:
    """Failing after a quarter of an hour, again a day before, disabled; once each."""

    async def test(site: Site) -> None:
        async def receive(_: Sent) -> object:
            return answer(500)

        site.receivers.by_host["shop.acme.com"] = receive  # type: ignore[assignment]
        way = await site.start()
        for _ in range(24 * 4):
            await site.emit()
            await asyncio.sleep(3600)
        assert way.directory.health["ep_shop"].reason == "failing"
        told = [each.event["type"] for each in site.receivers.to("ops.acme.com")]
        assert told == ["gateway.endpoint.failing", "gateway.endpoint.failing", "gateway.endpoint.disabled"]

    run(test, {"shop": {}, "ops": {"events": ["gateway.endpoint.*"]}})


def test_an_endpoint_that_recovers_is_not_run_over_and_its_owner_is_told() -> None:
    """One attempt decides, and then there are ever more at a time."""

    async def test(site: Site) -> None:
        is_down = True

        async def receive(_: Sent) -> object:
            await asyncio.sleep(0.1)
            return answer(500 if is_down else 200)

        site.receivers.by_host["shop.acme.com"] = receive  # type: ignore[assignment]
        await site.start()
        for _ in range(100):
            await site.emit()
        await asyncio.sleep(3600)
        down = len(site.receivers.to("shop.acme.com"))
        assert down < 30
        is_down = False
        site.receivers.most.clear()
        await asyncio.sleep(7200)
        assert site.receivers.most["shop.acme.com"] == 8
        assert len(await site.deliveries(DeliveryState.DELIVERED)) >= 100
        told = [each.event["type"] for each in site.receivers.to("ops.acme.com")]
        assert told == ["gateway.endpoint.failing", "gateway.endpoint.recovered"]

    run(test, {"shop": {"events": ["shop.#"]}, "ops": {"events": ["gateway.endpoint.*"]}})


def test_a_dead_delivery_is_told_but_no_notice_about_a_notice() -> None:
    """Two endpoints could go on for ever."""

    async def test(site: Site) -> None:
        async def refuse(_: Sent) -> object:
            return answer(400, webhook_delivery="abort-message")

        site.receivers.by_host["shop.acme.com"] = refuse  # type: ignore[assignment]
        site.receivers.by_host["ops.acme.com"] = refuse  # type: ignore[assignment]
        await site.start()
        await site.emit()
        await asyncio.sleep(10)
        (notice,) = site.receivers.to("ops.acme.com")
        assert notice.event["data"]["outcome"] == "status"
        assert len(site.receivers.sent) == 2

    run(test, {"shop": {"events": ["shop.#", "gateway.#"]}, "ops": {"events": ["gateway.delivery.dead"]}})


def test_deliveries_of_one_key_go_one_after_another() -> None:
    """One that fails holds its own key only."""

    async def test(site: Site) -> None:
        failures = 2

        async def receive(sent: Sent) -> object:
            nonlocal failures
            await asyncio.sleep(0.2)
            if sent.event["subject"] == "a" and failures:
                failures -= 1
                return answer(500)
            return answer()

        site.receivers.by_host["shop.acme.com"] = receive  # type: ignore[assignment]
        await site.start()
        for number in range(12):
            await site.emit(id=f"evt_{number}", subject="ab"[number % 2])
        await asyncio.sleep(600)
        by_subject = {"a": [], "b": []}  # type: dict[str, list[str]]
        for each in site.receivers.sent:
            by_subject[each.event["subject"]].append(each.id)
        assert by_subject["b"] == [f"evt_{number}" for number in range(1, 12, 2)]
        assert by_subject["a"] == ["evt_0"] * 3 + [f"evt_{number}" for number in range(2, 12, 2)]
        last_b = max(each.at for each in site.receivers.sent if each.event["subject"] == "b")
        second_a = next(each.at for each in site.receivers.sent if each.id == "evt_2")
        assert last_b < second_a

    run(test, {"shop": {"order": "subject"}})


def test_receivers_that_hang_cost_others_nothing() -> None:
    """More than there are places: they delay the others once, by the two seconds until they are slow."""

    async def test(site: Site) -> None:
        async def hang(_: Sent) -> object:
            await asyncio.sleep(3600)
            raise AssertionError

        for number in range(120):
            site.receivers.by_host[f"h{number}.acme.com"] = hang  # type: ignore[assignment]
        await site.start(lanes=Lanes((80, 40)))
        delays = []
        for _ in range(15):
            await site.emit()
            accepted_at = site.now()
            await asyncio.sleep(10)
            delays.append(site.receivers.to("healthy.acme.com")[-1].at - accepted_at)
        assert len(delays) == len(site.receivers.to("healthy.acme.com"))
        assert max(delays) <= 2.1
        assert sorted(delays)[-2] < 0.1
        assert sum(site.receivers.in_flight.values()) <= 40

    hanging = {f"h{number}": {"events": ["shop.#"]} for number in range(120)}
    run(test, {**hanging, "healthy": {"events": ["shop.#"]}})


def test_tenants_take_turns() -> None:
    """One with a large backlog delays nobody, although places are few."""

    async def test(site: Site) -> None:
        await site.start(lanes=Lanes((1, 1)))

        async def receive(_: Sent) -> object:
            await asyncio.sleep(1)
            return answer()

        for host in ("big", "small"):
            site.receivers.by_host[f"{host}.acme.com"] = receive  # type: ignore[assignment]
        for _ in range(50):
            await site.emit("big.order.paid", tenant="big")
        await site.emit("small.order.paid", tenant="small")
        await asyncio.sleep(5)
        assert len(site.receivers.to("small.acme.com")) == 1

    run(test, {"big": {"tenant": "big"}, "small": {"tenant": "small"}})


def test_a_rate_is_kept() -> None:
    """However much waits."""

    async def test(site: Site) -> None:
        await site.start()
        for _ in range(60):
            await site.emit()
        await asyncio.sleep(30)
        times = [each.at for each in site.receivers.sent]
        assert len(times) == 60
        for before, after in zip(times, times[20:], strict=False):
            assert after - before >= 0.99

    run(test, {"shop": {"rate": "10/s"}})


def test_only_events_that_are_wanted_are_delivered() -> None:
    """By pattern, tenant and content."""

    async def test(site: Site) -> None:
        await site.start()
        await site.emit("shop.order.paid", data={"total": 5})
        await site.emit("shop.order.paid", data={"total": 50})
        await site.emit("shop.order.paid", data={"total": 50}, tenant="acme")
        await site.emit("shop.order.shipped", data={"total": 50})
        await asyncio.sleep(5)
        assert [each.id for each in site.receivers.sent] == ["evt_2"]

    run(test, {"shop": {"events": ["shop.order.paid"], "where": {"/data/total": {"gt": 10}}}})


def test_a_paused_endpoint_keeps_what_comes() -> None:
    """And gets it when somebody lets it go on."""

    async def test(site: Site) -> None:
        way = await site.start()
        health = way.directory.health["ep_shop"]
        await site.store.put_health(replace(health, state=EndpointState.PAUSED), by_person=True)
        await asyncio.sleep(2)
        await site.emit()
        await asyncio.sleep(100)
        assert site.receivers.sent == []
        await site.store.put_health(replace(health, state=EndpointState.ENABLED), by_person=True)
        await asyncio.sleep(3)
        assert len(site.receivers.sent) == 1

    run(test)


def test_an_endpoint_that_is_full_has_new_deliveries_held() -> None:
    """They are not dropped."""

    async def test(site: Site) -> None:
        async def receive(_: Sent) -> object:
            return answer(500)

        site.receivers.by_host["shop.acme.com"] = receive  # type: ignore[assignment]
        await site.start()
        for _ in range(15):
            await site.emit()
        assert len(await site.deliveries(DeliveryState.HELD)) == 5

    run(test, {"shop": {"max_pending": 10}})


def test_processes_share_endpoints_and_take_over() -> None:
    """An event that one of them accepts is sent by the owner of its endpoint, once; the rest goes on when one has ended."""

    async def test(site: Site) -> None:
        first = await site.start()
        second = await site.start()
        await asyncio.sleep(20)
        for _ in range(10):
            await site.emit(way=second)
        await asyncio.sleep(5)
        assert len(site.receivers.sent) == 10 * len(site.config.endpoints)
        await first.stop()
        site.ways.remove(first)
        await asyncio.sleep(20)
        await site.emit()
        await asyncio.sleep(5)
        assert len(site.receivers.sent) == 11 * len(site.config.endpoints)
        assert {each.state for each in await site.deliveries()} == {DeliveryState.DELIVERED}

    run(test, {f"e{number}": {} for number in range(20)})


def test_what_is_under_way_at_the_end_has_its_time_and_else_is_sent_again() -> None:
    """An attempt that was cut off does not count."""

    async def test(site: Site) -> None:
        async def receive(sent: Sent) -> object:
            await asyncio.sleep({"quick.acme.com": 10, "slow.acme.com": 29}[sent.host])
            return answer()

        for host in ("quick", "slow"):
            site.receivers.by_host[f"{host}.acme.com"] = receive  # type: ignore[assignment]
        way = await site.start()
        await site.emit()
        await asyncio.sleep(1)
        await way.stop()
        site.ways.remove(way)
        states = {each.endpoint: each for each in await site.deliveries()}
        assert states["ep_quick"].state is DeliveryState.DELIVERED
        assert states["ep_slow"].state is DeliveryState.PENDING
        assert (states["ep_slow"].attempts, states["ep_slow"].outcome) == (0, Outcome.INTERRUPTED)
        await site.start()
        await asyncio.sleep(40)
        assert {each.state for each in await site.deliveries()} == {DeliveryState.DELIVERED}

    run(test, {"quick": {}, "slow": {"timeout": "30s"}})


def test_what_a_process_owned_that_was_killed_is_sent_at_once(tmp_path: Path) -> None:
    """Its leases are not waited for, since it is certain that it has ended."""

    async def test(site: Site) -> None:
        await site.store.lease("killed", 15.0, want=256)
        before = OwnerFile(tmp_path)
        before.claim()
        before.note("killed")
        before.close()
        await site.start(owner_file=OwnerFile(tmp_path))
        await site.emit()
        await asyncio.sleep(2)
        assert len(site.receivers.sent) == 1

    run(test)


def test_nothing_begins_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in memory waits as well, because its outcome could not be recorded."""

    async def test(site: Site) -> None:
        async def receive(_: Sent) -> Result:
            await asyncio.sleep(5)
            return answer()

        async def away(*_: object, **__: object) -> dict[str, float]:
            raise StoreUnavailable("away")

        site.receivers.by_host["shop.acme.com"] = receive
        await site.start()
        for _ in range(3):
            await site.emit()
        await asyncio.sleep(1)
        assert len(site.receivers.sent) == 1
        with monkeypatch.context() as patched:
            for name in ("next_due", "owners", "lease", "record", "version", "waiting", "now"):
                patched.setattr(site.store, name, away)
            await asyncio.sleep(30)
            assert len(site.receivers.sent) == 1
        await asyncio.sleep(30)
        assert len(site.receivers.sent) == 3
        assert {each.state for each in await site.deliveries()} == {DeliveryState.DELIVERED}

    run(test, {"shop": {"concurrency": 1}})
