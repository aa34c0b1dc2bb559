"""The ways in which senders sign: one module for each family, and the list of all of them.

A description in YAML (``…Spec``) makes a scheme. The scheme signs, and bound to its secrets it makes a verifier.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from gateway.signatures.schemes.braintree import BraintreeSpec
from gateway.signatures.schemes.coinbase_cdp import CoinbaseCdpSpec
from gateway.signatures.schemes.contentful import ContentfulSpec
from gateway.signatures.schemes.ebay import EbaySpec
from gateway.signatures.schemes.hmac import HmacSpec
from gateway.signatures.schemes.jwt import JwtSpec
from gateway.signatures.schemes.mercado_pago import MercadoPagoSpec
from gateway.signatures.schemes.paddle_classic import PaddleClassicSpec
from gateway.signatures.schemes.paypal import PaypalSpec
from gateway.signatures.schemes.plaid import PlaidSpec
from gateway.signatures.schemes.plivo import PlivoSpec
from gateway.signatures.schemes.public_key import PublicKeySpec
from gateway.signatures.schemes.sns import SnsSpec
from gateway.signatures.schemes.standard_webhooks import StandardWebhooksSpec
from gateway.signatures.schemes.token import BasicSpec, TokenSpec
from gateway.signatures.schemes.twilio import TwilioSpec


def _scheme_of(value: Any) -> str | None:
    return value.get("scheme", "hmac") if isinstance(value, dict) else getattr(value, "scheme", None)


SignatureSpec = Annotated[
    Annotated[BasicSpec, Tag("basic")]
    | Annotated[BraintreeSpec, Tag("braintree")]
    | Annotated[CoinbaseCdpSpec, Tag("coinbase_cdp")]
    | Annotated[ContentfulSpec, Tag("contentful")]
    | Annotated[EbaySpec, Tag("ebay")]
    | Annotated[HmacSpec, Tag("hmac")]
    | Annotated[JwtSpec, Tag("jwt")]
    | Annotated[MercadoPagoSpec, Tag("mercado_pago")]
    | Annotated[PaddleClassicSpec, Tag("paddle_classic")]
    | Annotated[PaypalSpec, Tag("paypal")]
    | Annotated[PlaidSpec, Tag("plaid")]
    | Annotated[PlivoSpec, Tag("plivo")]
    | Annotated[PublicKeySpec, Tag("public_key")]
    | Annotated[SnsSpec, Tag("sns")]
    | Annotated[StandardWebhooksSpec, Tag("standard_webhooks")]
    | Annotated[TokenSpec, Tag("token")]
    | Annotated[TwilioSpec, Tag("twilio")],
    Discriminator(_scheme_of),
]
"""The description of a way of signing. ``scheme`` names the family; the default is HMAC."""
