"""The grammar in which a provider is described, in ``providers/<name>.yaml`` and under ``adapter: hmac`` alike."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from providers.handshake import HandshakeSpec, RefusalSpec, SuccessSpec
from providers.schemes import SignatureSpec
from providers.schemes.boundaries import ambiguity
from providers.schemes.hmac import HmacSpec
from providers.schemes.layout import Layout
from providers.schemes.public_key import PublicKeySpec
from providers.schemes.scheme import Scheme
from providers.schemes.template import rewrites_json
from providers.sources import Pointer, Source, Sources, SourcesByType, header_name, places_of
from providers.summary import Templates
from providers.units import Duration, Size

MediaType = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.+*-]+/[a-z0-9.+*-]+$")]
Reading = Literal["json", "json_list", "form", "xml", "jwt", "text"]
"""How a body is read; ``json_list`` is one of events, whatever ``batch`` says; the claims of a ``jwt`` are its data."""

BatchPlace = Annotated[str, StringConstraints(pattern=r"^body:(/[^\s{}]{0,255})?$")]

ParameterName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]

JSON_CONTENT: dict[MediaType, Reading] = {"application/json": "json", "application/cloudevents+json": "json"}
"""What nearly all senders send."""


class IdentitySpec(BaseModel):
    """Where a delivery tells what it is. Places are written ``header:NAME`` or ``body:/json/pointer``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: Sources | None = Field(
        None, description="The id by which repetitions are recognised; without it, a digest of the body."
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

    content: dict[MediaType, Reading] = Field(
        JSON_CONTENT,
        min_length=1,
        description="The media types of bodies, and how each is read; `json_list` is a list of events, and `jwt` a token whose claims are the data.",
    )
    form_json: str | None = Field(None, max_length=64, description="The field of a form that holds JSON.")
    needs_form_json: bool = Field(
        default=False, description="Whether a form without that field is none of its sender's."
    )
    form_xml: str | None = Field(
        None,
        max_length=64,
        description="The field of a form that holds XML in base64, which is added to the fields under the name of its root.",
    )
    is_empty_allowed: bool = Field(default=False, description="Whether a delivery may have no body at all.")
    batch: BatchPlace | None = Field(
        None, description="The list of events, where a delivery carries several; `body:` for the whole body."
    )
    is_id_optional: bool = Field(
        default=False,
        description="Whether some events have no id; those are known by a digest of the body.",
    )
    tells_repetitions: bool = Field(
        default=True,
        description="Whether a repetition can be told from another event; else every delivery is an event of its own.",
    )
    success: SuccessSpec | None = Field(
        None, description="The answer to a delivery, where the sender demands one."
    )
    refusal: RefusalSpec | None = Field(
        None, description="The answer to whoever is not proven, where the sender demands one."
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
    def _json_is_read_as_json(self) -> AdapterSpec:
        if self.rewrites_json and not self._is_json:
            raise ValueError(
                "signed has JSON that is written anew, so that content must be JSON alone; else the body would be "
                "published as something that was not verified"
            )
        return self

    @model_validator(mode="after")
    def _repetitions_come_in(self) -> AdapterSpec:
        tolerance = self.signature.moment_tolerance
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
        """Whether the signature covers the event id, wherever it stands."""
        sources = [self.event_id] if isinstance(self.event_id, str) else self.event_id or []
        alone = [name for name in map(header_name, sources) if name]
        joined = [place for source in sources if "{" in source for place in places_of(source)]
        if not self.signature.needs_url and any(place.startswith("query:") for place in [*sources, *joined]):
            return False
        return self.signature.signs_headers(alone) and all(
            self.signature.signs_headers([name]) for name in map(header_name, joined) if name
        )

    def scheme(self) -> Scheme:
        """The scheme that this describes."""
        return self.signature.scheme_for(Layout(self._id_header, self.content, self.form_json, self.batch))
