"""The grammar of provider descriptions, in ``providers/<name>.yaml`` and under ``adapter: hmac`` alike.

This module has more than 200 lines because most of them are the documented fields of one grammar.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from gateway.adapters.handshake import HandshakeSpec, RefusalSpec, SuccessSpec
from gateway.adapters.summary import Templates
from gateway.signatures.extractors import Pointer, Source, Sources, SourcesByType, header_name, places_of
from gateway.signatures.schemes import SignatureSpec
from gateway.signatures.schemes.base import Scheme
from gateway.signatures.schemes.boundaries import ambiguity
from gateway.signatures.schemes.hmac import HmacSpec
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.public_key import PublicKeySpec
from gateway.signatures.schemes.template import rewrites_json
from gateway.signatures.units import Duration, Size

MediaType = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.+*-]+/[a-z0-9.+*-]+$")]
BodyFormat = Literal["json", "json_list", "form", "xml", "jwt", "text"]
"""The format of a body. ``json_list`` is a list of events, whatever ``batch`` says; a ``jwt`` has its claims as data."""

BatchPlace = Annotated[str, StringConstraints(pattern=r"^body:(/[^\s{}]{0,255})?$")]
BatchPlaces = BatchPlace | Annotated[list[BatchPlace], Field(min_length=1, max_length=16)]

ParameterName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]

JSON_CONTENT: dict[MediaType, BodyFormat] = {
    "application/json": "json",
    "application/cloudevents+json": "json",
}
"""The media types that nearly all senders use."""


Reason = Annotated[str, StringConstraints(min_length=1, max_length=200)]
EventPattern = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,128}$")]


class EqualEventsSpec(BaseModel):
    """Events without an id, two of which may be equal byte for byte: repetitions, or different events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window: Duration = Field(
        description="How long an equal event is a repetition: at least as long as the provider retries."
    )
    meant: list[EventPattern] = Field(
        [],
        description="Patterns of the event types whose equal events are different events; each is published, and marked "
        "`replaysuspected` within the window.",
    )


class IdentitySpec(BaseModel):
    """The places of an event's identity, written ``header:NAME`` or ``body:/json/pointer``.

    Of one event of a `batch`, ``item:/json/pointer`` is in that event, ``parent:/json/pointer`` in the innermost object
    around its list that has such a member, and ``list:`` the name of its list. A step ``*`` is the only element of a list.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: Sources | None = Field(
        None,
        description="The id that retries share, or several places in order; without one, a digest of the signed content "
        "is used.",
    )
    unique_within: dict[Source, Reason] = Field(
        {},
        description="What else distinguishes two events, since an id is unique only within it: places, each with a reason.",
    )
    event_type: Sources | None = Field(None, description="What happened; part of the routing key.")
    event_action: Source | None = Field(
        None, description="A finer type, joined to event_type with a dot if present."
    )
    delivery_id: Sources | None = Field(
        None, description="The id of the delivery, if it differs from that of the event."
    )
    source: Sources | None = Field(
        None, description="A URI for the CloudEvents source, if the provider has one."
    )
    time: SourcesByType | None = Field(
        None, description="When it happened: ISO 8601, or Unix seconds or milliseconds."
    )
    subject: SourcesByType | None = Field(
        None, description="The resource that the event is about; may be by event type."
    )
    account: Sources | None = Field(None, description="The customer's account at the provider.")
    actor: Sources | None = Field(None, description="Who caused the event.")
    summary: dict[str, Templates] | None = Field(
        None,
        description="Templates of the line that says what happened, by event type, `*` for the rest; those in a "
        "configuration replace its adapter's for the same types.",
    )


class DeliverySpec(IdentitySpec):
    """The content of a request, and the responses that its provider expects."""

    content: dict[MediaType, BodyFormat] = Field(
        JSON_CONTENT,
        min_length=1,
        description="The media types of bodies and their formats. `json_list` is a list of events; `jwt` is a token whose claims are the data.",
    )
    form_json: str | None = Field(None, max_length=64, description="The field of a form that contains JSON.")
    form_begins: list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]] = Field(
        [],
        max_length=16,
        description="Fields, one of which every form begins with; other forms are rejected.",
    )
    form_xml: str | None = Field(
        None,
        max_length=64,
        description="The field of a form that contains XML in base64, which becomes a field under the name of its root.",
    )
    is_empty_allowed: bool = Field(default=False, description="Whether a request may have no body at all.")
    batch: BatchPlaces | None = Field(
        None,
        description="The list of events, or several lists, if a request carries several events: `body:` for the whole body, "
        "`body:/entry/*/changes` for lists within a list, `body:/*_events` for all with a matching name.",
    )
    attempt_members: list[Pointer] = Field(
        [],
        description="Members of an event that differ between attempts; they are not part of the digest of an event.",
    )
    equal_events: EqualEventsSpec | None = Field(
        None,
        description="How long a digest identifies an event without an id, if different events may be equal.",
    )
    test_events: dict[Source, str] = Field(
        {},
        description="The marks of the provider's test events, which all have the same id or content: places and their values, "
        "in which `*` matches anything; each test event is published.",
    )
    success: SuccessSpec | dict[str, SuccessSpec] | None = Field(
        None,
        description="The response to an accepted event, if the provider requires a special one; may be by event type, `*` for the rest.",
    )
    refusal: RefusalSpec | None = Field(
        None,
        description="The response to a request that fails verification, if the provider requires a special one.",
    )
    handshakes: list[HandshakeSpec] = Field(
        [], description="The provider's requests that carry no event, such as endpoint verification."
    )

    @property
    def enrols(self) -> bool:
        """Whether the sender sends the secret that it is going to sign with."""
        return any(handshake.enrol for handshake in self.handshakes)


class ParameterSpec(BaseModel):
    """A parameter that an adapter needs besides its secrets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = Field(description="What the parameter is, and where the operator finds it.")
    required: bool = Field(default=False, description="Whether verifying needs it.")
    pattern: str | None = Field(
        None, max_length=256, description="A regular expression that has to match the whole value."
    )
    example: str = Field("example", max_length=256, description="A value to try the adapter with.")


class SetupSpec(BaseModel):
    """Where an operator enters the gateway's URL at the provider, in the words of its pages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page: str = Field(description="The way to the page, or the API call.")
    secret: str = Field(description="What the provider calls the secret, and where it shows or takes it.")
    events: str | None = Field(None, description="What the provider calls the choice of events.")


class AdapterSpec(DeliverySpec):
    """A provider: its signature, its deliveries, and its timeouts."""

    title: str = Field("", description="The provider's name, as it writes it.")
    docs: str = Field("", description="The provider's own page on verifying its webhooks.")
    setup: SetupSpec | None = Field(None, description="Where the URL and the secret are entered or found.")
    status: Literal["verified", "unverified"] = Field(
        "verified",
        description="Whether the provider's documentation or its own code confirms the way of signing.",
    )
    signature: SignatureSpec = Field(description="How the sender signs.")
    parameters: dict[ParameterName, ParameterSpec] = Field(
        {}, description="What the operator has to configure besides the secrets."
    )
    any_2xx: bool = Field(
        default=False,
        description="Whether the sender's documentation accepts any 2xx as success, so that the response to an accepted "
        "event is 202 instead of 200.",
    )
    redact: list[Pointer] = Field(
        [], description="Secret values in an event, which are masked before it is published."
    )
    sample: str | None = Field(None, description="The event type that the simulator sends by default.")
    patience: Duration | None = Field(None, description="How long the sender waits for a response.")
    retry_horizon: Duration | None = Field(None, description="How long the sender retries a delivery.")
    repeats_timestamp: bool = Field(
        default=False,
        description="Whether a retry carries the signed timestamp of the first attempt, so that the tolerance has to be as "
        "long as the retries.",
    )
    max_body: Size | None = Field(
        None, description="The largest body that the sender documents, if that is more than usual."
    )

    @model_validator(mode="after")
    def _id_is_known_before_parsing(self) -> AdapterSpec:
        if isinstance(self.signature, HmacSpec) and self.signature.signs_id and self._id_header is None:
            raise ValueError(
                "{id} in signed needs event_id: header:NAME, since nothing is parsed before it is verified"
            )
        return self

    @model_validator(mode="after")
    def _readings_can_be_told_apart(self) -> AdapterSpec:
        if self.signature.is_body_bound and {"form", "text"} <= set(self.content.values()):
            raise ValueError(
                "content has a form and a text, which nothing signed tells apart; configure two providers instead"
            )
        return self

    @model_validator(mode="after")
    def _json_is_read_as_json(self) -> AdapterSpec:
        if self.rewrites_json and not self._is_json:
            raise ValueError(
                "signed has JSON that is written anew, so that content must be JSON alone; else the body would be "
                "published as something that was not verified"
            )
        return self

    @model_validator(mode="after")
    def _id_is_no_signature(self) -> AdapterSpec:
        signing = {name.lower().encode() for name in getattr(self.signature, "headers", [])}
        if any(header_name(place) in signing for place in places_of(self.event_id)):
            raise ValueError("event_id names the header of the signature, which is no id of an event")
        return self

    @model_validator(mode="after")
    def _repetitions_come_in(self) -> AdapterSpec:
        tolerance = self.signature.timestamp_tolerance
        if self.repeats_timestamp and (tolerance is None or tolerance < (self.retry_horizon or 0)):
            raise ValueError(
                "the tolerance must be at least the retry_horizon, since repeats_timestamp is true"
            )
        return self

    @model_validator(mode="after")
    def _parameters_are_declared(self) -> AdapterSpec:
        for name in self.signature.needed_parameters:
            if name not in self.parameters or not self.parameters[name].required:
                raise ValueError(f"parameters must declare {name} as required, since the signature needs it")
        return self

    @property
    def rewrites_json(self) -> bool:
        """Whether the signature covers the rewritten JSON of a body instead of its bytes."""
        return rewrites_json(self.signature.template)

    @property
    def ambiguity(self) -> tuple[str, str] | None:
        """Two fields of the signed template whose boundary is ambiguous; None if there are none."""
        if not isinstance(self.signature, HmacSpec | PublicKeySpec):
            return None
        signature = self.signature
        unit = signature.timestamp.unit if signature.timestamp else None
        return ambiguity(signature.signed, unit, is_json=self._is_json, alphabets=signature.alphabets)

    @property
    def _is_json(self) -> bool:
        return not self.is_empty_allowed and all(
            how in ("json", "json_list") for how in self.content.values()
        )

    @property
    def _id_header(self) -> bytes | None:
        return header_name(self.event_id) if isinstance(self.event_id, str) else None

    @property
    def signs_event_id(self) -> bool:
        """Whether the signature covers everything that identifies the event; True if only a digest does."""
        sources = [self.event_id] if isinstance(self.event_id, str) else self.event_id or []
        within = [place for source in self.unique_within for place in places_of(source)]
        alone = [name for name in map(header_name, sources) if name]
        joined = [place for source in sources if "{" in source for place in places_of(source)]
        single = (name for name in map(header_name, [*joined, *within]) if name)
        return (
            self.signature.signs_headers(alone)
            and all(self.signature.signs_headers([name]) for name in single)
            and self._signs_all([*sources, *joined, *within])
        )

    def _signs_all(self, places: Iterable[str]) -> bool:
        """Return whether the signature covers those of the places that are in the query or the body."""
        signature = self.signature
        return all(
            signature.is_body_bound or place in signature.signed_places
            for place in places
            if place.startswith(("body:", "item:", "member:"))
        ) and (signature.needs_url or not any(place.startswith("query:") for place in places))

    @property
    def needs_url(self) -> bool:
        """Whether a delivery or a handshake can be judged only with the URL that the sender called."""
        return self.signature.needs_url or any(handshake.needs_url for handshake in self.handshakes)

    def scheme(self) -> Scheme:
        """Return the scheme of the described signature."""
        return self.signature.scheme_for(Layout(self._id_header, self.content, self.form_json, self.batch))
