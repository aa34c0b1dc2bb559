"""What is known of the adapters, in words: for the terminal, and for the page that lists them all."""

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
"""What proves each adapter, and who: the names of the libraries."""

EVIDENCE: dict[EvidenceKind, str] = {
    "vector": "a signature that the sender or its own code has published",
    "oracle": "a library, mostly the sender's own, that accepts what is signed here or signs what is accepted here",
    "corpus": "real deliveries",
}
"""What can prove an adapter."""


_LONGEST_CELL = 90


def described() -> list[str]:
    """The adapters that come with the gateway."""
    return [name for name in registry.names() if name != registry.GENERIC]


def matching(word: str) -> list[str]:
    """Those with ``word`` in their name, their title or how they sign."""
    return [
        name
        for name in described()
        for spec in [registry.load(name).spec]
        if word.lower() in f"{name} {spec.title} {_signature(spec)}".lower()
    ]


def in_one_line(name: str) -> tuple[str, str, str]:
    """The adapter, its sender, and how that signs."""
    spec = registry.load(name).spec
    doubt = " (unverified)" if spec.status == "unverified" else ""
    return name, spec.title, _signature(spec) + doubt


def facts(name: str, evidence: Evidence) -> list[tuple[str, str]]:
    """What there is to say of an adapter, a heading and a sentence each; ``evidence`` is what proves which."""
    spec = registry.load(name).spec
    covered, not_covered = _coverage(spec)
    proofs = evidence.get(name, {})
    tolerance = spec.signature.timestamp_tolerance if spec.signature.has_timestamp else None
    rows = [
        ("signs", _signature(spec)),
        ("covered", ", ".join(covered) or "nothing: whoever has seen one delivery can send any other"),
        ("not covered", ", ".join(not_covered)),
        ("handshake", "; ".join(map(_handshake, spec.handshakes))),
        ("several events", f"in {', '.join(listed(spec.batch))}" if spec.batch else ""),
        ("told apart by", ", ".join(f"`{place}` ({why})" for place, why in spec.unique_within.items())),
        ("equal events", _equal_events(spec.equal_events) if spec.equal_events else ""),
        ("waits", format_duration(spec.patience) if spec.patience else "not known"),
        ("repeats for", format_duration(spec.retry_horizon) if spec.retry_horizon else "not known"),
        ("tolerance", format_duration(tolerance) if tolerance else ""),
        ("largest body", format_size(spec.max_body) if spec.max_body else ""),
        ("proven by", "; ".join(", ".join(names) or EVIDENCE[word] for word, names in proofs.items())),
        ("status", "unverified: its sender does not confirm it" if spec.status == "unverified" else ""),
    ]
    return [(heading, text) for heading, text in rows if text]


def block(name: str) -> str:
    """What to paste under ``providers:``, with a variable for each thing that the sender gives."""
    spec = registry.load(name).spec
    variable = name.upper()
    lines = [f"{name}:", f"  adapter: {name}"]
    if spec.enrols:
        lines += [
            "  secrets: []",
            "  enrol: true  # until its sender has told the secret; then it is to be configured",
        ]
    elif spec.signature.needs_secret:
        lines.append(f'  secrets: ["${{{variable}_WEBHOOK_SECRET}}"]')
    else:
        lines.append("  secrets: []  # its keys are fetched")
    if any(handshake.needs_token for handshake in spec.handshakes):
        lines.append(f'  handshake_token: "${{{variable}_HANDSHAKE_TOKEN}}"')
    if spec.needs_url:
        lines.append(f"  public_url: https://hooks.example.com/webhooks/{name}")
    lines += _parameters(spec, variable)
    return "\n".join(lines)


def reference(evidence: Evidence) -> str:
    """The page of all adapters, in Markdown."""
    return "\n".join(_page(evidence)) + "\n"


def _page(evidence: Evidence) -> Iterator[str]:
    names = described()
    doubtful = [name for name in names if registry.load(name).spec.status == "unverified"]
    yield "# Providers"
    yield ""
    yield (
        f"The {len(names)} adapters that come with the gateway, made from their descriptions; `make pages` writes "
        "this page. Any other sender is a block in `config.yaml` (`adapter: hmac`)."
    )
    yield ""
    yield (
        "*Covered* is what nobody but the sender can change; what is *not covered* can be changed by whoever has seen a "
        "delivery. *Waits* is how long the sender waits for an answer, *repeats for* how long it goes on after a failure; "
        "`dedupe.retention` has to be at least that long. *Tolerance* is how far the moment of sending may be from the clock, "
        "*largest body* what the sender documents where that is more than 1 MiB."
    )
    yield ""
    yield f"{sum(bool(evidence.get(name)) for name in names)} of them are proven by at least one of these:"
    yield ""
    yield from (f"- {text} (`{word}`)" for word, text in EVIDENCE.items())
    yield ""
    if doubtful:
        yield f"Unverified, since their senders do not confirm all of it: {', '.join(f'`{name}`' for name in doubtful)}."
        yield ""
    yield "| adapter | sender | signature | proven by |"
    yield "| --- | --- | --- | --- |"
    for name in names:
        _, title, signature = in_one_line(name)
        if len(signature) > _LONGEST_CELL:
            signature = f"{signature[:_LONGEST_CELL]}…"
        yield f"| [`{name}`](#{name}) | {title} | {_cell(signature)} | {', '.join(evidence.get(name, ()))} |"
    for name in names:
        spec = registry.load(name).spec
        yield from ("", f"## {name}", "")
        yield f"[{spec.title}]({spec.docs}). {registry.note_on(name)}"
        yield ""
        yield from (f"- {heading}: {text}" for heading, text in facts(name, evidence))
        yield from ("", "```yaml", "providers:", *(f"  {line}" for line in block(name).splitlines()), "```")


def _signature(spec: AdapterSpec) -> str:
    return spec.signature.describe().replace("\n", "\\n")  # some sign lines


def _parameters(spec: AdapterSpec, variable: str) -> Iterator[str]:
    """Those that are required, and the others to be taken in."""
    is_any_required = any(each.required for each in spec.parameters.values())
    if spec.parameters:
        yield "  parameters:" if is_any_required else "  # parameters:"
    for name, each in spec.parameters.items():
        mark = "" if each.required else "# "
        yield f'    {mark}{name}: "${{{variable}_{name.upper()}}}"  # {each.description}'


def _coverage(spec: AdapterSpec) -> tuple[list[str], list[str]]:
    signature = spec.signature
    parts = {
        **_body_coverage(signature),
        "the time of sending": signature.has_timestamp,
        "the event id": spec.signs_event_id,
    }
    if spec.event_id is None:
        del parts["the event id"]
    if signature.needs_url:
        parts["the address"] = True
    return [part for part, is_in in parts.items() if is_in], [
        part for part, is_in in parts.items() if not is_in
    ]


def _body_coverage(signature: SchemeSpec) -> dict[str, bool]:
    if not signature.is_body_partly_signed:
        return {"the body": signature.is_body_bound}
    places = ", ".join(f"`{place}`" for place in signature.signed_places)
    return {f"of the body {places}": True, "the rest of the body": False}


def _handshake(handshake: HandshakeSpec) -> str:
    conditions = (("signed", handshake.is_signed), ("with the handshake token", handshake.needs_token))
    answers = (
        ("the secret that it tells is taken while `enrol` is on", handshake.enrol),
        ("its challenge is signed", handshake.sign),
        ("its challenge is given back", handshake.challenge and not handshake.enrol),
        ("the address that it names is called", handshake.confirm),
    )
    how = ", ".join(text for text, holds in conditions if holds)
    what = ", ".join(text for text, holds in answers if holds) or f"answered with {handshake.respond.status}"
    return f"{handshake.method}{f' ({how})' if how else ''}: {what}"


def _equal_events(equal: EqualEventsSpec) -> str:
    window = format_duration(equal.window)
    if not equal.meant:
        return f"an event without an id is a repetition for {window}"
    meant = ", ".join(f"`{pattern}`" for pattern in equal.meant)
    return (
        f"an event without an id is a repetition for {window}, but for {meant}, which is published each time"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
