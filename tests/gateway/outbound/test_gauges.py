"""What is sampled for the metrics of the way out: by the owner of endpoints, with nothing asked of the store."""

from __future__ import annotations

import asyncio

from gateway.outbound.client import Result
from gateway.outbound.models import EndpointState, Health
from support.way_out import Sent, Site, answer, run


async def _refuse(_: Sent) -> Result:
    return answer(503)


def test_endpoints_circuits_and_lateness_are_told_apart() -> None:
    """One that fails from one that works, and one that wants no more from one that a person has disabled."""

    async def test(site: Site) -> None:
        way = await site.start()
        site.receivers.by_host["broken.acme.com"] = _refuse
        off = Health(endpoint="ep_off", state=EndpointState.DISABLED, reason="manual")
        await site.store.put_health(off, by_person=True)
        gone = Health(endpoint="ep_gone", state=EndpointState.DISABLED, reason="gone")
        await site.store.put_health(gone, by_person=False)
        for _ in range(20):
            await site.emit()
        await asyncio.sleep(60)
        young = way.sample()
        assert young["circuits", "closed"] == 1
        assert young.get(("circuits", "open"), 0) + young.get(("circuits", "half_open"), 0) == 1
        assert [young["endpoints", state] for state in ("enabled", "manual", "disabled")] == [2, 1, 1]
        assert young["shards", ""] == 256
        assert not young["database_unavailable", ""]
        await asyncio.sleep(1800)
        old = way.sample()
        assert (old["endpoints", "enabled"], old["endpoints", "failing"]) == (1, 1)
        late = {name[1]: age for name, age in old.items() if name[0] == "age_seconds"}
        assert "closed" not in late
        assert max(late.values()) > 600

    run(test, {"shop": {}, "broken": {}, "off": {}, "gone": {}})


def test_attempts_under_way_are_counted_in_their_lane() -> None:
    """One that takes long moves to the slow lane."""

    async def test(site: Site) -> None:
        way = await site.start()

        async def hang(_: Sent) -> Result:
            await asyncio.sleep(10)
            return answer()

        site.receivers.by_host["shop.acme.com"] = hang
        await site.emit()
        await asyncio.sleep(1)
        assert (way.sample()["in_flight", "fast"], way.sample()["in_flight", "slow"]) == (1, 0)
        await asyncio.sleep(3)
        assert (way.sample()["in_flight", "fast"], way.sample()["in_flight", "slow"]) == (0, 1)

    run(test)


def test_every_endpoint_is_counted_by_one_process() -> None:
    """By its owner, so that the sum over all processes is the number of endpoints."""

    async def test(site: Site) -> None:
        ways = [await site.start(), await site.start()]
        await asyncio.sleep(60)
        samples = [way.sample() for way in ways]
        assert [sample["shards", ""] for sample in samples] == [128, 128]
        assert sum(sample.get(("endpoints", "enabled"), 0) for sample in samples) == 12

    run(test, {f"shop-{number}": {} for number in range(12)})
