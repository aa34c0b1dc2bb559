"""Requests to endpoints as the libraries of their receivers see them: each verifies with each secret, and refuses another body."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from gateway.outbound.models import Secret, SignatureKind
from gateway.outbound.secrets import make_secret
from gateway.outbound.signing import Signer
from oracles.cases import ADDRESS, Case
from oracles.programs import Asked, Program

RECORD = Path(__file__).resolve().parent / "recorded_outbound.json"

SEED = bytes(range(64, 96))

BODY = '{"id":"evt_1","object":"event","type":"agent.run.failed","data":{"object":{"summary":"Prüfer – naïve ☃"}}}'

MESSAGE = "msg_o24sc5dlfh5h2ymbkkjywnftgc"

LIBRARIES: Mapping[SignatureKind, Sequence[str]] = {
    SignatureKind.STANDARD: ("standard_webhooks", "svix"),
    SignatureKind.ED25519: ("standard_webhooks", "svix"),
    SignatureKind.TIMESTAMP: ("stripe",),
}
"""The adapters whose libraries verify a kind of signature. No library of the standard verifies `v1a` alone."""


class Signature(NamedTuple):
    """A request that was signed, and who has accepted it.

    Attributes:
        kind: how it is signed.
        secrets: the secrets of the endpoint, any of which verifies.
        now: when it was signed, in Unix seconds.
        headers: the fields that prove who sent it.
        accepted_by: the libraries that have accepted it with each of the secrets.
    """

    kind: str
    secrets: list[str]
    now: int
    headers: dict[str, str]
    accepted_by: list[str]

    def again(self) -> dict[str, str]:
        """The fields as they are made today."""
        kept = [
            Secret(id=f"sec_{slot}", value=value, created_at=0.0) for slot, value in enumerate(self.secrets)
        ]
        return Signer(SignatureKind(self.kind), kept, SEED).sign(MESSAGE, self.now, BODY.encode())


def record_outbound(programs: Sequence[Program]) -> int:
    """Ask all libraries and write down who accepts what we sign. Return the number of disagreements."""
    signatures, disagreements = [], 0
    for kind, names in LIBRARIES.items():
        made = Signature(kind.value, [make_secret() for _ in range(3)], int(time.time()), {}, [])
        made = made._replace(headers=made.again())
        for program in programs:
            for name in sorted(set(names) & set(program.verifies)):
                by, *refusals = program.verify(_asked(made, name))
                if wrong := _wrong(refusals):
                    print(f"outbound {kind.value}: {by} {wrong}", flush=True)
                    disagreements += 1
                else:
                    made.accepted_by.append(by)
        signatures.append(made)
    text = json.dumps([each._asdict() for each in signatures], indent=1, sort_keys=True, ensure_ascii=False)
    RECORD.write_text(text + "\n", "utf-8")
    return disagreements


def _asked(made: Signature, name: str) -> list[Asked]:
    """Return the request with each of its secrets, then with another body and with another secret."""
    headers = dict(made.headers)
    if name == "stripe":
        headers["stripe-signature"] = headers["x-webhook-signature"]
    case = Case(name, made.secrets[0], {}, made.now, ADDRESS, headers, BODY)
    good = [replace(case, secret=secret) for secret in made.secrets]
    bad = [replace(case, body=BODY.replace("1", "2", 1)), replace(case, secret=make_secret())]
    return [Asked(each, {}) for each in [*good, *bad]]


def _wrong(refusals: Sequence[str | None]) -> str:
    *good, other_body, other_secret = refusals
    if any(good):
        return f"refuses what we sign: {next(filter(None, good))}"
    return "accepts what it must refuse" if other_body is None or other_secret is None else ""


def recorded() -> list[Signature]:
    """The requests that were accepted."""
    entries: list[dict[str, Any]] = json.loads(RECORD.read_bytes())
    return [Signature(**entry) for entry in entries]
