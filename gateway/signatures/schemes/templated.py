"""The description of a signature that covers a template of the request; HMACs and public keys share it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from typing_extensions import override

from gateway.signatures.schemes.base import SchemeSpec
from gateway.signatures.schemes.template import (
    Alphabets,
    covers_body,
    covers_headers,
    covers_url,
    template_fields,
)
from gateway.signatures.schemes.timestamps import TimestampSpec


class TemplatedSpec(SchemeSpec):
    """The properties that follow from a template and its timestamp.

    Subclasses declare the fields, so that each explains them in its own words and order in the reference.
    """

    if TYPE_CHECKING:
        signed: str
        alphabets: Alphabets
        timestamp: TimestampSpec | None

    @property
    def signs_body(self) -> bool:
        """Whether the template contains the body, as it came or written anew."""
        return covers_body(self.signed)

    def check_template(self) -> list[str]:
        """Return the fields of the template.

        Raises:
            ValueError: The template has an unknown field, or ``alphabets`` names one that it does not have.
        """
        fields = template_fields(self.signed)
        if unknown := sorted(self.alphabets.keys() - set(fields)):
            raise ValueError(f"alphabets has {unknown[0]}, which is no field of signed")
        return fields

    @override
    def signs_headers(self, names: Sequence[bytes]) -> bool:
        return covers_headers(self.signed, names)

    @property
    @override
    def needs_url(self) -> bool:
        return covers_url(self.signed)

    @property
    @override
    def template(self) -> str:
        return self.signed

    @property
    @override
    def has_timestamp(self) -> bool:
        return self.timestamp is not None

    @property
    @override
    def timestamp_tolerance(self) -> float | None:
        return self.timestamp.tolerance if self.timestamp else None

    @override
    def with_tolerance(self, seconds: float) -> Self:
        if self.timestamp is None:
            return super().with_tolerance(seconds)
        return self.model_copy(update={"timestamp": self.timestamp.model_copy(update={"tolerance": seconds})})
