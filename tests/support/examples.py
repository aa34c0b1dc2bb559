"""The examples as users run them: from the folder above ``examples``, each in a process."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from gateway.adapters.bundled import bundled
from support.gateway_process import GatewayProcess, Program, run_gateway

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
_SERVERS = ("REDIS_URL", "RABBITMQ_URL")


def agent(gateway: GatewayProcess, target: str, **variables: str) -> Program:
    """Return ``gateway worker examples.<target>`` beside a gateway, not started, with its queue."""
    folder = gateway.directory / "examples"
    if not folder.exists():
        folder.symlink_to(EXAMPLES)
    # Of the gateway's environment only where its servers are: a worker needs no secret of a sender.
    extra = {name: gateway.variables[name] for name in _SERVERS} | variables
    arguments = ("worker", f"examples.{target}", "--config", str(gateway.config))
    check = run_gateway(*arguments, "--check", cwd=gateway.directory, extra=extra)
    if check.returncode:
        raise RuntimeError(check.stderr)
    return Program(gateway.directory, *arguments, extra=extra)


def outcomes(program: Program) -> list[str]:
    """What became of each delivery to a worker, in their order."""
    lines = [json.loads(line) for line in program.stdout.splitlines() if line.startswith("{")]
    return [line["outcome"] for line in lines if line["event"] == "delivery"]


def sample(provider: str, event_type: str) -> dict[str, Any]:
    """The sample of an event that `gateway send` sends, with an id of its own where it has one."""
    text = (bundled("providers") / "samples" / provider / f"{event_type}.json").read_text("utf-8")
    body: dict[str, Any] = json.loads(text)
    return body | ({"id": f"evt_{uuid.uuid4().hex}"} if "id" in body else {})
