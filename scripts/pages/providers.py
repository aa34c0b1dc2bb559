"""The pages of the providers, one for each adapter, made from its description, its samples and its schemas.

Nothing on them is invented: where an adapter does not say something, its page does not either. The module has more than
200 lines because most of them are the texts of one page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml

from gateway.adapters import registry
from gateway.adapters.spec import AdapterSpec
from gateway.devtools.provider_reference import EVIDENCE, Evidence, adapter_names, config_block, facts
from gateway.devtools.samples import sample_names
from gateway.events.schemas import Catalogue
from gateway.testing import sample
from gateway.worker import Event
from pages.failures import FAULTS, possible_faults
from pages.repository import ROOT

_CATEGORIES = Path(__file__).with_name("categories.yaml")
_EVIDENCE = ROOT / "tests/gateway/adapters/evidence.yaml"
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)")
_TEMPLATE_FIELD = re.compile(r"\{([^{}]*)\}")

_SECRETS = {
    "BasicSpec": "the user name and the password that you gave the provider, written `user:password`",
    "TokenSpec": "the token that the provider sends with each request",
    "PublicKeySpec": "the provider's public key",
    "PaddleClassicSpec": "the provider's public key",
    "BraintreeSpec": "the private key of your merchant account",
    "PlaidSpec": "the client id and the secret of your account, written `client_id:secret`; the key is fetched with them",
    "EbaySpec": "the client id and the secret of your application, written `client_id:secret`; the key is fetched with them",
}
"""What the secret of a block is, by the kind of signature; for the others it is a signing secret."""


@cache
def categories() -> dict[str, list[str]]:
    """Return the adapters by category, in the order of the index."""
    return {str(name): list(each) for name, each in yaml.safe_load(_CATEGORIES.read_text("utf-8")).items()}


def provider_pages() -> dict[str, str]:
    """Return the pages by the names of the adapters."""
    evidence: Evidence = yaml.safe_load(_EVIDENCE.read_text("utf-8"))
    catalogue = Catalogue.bundled()
    return {name: "\n".join(_page(name, evidence, catalogue)) + "\n" for name in adapter_names()}


def provider_index() -> str:
    """Return the tables of the index, one for each category."""
    return "\n".join(_index())


def _index() -> Iterator[str]:
    evidence: Evidence = yaml.safe_load(_EVIDENCE.read_text("utf-8"))
    for category, names in categories().items():
        yield from (f"## {category}", "", "| key | provider | signature covers | tested with |")
        yield "| --- | --- | --- | --- |"
        for name in names:
            spec = registry.load(name).spec
            signed = _covered(dict(facts(name, {}))["signed"], spec)
            proofs = ", ".join(EVIDENCE[kind].partition(":")[0] for kind in evidence.get(name, ()))
            yield f"| [`{name}`]({name}.md) | {spec.title} | {_cell(signed)} | {proofs} |"
        yield ""


def _covered(signed: str, spec: AdapterSpec) -> str:
    if signed.startswith("nothing"):
        return "nothing: the secret is sent as it is"
    return "part of the body" if spec.signature.is_body_partly_signed else signed


def _page(name: str, evidence: Evidence, catalogue: Catalogue) -> Iterator[str]:
    spec = registry.load(name).spec
    rows = dict(facts(name, evidence))
    yield from (f"# {spec.title}", "")
    if "status" in rows:
        yield from ("!!! warning", "    The provider has not confirmed everything on this page.", "")
    yield from (registry.note_on(name), "")
    yield from _setup(name, spec)
    yield from _events(name, spec, catalogue)
    yield from _signature(rows, spec)
    yield from _delivery(rows, spec)
    yield from _handshake(name, rows)
    yield from _trial(name, spec)
    yield from _failures(spec)


def _setup(name: str, spec: AdapterSpec) -> Iterator[str]:
    block = config_block(name)
    yield from ("## Set it up", "", "1. Add the provider to `config.yaml`:", "")
    yield from ("    ```yaml", "    providers:", *(f"      {line}" for line in block.splitlines()), "    ```")
    yield ""
    step = 2
    variables = list(dict.fromkeys(_VARIABLE.findall(block)))
    for variable in variables:
        optional = "" if _is_required(variable, spec) else " (optional)"
        yield from (f"{step}. Set `{variable}`{optional}: {_meaning(variable, spec)}.", "")
        step += 1
    setup = spec.setup
    page = f": {setup.page}" if setup else ""
    choice = f" Choose what you need under *{setup.events}*." if setup and setup.events else ""
    yield from (
        (
            f"{step}. Register `https://YOUR-HOST/webhooks/{name}` as the webhook URL{page}.{choice} "
            f"[{spec.title}'s documentation]({spec.docs}) shows how."
        ),
        "",
        (
            f"{step + 1}. Check it: `gateway check` reports mistakes in the block, and `gateway send {name}` sends a signed "
            "sample to the running gateway. When the first real event arrives, its log line has "
            f'`"provider":"{name}"` and `"outcome":"accepted"`.'
        ),
        "",
    )


def _is_required(variable: str, spec: AdapterSpec) -> bool:
    return all(
        each.required
        for parameter, each in spec.parameters.items()
        if variable.endswith(f"_{parameter.upper()}")
    )


def _meaning(variable: str, spec: AdapterSpec) -> str:
    for parameter, each in spec.parameters.items():
        if variable.endswith(f"_{parameter.upper()}"):
            text = each.description.rstrip(".")
            return text[0].lower() + text[1:] if text[1:2].islower() else text
    if variable.endswith("_HANDSHAKE_TOKEN"):
        return "the token that you choose for the endpoint verification"
    if spec.setup:
        return spec.setup.secret
    text = _SECRETS.get(type(spec.signature).__name__, "the signing secret of the webhook")
    secret_format = getattr(spec.signature, "secret_format", "raw")
    form = {"base64": ", in base64", "hex": ", in hexadecimal", "whsec_": " (`whsec_…`)"}.get(
        secret_format, ""
    )
    return text + form


def _events(name: str, spec: AdapterSpec, catalogue: Catalogue) -> Iterator[str]:
    adapter = registry.load(name)
    samples = sample_names(adapter)
    yield from ("## Events", "", "Where the attributes of an event come from:", "")
    yield from ("| attribute | read from |", "| --- | --- |")
    fields = ("event_type", "event_action", "event_id", "time", "subject", "account", "actor")
    for field in fields:
        if value := getattr(spec, field):
            yield f"| {_ATTRIBUTES[field]} | {_places(value)} |"
    if samples:
        yield from (
            "",
            f"Events that `gateway send {name} TYPE` can send, with the attributes that a worker sees:",
            "",
        )
        yield from _sample_table({each: sample(name, each) for each in samples})
    templates = spec.summary or {}
    further = sorted({*templates, *catalogue.event_types(adapter.family)} - {*samples, "*"})
    further = [each for each in further if not each.startswith("_")]
    if further:
        yield from ("", "Further event types that the adapter has a summary or a schema for:", "")
        yield ", ".join(f"`{each}`" for each in further) + "."
    if other := templates.get("*"):
        text = other if isinstance(other, str) else other[0]
        yield from ("", f"Every other event type is published as well, with the summary “{_readable(text)}”.")
    yield ""


def _sample_table(events: dict[str, Event]) -> Iterator[str]:
    """Yield a table of events, without the columns that are empty for all of them."""
    names = [
        name
        for name in ("subject", "account", "actor", "summary")
        if any(getattr(event, name) for event in events.values())
    ]
    yield f"| event type | {' | '.join(names)} |"
    yield f"| --- |{' --- |' * len(names)}"
    for event_type, event in events.items():
        yield f"| `{event_type}` | {' | '.join(_cell(getattr(event, name) or '') for name in names)} |"


_ATTRIBUTES = {
    "event_type": "event type",
    "event_action": "event type, second part",
    "event_id": "`id`",
    "time": "`time`",
    "subject": "`subject`",
    "account": "`account`",
    "actor": "`actor`",
}


def _places(value: object) -> str:
    """Return the places of an attribute, which may be one, several in order, or by event type."""
    if isinstance(value, dict):
        return "; ".join(f"`{key}`: {_places(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", else ".join(_places(each) for each in value)
    return f"`{_cell(str(value))}`"


def _readable(template: str) -> str:
    """Return a template of a summary with the last steps of its places instead of the places."""
    text = _TEMPLATE_FIELD.sub(lambda field: f"*{field[1].partition('|')[0].rsplit('/', 1)[-1]}*", template)
    return text.replace("[", "").replace("]", "")


def _signature(rows: dict[str, str], spec: AdapterSpec) -> Iterator[str]:
    yield from ("## Signature", "", "| | |", "| --- | --- |")
    for heading in ("signature", "signed", "not signed", "tolerance", "verified by"):
        if heading in rows:
            text = f"`{rows[heading]}`" if "{" in rows[heading] and heading == "signature" else rows[heading]
            text = _in_words(text) if heading == "tolerance" else text
            yield f"| {_HEADINGS.get(heading, heading)} | {_cell(text)} |"
    yield ""
    if not spec.signature.has_timestamp:
        yield from (
            (
                "The signature covers no timestamp: a captured request stays valid. "
                "The gateway recognises it as a duplicate for as long as `dedupe.retention` lasts."
            ),
            "",
        )
    if spec.signature.is_body_partly_signed:
        yield from (
            'Only part of the body is signed. Its events have `"partlysigned": true`; do not trust the other members.',
            "",
        )


_HEADINGS = {"verified by": "tested with", "tolerance": "clock tolerance"}


def _delivery(rows: dict[str, str], spec: AdapterSpec) -> Iterator[str]:
    known = [
        (
            "timeout",
            f"The provider waits {_in_words(rows['timeout'])} for a response." if spec.patience else "",
        ),
        (
            "retries",
            f"It retries for {_in_words(rows['retries for'])} after a failure." if spec.retry_horizon else "",
        ),
        ("largest body", f"It sends bodies of up to {rows['largest body']}." if spec.max_body else ""),
        (
            "batches",
            f"One request can carry several events, in {_code(rows['batches'].removeprefix('events in '))}."
            if "batches" in rows
            else "",
        ),
        ("ids", f"An id is unique within {rows['ids unique in']}." if "ids unique in" in rows else ""),
        ("equal events", _in_words(_sentence(rows["equal events"])) if "equal events" in rows else ""),
    ]
    status = "202" if spec.any_2xx else "200"
    if spec.success is None:
        known.append(("success", f"The gateway answers an accepted event with {status}."))
    elif not isinstance(spec.success, dict):
        known.append(
            ("success", f"The gateway answers with {spec.success.status}, as the provider requires.")
        )
    yield from ("## Delivery", "", *(f"- {text}" for _, text in known if text), "")


def _handshake(name: str, rows: dict[str, str]) -> Iterator[str]:
    if "handshake" in rows:
        yield from ("## Endpoint verification", "")
        yield from (f"- {_sentence(each)}" for each in rows["handshake"].split("; "))
        yield from ("", f"`gateway send {name} --handshake` sends it to the running gateway.", "")


def _trial(name: str, spec: AdapterSpec) -> Iterator[str]:
    known = sample_names(registry.load(name))
    event = f" {spec.sample or known[0]}" if known else ""
    tampering = "body" if spec.signature.signed_places else "signature"
    yield from ("## Test it", "", "```console")
    yield f"$ gateway send {name}{event if known else ' --file body.json'}"
    yield f"$ gateway send {name} --tamper {tampering}    # must be refused"
    yield from ("```", "")


def _failures(spec: AdapterSpec) -> Iterator[str]:
    yield from ("## When a request is refused", "")
    yield "The log line of the request has one of these in `cause`:"
    yield from ("", "| cause | what to do |", "| --- | --- |")
    for fault in possible_faults(spec):
        yield f"| `{fault}` | {_cell(FAULTS[fault].remedy)} |"
    yield from (
        "",
        "[`gateway explain`](../how-to/operate/debug-a-401.md) finds the reason offline, from a captured request.",
    )


def _in_words(duration: str) -> str:
    """Return a duration such as ``3d`` in words: 3 days."""
    return _DURATION.sub(lambda part: f"{part[1]} {_UNITS[part[2]]}{'' if part[1] == '1' else 's'}", duration)


_DURATION = re.compile(r"([0-9.]+)(ms|[smhd])\b")
_UNITS = {"ms": "millisecond", "s": "second", "m": "minute", "h": "hour", "d": "day"}


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _code(places: str) -> str:
    return ", ".join(f"`{place}`" for place in places.split(", "))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
