"""The grammar in which a provider is described, in ``providers/<name>.yaml`` and under ``adapter: hmac`` alike."""

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
"""How a body is read; ``json_list`` is one of events, whatever ``batch`` says; the claims of a ``jwt`` are its data."""

BatchPlace = Annotated[str, StringConstraints(pattern=r"^body:(/[^\s{}]{0,255})?$")]
BatchPlaces = BatchPlace | Annotated[list[BatchPlace], Field(min_length=1, max_length=16)]

ParameterName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]

JSON_CONTENT: dict[MediaType, BodyFormat] = {
    "application/json": "json",
    "application/cloudevents+json": "json",
}
"""What nearly all senders send."""


Reason = Annotated[str, StringConstraints(min_length=1, max_length=200)]
EventPattern = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,128}$")]


class EqualEventsSpec(BaseModel):
    """Events without an id of which two may be equal byte for byte: repetitions, or different events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window: Duration = Field(
        description="How long an equal one is a repetition: at least as long as the provider repeats."
    )
    meant: list[EventPattern] = Field(
        [],
        description="Patterns of the event types of which equal ones are different events; each is published, and "
        "marked `replaysuspected` within the window.",
    )


class IdentitySpec(BaseModel):
    """Where a delivery tells what it is. Places are written ``header:NAME`` or ``body:/json/pointer``.

    Of one event of a `batch`, ``item:/json/pointer`` is in that event, ``parent:/json/pointer`` in the innermost object
    around its list that has such a member, and ``list:`` the name of its list. A step ``*`` is the only element of a list.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: Sources | None = Field(
        None,
        description="The id by which repetitions are recognised, or places of it in order; without one, a digest of "
        "what is signed.",
    )
    unique_within: dict[Source, Reason] = Field(
        {},
        description="What else tells two events apart, since an id is unique only within it: places, and why each.",
    )
    event_type: Sources | None = Field(None, description="What happened; part of the routing key.")
    event_action: Source | None = Field(
        None, description="A finer type, joined to event_type with a dot if present."
    )
    delivery_id: Sources | None = Field(
        None, description="The id of the delivery, where it differs from the event's."
    )
    source: Sources | None = Field(
        None, description="A URI for the CloudEvents source, where the sender has one."
    )
    time: SourcesByType | None = Field(
        None, description="When it happened: ISO 8601, or Unix seconds or milliseconds."
    )
    subject: SourcesByType | None = Field(
        None, description="The resource that the event is about; may be by event type."
    )
    account: Sources | None = Field(None, description="The customer's account at the sender.")
    actor: Sources | None = Field(None, description="Who caused the event.")
    summary: dict[str, Templates] | None = Field(
        None,
        description="Templates of the line that says what happened, by event type, `*` for the rest; those in a "
        "configuration replace its adapter's for the same types.",
    )


class DeliverySpec(IdentitySpec):
    """What a delivery carries, and how its sender is answered."""

    content: dict[MediaType, BodyFormat] = Field(
        JSON_CONTENT,
        min_length=1,
        description="The media types of bodies, and how each is read; `json_list` is a list of events, and `jwt` a token whose claims are the data.",
    )
    form_json: str | None = Field(None, max_length=64, description="The field of a form that holds JSON.")
    form_begins: list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]] = Field(
        [],
        max_length=16,
        description="The fields of which a form has one first; a form that begins otherwise is none of its sender's.",
    )
    form_xml: str | None = Field(
        None,
        max_length=64,
        description="The field of a form that holds XML in base64, which is added to the fields under the name of its root.",
    )
    is_empty_allowed: bool = Field(default=False, description="Whether a delivery may have no body at all.")
    batch: BatchPlaces | None = Field(
        None,
        description="The list of events, where a delivery carries several, or several lists: `body:` for the whole body, "
        "`body:/entry/*/changes` for lists within a list, `body:/*_events` for those whose names fit.",
    )
    attempt_members: list[Pointer] = Field(
        [],
        description="Members of an event that differ between the attempts at it; the digest of an event is without "
        "them.",
    )
    equal_events: EqualEventsSpec | None = Field(
        None,
        description="How long an event without an id is known by its digest, where different events may be equal.",
    )
    test_events: dict[Source, str] = Field(
        {},
        description="How the provider's test events look, all of which have one id or no other content: places and "
        "their values, in which `*` stands for anything; each is published.",
    )
    success: SuccessSpec | dict[str, SuccessSpec] | None = Field(
        None,
        description="The answer to a delivery, where the sender demands one; may be by event type, `*` for the rest.",
    )
    refusal: RefusalSpec | None = Field(
        None, description="The answer to a request that is not proven, where the sender demands one."
    )
    handshakes: list[HandshakeSpec] = Field([], description="What the sender asks beyond deliveries.")

    @property
    def enrols(self) -> bool:
        """Whether its sender tells the secret that it will sign with."""
        return any(handshake.enrol for handshake in self.handshakes)


class ParameterSpec(BaseModel):
    """Something that an adapter has to be told besides its secrets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = Field(description="What it is, and where the operator finds it.")
    required: bool = Field(default=False, description="Whether nothing can be verified without it.")
    pattern: str | None = Field(
        None, max_length=256, description="A regular expression that it matches as a whole."
    )
    example: str = Field("example", max_length=256, description="A value to try the adapter with.")


class AdapterSpec(DeliverySpec):
    """A provider: how it signs, what its deliveries are, and how patient it is."""

    title: str = Field("", description="The provider's name, as it writes it.")
    docs: str = Field("", description="The provider's own page on verifying its webhooks.")
    status: Literal["verified", "unverified"] = Field(
        "verified", description="Whether the way of signing is confirmed by the provider or by its own code."
    )
    signature: SignatureSpec = Field(description="How the sender signs.")
    parameters: dict[ParameterName, ParameterSpec] = Field(
        {}, description="What the operator has to say besides the secrets."
    )
    any_2xx: bool = Field(
        default=False,
        description="Whether the sender's documentation says that any 2xx is a success, so that an accepted event "
        "is answered 202; else it is answered 200.",
    )
    redact: list[Pointer] = Field(
        [], description="Values in an event that are masked before it is published, since they are secrets."
    )
    sample: str | None = Field(
        None, description="The event type that the simulator sends when none is named."
    )
    patience: Duration | None = Field(None, description="How long the sender waits for an answer.")
    retry_horizon: Duration | None = Field(
        None, description="How long the sender goes on repeating a delivery."
    )
    repeats_timestamp: bool = Field(
        default=False,
        description="Whether a repetition carries the signed moment of the first attempt, so that the tolerance has to be "
        "as long as it goes on.",
    )
    max_body: Size | None = Field(
        None, description="The largest body that the sender documents, where that is more than most send."
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
        """Whether a signature covers not the bytes of a body but its JSON as it is written anew."""
        return rewrites_json(self.signature.template)

    @property
    def ambiguity(self) -> tuple[str, str] | None:
        """Two fields of the signed template whose bytes can be divided in several ways, if there are any."""
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
        """Whether the signature covers all by which the event is known; True where that is a digest alone."""
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
        """Whether those of the places that are in the query or the body are signed."""
        signature = self.signature
        return all(
            signature.is_body_bound or place in signature.signed_places
            for place in places
            if place.startswith(("body:", "item:", "member:"))
        ) and (signature.needs_url or not any(place.startswith("query:") for place in places))

    @property
    def needs_url(self) -> bool:
        """Whether a delivery or a handshake can be judged only by the address that the sender called."""
        return self.signature.needs_url or any(handshake.needs_url for handshake in self.handshakes)

    def scheme(self) -> Scheme:
        """The scheme that this describes."""
        return self.signature.scheme_for(Layout(self._id_header, self.content, self.form_json, self.batch))
