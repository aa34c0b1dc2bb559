"""Real deliveries from a folder of them: how their senders send them, and what a consumer is to get of them.

The folder holds one folder for each sender, with an ``index.json`` that lists its files. What the index says of an
event is the measure; where the gateway has another word for good reasons, it is here.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import orjson

from gateway.adapters.adapter import Adapter
from gateway.claims.event_key import EventKeys
from gateway.config.models import ProviderConfig
from gateway.config.resolve import adapter_of
from gateway.events.body import Reader
from gateway.signatures.request import Headers, RawRequest
from support.deliveries import URL, parameters_of, secrets_of

_NO_DELIVERIES = {"json-parsing", "naughty-strings", "signature-vectors"}
_DECODE = json.JSONDecoder().raw_decode

# Folders are called like adapters, but for these; what is in a mixed one is told apart by file or event type.
_ADAPTERS = {
    "bitbucket": "bitbucket_cloud",
    "generic": "hmac",
    "github-captures": "github",
    "misc/docker-hub": "docker_hub",
    "misc/line": "line",
    "misc/pagerduty": "pagerduty",
    "misc/zoom": "zoom",
    "whatsapp": "meta",
}
_GENERIC: dict[str, Any] = {
    "signature": {"header": "X-Signature"},
    "content": {"application/json": "json", "multipart/form-data": "form"},
}
_BATCHES = {"adyen": "notificationItems", "line": "events", "mailtrap": "events", "meta": "changes"}
_FORM_JSON = {"slack": "payload", "mandrill": "mandrill_events"}

# Where the id stands: pointers into the event and header fields, of which the first that are there count. Senders
# that are not here give none: the digest of the event serves.
_IDS = {
    "adyen": [
        ":".join(f"{{/NotificationRequestItem/{name}}}" for name in ("pspReference", "eventCode", "success"))
    ],
    "aws_eventbridge": ["{/id}", "{/Records/0/Sns/MessageId}"],
    "aws_sns": ["{/MessageId}"],
    "azure_devops": ["{/id}"],
    "bigcommerce": ["{webhook-id}"],
    "bitbucket_cloud": ["{X-Request-UUID}"],
    "checkout_com": ["{/id}"],
    "cloudevents": ["{/id}"],
    "gitea": ["{X-Gitea-Delivery}"],
    "github": ["{X-GitHub-Delivery}"],
    "gitlab": ["{X-Gitlab-Event-UUID}"],
    "gogs": ["{X-Gogs-Delivery}"],
    "hubspot": ["{/eventId}:{/subscriptionId}:{/occurredAt}"],
    "jira": ["{X-Atlassian-Webhook-Identifier}"],
    "line": ["{/webhookEventId}"],
    "linear": ["{Linear-Delivery}"],
    "mailersend": ["{/data/id}"],
    "mailgun": [
        "{/event-data/id}",
        "{/event-data/event}:{/signature/token}",
        "{/event}:{/token}",
        "{/token}",
    ],
    "mailtrap": ["{/event_id}"],
    "mandrill": ["{/_id}:{/event}:{/ts}"],
    "meta": [
        "{/value/statuses/0/id}:{/value/statuses/0/status}:{/value/statuses/0/timestamp}",
        "{/value/calls/0/id}:{/value/calls/0/event}:{/value/calls/0/timestamp}",
        "{/value/messages/0/id}",
    ],
    "monday": ["{/event/triggerUuid}"],
    "paddle": ["{/event_id}"],
    "paddle_classic": ["{/alert_id}"],
    "pagerduty": ["{/event/id}"],
    "paypal": ["{/id}"],
    "pipedrive": ["{/meta/id}:{/meta/object}:{/meta/action}:{/meta/timestamp_micro}"],
    "postal": ["{/uuid}"],
    "resend": ["{svix-id}"],
    "sendgrid": ["{/sg_event_id}"],
    "sentry": ["{Request-ID}"],
    "shopify": ["{X-Shopify-Webhook-Id}", "{X-Shopify-Event-Id}"],
    "slack": ["{/event_id}", "{/trigger_id}"],
    "sparkpost": [
        "{/msys/message_event/event_id}",
        "{/msys/track_event/event_id}",
        "{/msys/gen_event/event_id}",
    ],
    "square": ["{/event_id}"],
    "stripe": ["{/id}"],
    "woocommerce": ["{X-WC-Webhook-Delivery-ID}"],
}

# Of these a header may tell the type, which is then part of what the digest is of.
_TYPES_IN_HEADERS = {
    "bitbucket_cloud",
    "bitbucket_server",
    "commercelayer",
    "gitea",
    "gitee",
    "gogs",
    "harness",
    "lemon_squeezy",
}

# Of these the digest is of what is signed alone, leaves out what changes with each attempt, or has an account in it;
# tests/gateway/claims/test_event_key.py has its rules, and here the program's word is taken for it.
_KNOWN_BY_MORE = {"braintree", "gitee", "hubspot", "slack"}

# What the index calls otherwise, by file.
_OTHER_WORDS = {
    "CONTACT.hookdeck.json": "workflow",  # nothing that a workflow sends says what it is
    "cloudwatch-alarm-sns-payload-multiple-metrics.json": "Notification",  # SNS has a word, the file's name is none
    "cloudwatch-alarm-sns-payload-single-metric.json": "Notification",
    "json-array.adnanh.json": "unknown",  # nobody has said where this sender tells its type
    "multipart.plex.multipart.txt": "unknown",
    "subscription_cancelled.json": "subscription_canceled",  # so it is spelt in the XML
}
_GITLAB_WORDS = {"Job Hook": "build", "Resource Access Token Hook": "access_token"}


@dataclass(frozen=True)
class Delivery:
    """One delivery.

    Attributes:
        name: its file, in messages.
        adapter: of its sender.
        provider: what the gateway calls the sender.
        event_type: what the gateway is to call it; None where a list of events has several.
        headers: what is sent with it, but for the signature.
        body: what is sent, but for a signature in it.
        is_handshake: whether it is a question and no event.
        fields: those of a form, where they are the event.
    """

    name: str
    adapter: Adapter
    provider: str
    event_type: str | None
    headers: dict[str, str]
    body: bytes
    is_handshake: bool
    fields: dict[str, Any] | None


@dataclass(frozen=True)
class Expected:
    """One event that is to come out.

    Attributes:
        id: by which repetitions are recognised.
        data: its bytes; None for the fields of a form.
    """

    id: str
    data: bytes | None


@dataclass(frozen=True)
class Wire:
    """A delivery that is signed.

    Attributes:
        query: of the address, where the sender signs in there.
        headers: all fields.
        body: the bytes.
    """

    query: str
    headers: dict[str, str]
    body: bytes


def deliveries(root: Path) -> Iterator[Delivery]:
    """All deliveries in a folder of folders."""
    for index in sorted(root.glob("*/index.json")):
        folder = index.parent
        if folder.name not in _NO_DELIVERIES:
            for entry in json.loads(index.read_bytes())["files"]:
                yield _delivery(folder, entry)


def _delivery(folder: Path, entry: Mapping[str, Any]) -> Delivery:
    file, kind = entry["file"], entry["event_type"]
    place = f"misc/{file.partition('.')[0]}" if folder.name == "misc" else folder.name
    is_platform = folder.name == "adyen" and kind.startswith("balancePlatform.")
    name = "adyen_platform" if is_platform else _ADAPTERS.get(place, place.replace("-", "_"))
    media_type, body, fields = (
        entry["content_type"],
        (folder / entry.get("wire_file", file)).read_bytes(),
        None,
    )
    if media_type.startswith("application/x-www-form-urlencoded"):
        shown = json.loads((folder / file).read_bytes())
        if "wire_file" not in entry:
            body = urlencode({_FORM_JSON[name]: json.dumps(shown)}).encode()
        fields = None if _FORM_JSON.get(name, "") in parse_qs(body.decode()) else shown
    elif media_type.startswith("multipart/"):
        body, fields = re.sub(rb"\r?\n", b"\r\n", body), {}
    return Delivery(
        name=f"{folder.name}/{file}",
        adapter=_adapter(name),
        provider=name if folder.name in {"adyen", "misc"} else folder.name,
        event_type=_event_type(folder.name, entry),
        headers={"Content-Type": media_type, **entry["headers"]},
        body=body,
        is_handshake=kind == "endpoint.url_validation",
        fields=fields,
    )


def _event_type(folder: str, entry: Mapping[str, Any]) -> str | None:
    word, action = entry["event_type"], entry.get("action")
    if entry["file"] in _OTHER_WORDS:
        return _OTHER_WORDS[entry["file"]]
    if entry["file"] in {"line.events.json", "amp_open.amp_events.json", "json-format.07.json"}:
        return None
    if folder == "gitlab":  # the body's word, which is not "confidential" and the same in all languages
        plain = word.removeprefix("Confidential ")
        word = _GITLAB_WORDS.get(plain) or plain.removesuffix(" Hook").lower().replace(" ", "_")
    if folder == "whatsapp":  # the object that changed comes first: pages and Instagram have fields as well
        word = f"whatsapp_business_account.{word}"
    return word if not action or word.endswith(f".{action}") else f"{word}.{action}"


def settings(delivery: Delivery) -> dict[str, Any]:
    """What the configuration says of its sender."""
    name = delivery.adapter.name
    parameters = parameters_of(delivery.adapter)
    needs_token = any(handshake.needs_token for handshake in delivery.adapter.spec.handshakes)
    return {
        "adapter": name,
        "public_url": URL,
        "secrets": [secrets_of(name).receiver if name != "hmac" else "the secret of a made-up sender"],
        **({"parameters": parameters} if parameters else {}),
        **({"handshake_token": "what it shows"} if needs_token else {}),
        **(_GENERIC if name == "hmac" else {}),
    }


@cache
def _adapter(name: str) -> Adapter:
    extra = _GENERIC if name == "hmac" else {}
    return adapter_of(ProviderConfig.model_validate({"adapter": name, "secrets": ["0" * 16], **extra}))


def sign(delivery: Delivery, now: float) -> Wire:
    """The delivery as its sender sends it at ``now``, in Unix seconds, to the address that :func:`settings` has.

    Signatures that came with it were made with secrets that nobody has, and are replaced. An id that is signed and
    that the collection has not kept is made of the body.
    """
    made_up = sha256(delivery.body).hexdigest()[:32]
    headers = {name.lower(): value for name, value in delivery.headers.items()}
    for name in ("svix-id", "webhook-id"):
        if f"{{{name}}}" in _IDS.get(delivery.adapter.name, ()):
            headers.setdefault(name, made_up)
    secret = (
        secrets_of(delivery.adapter.name).sender
        if delivery.adapter.name != "hmac"
        else settings(delivery)["secrets"][0]
    )
    request = RawRequest(
        body=delivery.body,
        headers=Headers([(name.encode(), value.encode("latin-1")) for name, value in headers.items()]),
        path=urlsplit(URL).path,
        query=b"",
        url=URL,
    )
    signed = delivery.adapter.scheme.sign(request, secret, now, parameters_of(delivery.adapter))
    headers |= {name.lower(): value for name, value in signed.headers.items()}
    return Wire(signed.query.decode(), headers, signed.body)


def expected(delivery: Delivery, wire: Wire) -> list[Expected]:
    """What is to come out of a delivery."""
    if delivery.is_handshake:
        return []
    if delivery.fields is not None:
        fields = {name: values[0] for name, values in parse_qs(wire.body.decode("latin-1")).items()}
        return [Expected(_id(delivery, wire, fields) or _made_up(delivery, wire), None)]
    text = wire.body.decode()
    if delivery.headers["Content-Type"].startswith("application/x-www-form-urlencoded"):
        (text,) = parse_qs(text)[_FORM_JSON[delivery.adapter.name]]
    items = _items(delivery, text)
    if items is None:
        event_id = _id(delivery, wire, json.loads(text)) or _made_up(delivery, wire)
        return [Expected(event_id, text.encode())]
    events: dict[str, bytes] = {}
    for data in map(str.encode, items):
        event_id = _id(delivery, wire, json.loads(data)) or _digest(delivery, data + _context(delivery, text))
        if events.setdefault(event_id, data) != data:  # one of the two has an id that is not its own
            events[sha256(b"%b\0%b" % (event_id.encode(), data)).hexdigest()] = data
    return [Expected(event_id, data) for event_id, data in events.items()]


def _made_up(delivery: Delivery, wire: Wire) -> str:
    if delivery.adapter.name in _KNOWN_BY_MORE:
        return _known_by(delivery, wire)
    return _digest(delivery, wire.body)


def _known_by(delivery: Delivery, wire: Wire) -> str:
    configured = settings(delivery)
    bound = delivery.adapter.bind(configured["secrets"], configured.get("parameters", {}))
    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in wire.headers.items()]
    raw = RawRequest(body=wire.body, headers=Headers(fields), path=urlsplit(URL).path, url=URL)
    verified = bound.verify(raw, time.time())
    payload = Reader(delivery.adapter.spec).read(verified.headers, verified.body).payload
    return EventKeys(bound).key_of(bound.identify(verified, payload), verified, payload, 0.0).event_id


def _digest(delivery: Delivery, data: bytes) -> str:
    if delivery.event_type and delivery.adapter.name in _TYPES_IN_HEADERS:
        data = b"%b\0%b" % (delivery.event_type.encode(), data)
    return sha256(data).hexdigest()


def _context(delivery: Delivery, text: str) -> bytes:
    """What is around the lists within a list, of which the digest of an event is as well."""
    if delivery.adapter.name != "meta":
        return b""
    body = json.loads(text)
    (entry,) = body["entry"]  # of deliveries with several there are none here
    outer = sha256(sha256(orjson.dumps(body | {"entry": None})).digest() + b"entry").digest()
    inner = sha256(outer + orjson.dumps(entry | {"changes": None})).digest()
    return sha256(inner + b"changes").digest()


def _items(delivery: Delivery, text: str) -> list[str] | None:
    """The texts of the events in a list of them; None where there is one event."""
    name = _BATCHES.get(delivery.adapter.name)
    start = re.search(rf'"{name}"\s*:\s*\[' if name else r"\A\s*\[", text)
    if start is None or delivery.adapter.name == "hmac":
        return None
    items, place = [], start.end()
    while (found := re.compile(r"[\s,]*(?=[^\s,\]])").match(text, place)) is not None:
        _, place = _DECODE(text, found.end())
        items.append(text[found.end() : place])
    return items


def _id(delivery: Delivery, wire: Wire, event: Any) -> str | None:
    for template in _IDS.get(delivery.adapter.name, ()):
        places = re.findall(r"\{([^}]*)\}", template)
        values = [_value(wire, event, place) for place in places]
        if all(value is not None and value != "" for value in values):
            return re.sub(r"\{[^}]*\}", "%s", template) % tuple(map(_text, values))
    return None


def _value(wire: Wire, event: Any, place: str) -> Any:
    if not place.startswith("/"):
        return wire.headers.get(place.lower())
    for step in place.split("/")[1:]:
        if isinstance(event, list):
            event = dict(enumerate(event)).get(int(step))
        else:
            event = event.get(step) if isinstance(event, dict) else None
    return event


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
