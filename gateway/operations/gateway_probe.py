"""Ask the gateway of this machine how it is, over its operator's listener."""

from __future__ import annotations

import re

import httpx

from gateway.config import Config
from gateway.config.bind_addresses import EVERYWHERE_4, EVERYWHERE_6, split_bind
from gateway.config.dev_session import DevSession
from gateway.operations.status_models import ProcessesStatus

TIMEOUT = 2.0
"""Seconds that the gateway may take to answer each of two requests."""

_SAMPLE = re.compile(r"^(webhook_[a-z_]+)(?:\{[^}\n]*\})? ([0-9.eE+-]+)$", re.MULTILINE)


async def ask_gateway(config: Config) -> ProcessesStatus:
    """Return what the gateway says of itself at `server.admin_bind`; that it does not answer is an answer too."""
    base = admin_url(config)
    try:
        async with httpx.AsyncClient(base_url=base, timeout=TIMEOUT, trust_env=False) as client:
            readiness = await client.get("/readyz")
            metrics = await client.get("/metrics")
    except httpx.ConnectError:
        return _away(config, f"no gateway answers at {base}")
    except httpx.TimeoutException:
        return _away(config, f"the gateway at {base} did not answer within {TIMEOUT:g} s")
    except httpx.HTTPError as error:
        return _away(config, f"{base}: {str(error) or type(error).__name__}")
    try:
        answer = readiness.json()
        checks = {str(part): str(state) for part, state in dict(answer["checks"]).items()}
    except (ValueError, KeyError, TypeError):
        return _away(config, f"another program answers at {base}")
    return processes_of(config, metrics.text, checks, is_ready=readiness.status_code == httpx.codes.OK)


def processes_of(config: Config, metrics: str, checks: dict[str, str], *, is_ready: bool) -> ProcessesStatus:
    """Return the status of processes from the text of their metrics and what /readyz knows."""
    numbers: dict[str, float] = {}
    for name, value in _SAMPLE.findall(metrics):
        numbers[name] = numbers.get(name, 0.0) + float(value)
    alive, restarts = numbers.get("webhook_processes"), numbers.get("webhook_process_restarts_total")
    return ProcessesStatus(
        is_running=True,
        is_ready=is_ready,
        alive=None if alive is None else round(alive),
        configured=config.server.processes,
        restarts=None if restarts is None else round(restarts),
        checks=checks,
        error="",
        dropped=round(numbers.get("webhook_journal_dropped_total", 0)),
    )


def admin_url(config: Config) -> str:
    """Return the URL at which this machine reaches the operator's listener, also that of a `gateway dev` elsewhere."""
    running = DevSession.find(config.data_dir)
    binds = (running.admin_bind if running else []) or config.server.admin_bind
    host, port = split_bind(binds[0])
    host = {EVERYWHERE_4: "127.0.0.1", EVERYWHERE_6: "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _away(config: Config, error: str) -> ProcessesStatus:
    return ProcessesStatus(
        is_running=False,
        is_ready=False,
        alive=None,
        configured=config.server.processes,
        restarts=None,
        checks={},
        error=error,
    )
