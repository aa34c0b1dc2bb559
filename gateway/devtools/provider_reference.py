"""Descriptions of the adapters: for ``gateway providers``, and for the pages of the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from gateway.adapters import registry
from gateway.adapters.handshake import HandshakeSpec
from gateway.adapters.spec import AdapterSpec, EqualEventsSpec
from gateway.signatures.schemes.base import SchemeSpec
from gateway.signatures.schemes.layout import listed
from gateway.signatures.units import format_duration, format_size

EvidenceKind = Literal["vector", "oracle", "corpus"]

Evidence = Mapping[str, Mapping[EvidenceKind, Sequence[str]]]
"""How each adapter was verified, by its name; for ``oracle`` with the names of the libraries."""

EVIDENCE: dict[EvidenceKind, str] = {
    "vector": "published test vector: a signature from the provider's documentation or code",
    "oracle": "official library: it accepts signatures made here, or makes signatures that are accepted here",
    "corpus": "recorded deliveries: real requests",
}
"""The ways to verify an adapter, as the reference page explains them."""


def adapter_names() -> list[str]:
    """Return the names of the bundled adapters, sorted."""
    return [name for name in registry.names() if name != registry.GENERIC]


def matching(word: str) -> list[str]:
    """Return the adapters that have ``word`` in their name, title or signature description, in any case."""
    return [
        name
        for name in adapter_names()
        for spec in [registry.load(name).spec]
        if word.lower() in f"{name} {spec.title} {_signature(spec)}".lower()
    ]


def summary(name: str) -> tuple[str, str, str]:
    """Return the name of the adapter, the provider's title, and a description of its signature."""
    spec = registry.load(name).spec
    doubt = " (unverified)" if spec.status == "unverified" else ""
    return name, spec.title, _signature(spec) + doubt


def facts(name: str, evidence: Evidence) -> list[tuple[str, str]]:
    """Return the facts about an adapter, each as a heading and a text."""
    spec = registry.load(name).spec
    signed, not_signed = coverage(spec)
    proofs = evidence.get(name, {})
    tolerance = spec.signature.timestamp_tolerance if spec.signature.has_timestamp else None
    rows = [
        ("signature", _signature(spec)),
        ("signed", ", ".join(signed) or "nothing: anyone who has seen one request can send any other"),
        ("not signed", ", ".join(not_signed)),
        ("handshake", "; ".join(map(_handshake, spec.handshakes))),
        ("batches", f"events in {', '.join(listed(spec.batch))}" if spec.batch else ""),
        ("ids unique in", ", ".join(f"`{place}` ({why})" for place, why in spec.unique_within.items())),
        ("equal events", _equal_events(spec.equal_events) if spec.equal_events else ""),
        ("timeout", format_duration(spec.patience) if spec.patience else "not known"),
        ("retries for", format_duration(spec.retry_horizon) if spec.retry_horizon else "not known"),
        ("tolerance", format_duration(tolerance) if tolerance else ""),
        ("largest body", format_size(spec.max_body) if spec.max_body else ""),
        (
            "verified by",
            "; ".join(", ".join(names) or EVIDENCE[word].partition(":")[0] for word, names in proofs.items()),
        ),
        ("status", "unverified: not confirmed by the provider" if spec.status == "unverified" else ""),
    ]
    return [(heading, text) for heading, text in rows if text]


def config_block(name: str) -> str:
    """Return the YAML to paste under ``providers:``, with a variable for each value that the provider issues."""
    spec = registry.load(name).spec
    variable = name.upper()
    lines = [f"{name}:", f"  adapter: {name}"]
    if spec.enrols:
        lines += [
            "  secrets: []",
            "  enrol: true  # until the provider has delivered the secret; then configure it",
        ]
    elif spec.signature.needs_secret:
        lines.append(f'  secrets: ["${{{variable}_WEBHOOK_SECRET}}"]')
    else:
        lines.append("  secrets: []  # the provider's keys are fetched")
    if any(handshake.needs_token for handshake in spec.handshakes):
        lines.append(f'  handshake_token: "${{{variable}_HANDSHAKE_TOKEN}}"')
    if spec.needs_url:
        lines.append(f"  public_url: https://hooks.example.com/webhooks/{name}")
    lines += _parameters(spec, variable)
    return "\n".join(lines)


def _signature(spec: AdapterSpec) -> str:
    return spec.signature.describe().replace("\n", "\\n")  # some providers sign several lines


def _parameters(spec: AdapterSpec, variable: str) -> Iterator[str]:
    """Yield the lines of the parameters; those that are optional are commented out."""
    is_any_required = any(each.required for each in spec.parameters.values())
    if spec.parameters:
        yield "  parameters:" if is_any_required else "  # parameters:"
    for name, each in spec.parameters.items():
        mark = "" if each.required else "# "
        yield f'    {mark}{name}: "${{{variable}_{name.upper()}}}"  # {each.description}'


def coverage(spec: AdapterSpec) -> tuple[list[str], list[str]]:
    """Return the parts of a request that the signature covers, and those that it does not."""
    signature = spec.signature
    parts = {
        **_body_coverage(signature),
        "the timestamp": signature.has_timestamp,
        "the event id": spec.signs_event_id,
    }
    if spec.event_id is None:
        del parts["the event id"]
    if signature.needs_url:
        parts["the URL"] = True
    return [part for part, is_in in parts.items() if is_in], [
        part for part, is_in in parts.items() if not is_in
    ]


def _body_coverage(signature: SchemeSpec) -> dict[str, bool]:
    if not signature.is_body_partly_signed:
        return {"the body": signature.is_body_bound}
    places = ", ".join(f"`{place}`" for place in signature.signed_places)
    return {f"{places} of the body": True, "the rest of the body": False}


def _handshake(handshake: HandshakeSpec) -> str:
    conditions = (("signed", handshake.is_signed), ("with the handshake token", handshake.needs_token))
    answers = (
        ("the secret that it delivers is stored while `enrol` is true", handshake.enrol),
        ("its challenge is signed", handshake.sign),
        ("its challenge is echoed", handshake.challenge and not handshake.enrol),
        ("the URL that it contains is called", handshake.confirm),
    )
    how = ", ".join(text for text, holds in conditions if holds)
    what = (
        ", ".join(text for text, holds in answers if holds) or f"the response is {handshake.respond.status}"
    )
    return f"{handshake.method}{f' ({how})' if how else ''}: {what}"


def _equal_events(equal: EqualEventsSpec) -> str:
    window = format_duration(equal.window)
    if not equal.meant:
        return f"an equal event without an id is a duplicate for {window}"
    repeatable = ", ".join(f"`{pattern}`" for pattern in equal.meant)
    return f"an equal event without an id is a duplicate for {window}, except {repeatable}, which is published each time"
