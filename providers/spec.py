"""The grammar in which a provider is described, in ``providers/<name>.yaml`` and under ``adapter: hmac`` alike."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from providers.hmac import HmacScheme, HmacSpec
from providers.signature import Scheme
from providers.sources import Source, Sources, SourcesByType, header_name
from providers.standard_webhooks import StandardWebhooksScheme, StandardWebhooksSpec
from providers.units import Duration


def _scheme_of(value: Any) -> str | None:
    return value.get("scheme", "hmac") if isinstance(value, dict) else getattr(value, "scheme", None)


SignatureSpec = Annotated[
    Annotated[HmacSpec, Tag("hmac")] | Annotated[StandardWebhooksSpec, Tag("standard_webhooks")],
    Discriminator(_scheme_of),
]
"""How a sender signs; ``scheme`` tells which family, HMAC when it is left out."""


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


class AdapterSpec(IdentitySpec):
    """A provider: how it signs, what its deliveries are, and how patient it is."""

    title: str = Field("", description="The provider's name, as it writes it.")
    docs: str = Field("", description="The provider's own page on verifying its webhooks.")
    signature: SignatureSpec = Field(description="How the sender signs.")
    sample: str | None = Field(
        None, description="The event type that the simulator sends when none is named."
    )
    patience: Duration | None = Field(None, description="How long the sender waits for an answer.")
    retry_horizon: Duration | None = Field(
        None, description="How long the sender goes on repeating a delivery."
    )

    @model_validator(mode="after")
    def _id_is_known_before_parsing(self) -> AdapterSpec:
        if isinstance(self.signature, HmacSpec) and self.signature.signs_id and self._id_header is None:
            raise ValueError(
                "{id} in signed needs event_id: header:NAME, since nothing is parsed before it is verified"
            )
        return self

    @property
    def _id_header(self) -> bytes | None:
        return header_name(self.event_id) if isinstance(self.event_id, str) else None

    @property
    def signs_event_id(self) -> bool:
        """Whether the signature covers the event id, wherever it stands; the body it always covers."""
        sources = [self.event_id] if isinstance(self.event_id, str) else self.event_id or []
        headers = [name for name in map(header_name, sources) if name]
        return self.signature.signs_headers(headers)

    def scheme(self) -> Scheme:
        """The scheme that this describes."""
        match self.signature:
            case HmacSpec() as spec:
                return HmacScheme(spec, self._id_header)
            case StandardWebhooksSpec() as spec:
                return StandardWebhooksScheme(spec)
