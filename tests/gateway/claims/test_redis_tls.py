"""Sentinels and the nodes of a cluster over TLS: one setting for all of them, and their certificates are verified."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from gateway.backends import open_claims
from gateway.claims import ClaimsUnavailable, Standing, claim_key
from gateway.config import Config, load_config
from support.certificates import ec_key, issue
from support.redis_cluster import RedisCluster, WatchedRedis
from support.redis_server import RedisServer, ServerTls, enter_on_free_ports
from support.requirements import require
from support.waiting import PATIENCE, wait_until_async

_GITHUB = 'providers: {github: {adapter: github, secrets: ["a-secret-of-some-length-4711"]}}\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of an authority for servers and a client, and another authority."""
    folder, now = tmp_path_factory.mktemp("tls"), time.time()
    authority = issue("an authority", is_authority=True, at=now, key=ec_key("an authority"))
    other = issue("another authority", is_authority=True, at=now, key=ec_key("another authority"))
    server = issue("a server", authority, at=now, hosts=["127.0.0.1"], key=ec_key("a server"))
    client = issue("a client", authority, at=now, key=ec_key("a client"))
    for name, issued in {"ca": authority, "other": other, "server": server, "client": client}.items():
        (folder / f"{name}.pem").write_bytes(issued.pem)
        (folder / f"{name}.key").write_text(issued.key_pem, "utf-8")
    return folder


@pytest.fixture(scope="module", params=["sentinel", "cluster"])
def settings(request: pytest.FixtureRequest, folder: Path) -> Iterator[dict[str, Any]]:
    """The settings that lead to servers which ask for a certificate."""
    require("redis-server")
    tls = ServerTls(*(str(folder / name) for name in ("ca.pem", "server.pem", "server.key")))
    with ExitStack() as stack:
        if request.param == "sentinel":
            watched = stack.enter_context(WatchedRedis(tls=tls))
            yield {"sentinels": watched.urls, "master": watched.name}
        else:
            yield {"cluster": stack.enter_context(RedisCluster(tls=tls)).urls}


def configured(tmp_path: Path, settings: dict[str, Any], folder: Path, **files: str) -> Config:
    """Load a configuration with these settings and files."""
    redis = settings | {"timeout": "5s", "tls": {name: str(folder / file) for name, file in files.items()}}
    path = tmp_path / "config.yaml"
    path.write_text(f"redis: {redis}\n{_GITHUB}", "utf-8")
    return load_config(path)


async def test_all_of_them_are_reached_with_one_setting(
    tmp_path: Path, settings: dict[str, Any], folder: Path
) -> None:
    """Also those that are not configured, but named by others."""
    config = configured(tmp_path, settings, folder, ca="ca.pem", cert="client.pem", key="client.key")
    claims = open_claims(config)
    await claims.start()
    try:
        await wait_until_async(lambda: not claims.unavailable_reason, PATIENCE, "all are connected")
        keys = [claim_key("github", str(number)) for number in range(30)]
        assert {await claims.claim(key, "a") for key in keys} == {Standing.CLAIMED}
        assert {await claims.claim(key, "b") for key in keys} == {Standing.IN_FLIGHT}
    finally:
        await claims.stop()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"ca": "other.pem", "cert": "client.pem", "key": "client.key"}, "is not valid"),
        ({"ca": "ca.pem"}, "client certificate"),
    ],
    ids=["another authority", "no certificate"],
)
async def test_what_does_not_fit_is_named(
    tmp_path: Path, settings: dict[str, Any], folder: Path, files: dict[str, str], expected: str
) -> None:
    """In one line, with the server."""
    claims = open_claims(configured(tmp_path, settings, folder, **files))
    await claims.start()
    try:
        await wait_until_async(lambda: claims.has_been_tried, PATIENCE, "it was tried")
        with pytest.raises(ClaimsUnavailable):
            await claims.claim(claim_key("github", "1"), "a")
        assert expected in claims.unavailable_reason
        assert "127.0.0.1:" in claims.unavailable_reason
        assert "\n" not in claims.unavailable_reason
    finally:
        await claims.stop()


async def test_certificates_that_have_changed_are_used_from_then_on(tmp_path: Path, folder: Path) -> None:
    """On another connection, which is open before the old one is closed. Files that are of no use change nothing."""
    require("redis-server")
    tls = ServerTls(*(str(folder / name) for name in ("ca.pem", "server.pem", "server.key")))
    shutil.copy(folder / "client.pem", tmp_path / "own.pem")
    shutil.copy(folder / "client.key", tmp_path / "own.key")
    with ExitStack() as stack:
        server = enter_on_free_ports(stack, lambda: RedisServer(tls=tls))
        files = {
            "ca": str(folder / "ca.pem"),
            "cert": str(tmp_path / "own.pem"),
            "key": str(tmp_path / "own.key"),
        }
        config = configured(tmp_path, {"url": f"rediss://127.0.0.1:{server.tls_port}"}, folder, **files)
        claims = open_claims(config)
        await claims.start()
        try:
            await wait_until_async(lambda: not claims.unavailable_reason, PATIENCE, "it is connected")
            first = connections(server)
            await claims.reload_certificates()
            assert connections(server) == first

            shutil.copy(folder / "server.pem", tmp_path / "own.pem")
            shutil.copy(folder / "server.key", tmp_path / "own.key")
            renewing = asyncio.create_task(claims.reload_certificates())
            number = 0
            while not renewing.done():
                number += 1
                assert await claims.claim(claim_key("github", str(number)), "a") is Standing.CLAIMED
            await wait_until_async(lambda: not first & connections(server), PATIENCE, "the old one is closed")
            second = connections(server)
            assert len(second) == 1

            (tmp_path / "own.pem").write_text("no certificate\n")
            await claims.reload_certificates()
            assert await claims.claim(claim_key("github", "last"), "a") is Standing.CLAIMED
            assert connections(server) == second
        finally:
            await claims.stop()


def connections(server: RedisServer) -> set[str]:
    """Return the connections of gateways to a server."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return {each["id"] for each in client.client_list() if each["name"] == "webhook-gateway"}
