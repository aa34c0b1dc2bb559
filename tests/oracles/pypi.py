"""The senders' Python libraries as judges of requests. It runs in an environment of its own.

Reads requests as JSON and writes verdicts: null where the library accepts, else why not; and signs as told.
Nothing of the gateway is imported here: its requirements and theirs do not fit together.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Request:
    """One request, and what its receiver knows.

    Attributes:
        method: of HTTP.
        url: as its sender has it.
        headers: its header fields; :meth:`field` ignores their case.
        body: its bytes.
        secret: what the receiver verifies with.
        parameters: what the receiver knows besides.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    secret: str
    parameters: Mapping[str, str]

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form."""
        return dict(parse_qsl(self.text, keep_blank_values=True))

    @property
    def lower(self) -> dict[str, str]:
        """The header fields by their names in lower case."""
        return {name.lower(): value for name, value in self.headers.items()}

    def field(self, name: str) -> str:
        """One header field."""
        return self.lower[name.lower()]


class Refused(Exception):
    """The library says no without an exception of its own."""


def must(verdict: object) -> None:
    """Turn a False into an exception."""
    if not verdict:
        raise Refused


def adyen(request: Request) -> None:
    import Adyen

    for item in request.json["notificationItems"]:
        notification = {"notificationItems": [item]}
        must(Adyen.util.is_valid_hmac_notification(notification, request.secret))


def adyen_platform(request: Request) -> None:
    import Adyen

    must(Adyen.util.is_valid_hmac_payload(request.field("HmacSignature"), request.secret, request.body))


def airtable(request: Request) -> None:
    from pyairtable.models.webhook import WebhookNotification

    WebhookNotification.from_request(request.text, request.field("X-Airtable-Content-MAC"), request.secret)


def anthropic(request: Request) -> None:
    from anthropic import Anthropic

    client = Anthropic(api_key="none")
    client.beta.webhooks.unwrap(request.text, headers=request.lower, key=request.secret)


def box(request: Request) -> None:
    from box_sdk_gen.managers.webhooks import WebhooksManager

    must(WebhooksManager.validate_message(request.text, dict(request.lower), request.secret))


def braintree(request: Request) -> None:
    form = request.form
    _braintree_gateway(request).webhook_notification.parse(form["bt_signature"], form["bt_payload"])


def _braintree_gateway(request: Request) -> Any:
    import braintree

    configuration = braintree.Configuration(
        environment=braintree.Environment.Sandbox,
        merchant_id="merchant",
        public_key=request.parameters["public_key"],
        private_key=request.secret,
    )
    return braintree.BraintreeGateway(configuration)


def cloudinary(request: Request, algorithm: str = "sha1") -> None:
    import cloudinary
    from cloudinary.utils import verify_notification_signature

    cloudinary.config(api_secret=request.secret)
    signature, moment = request.field("X-Cld-Signature"), int(request.field("X-Cld-Timestamp"))
    must(verify_notification_signature(request.text, moment, signature, algorithm=algorithm))


def cloudinary_sha256(request: Request) -> None:
    cloudinary(request, "sha256")


def coinbase_commerce(request: Request) -> None:
    from coinbase_commerce.webhook import WebhookSignature

    WebhookSignature.verify_sig_header(request.text, request.field("X-CC-Webhook-Signature"), request.secret)


def discord(request: Request) -> None:
    from discord_interactions import verify_key

    signature, moment = request.field("X-Signature-Ed25519"), request.field("X-Signature-Timestamp")
    must(verify_key(request.body, signature, moment, request.secret))


def dropbox_sign(request: Request) -> None:
    from dropbox_sign import EventCallbackHelper, EventCallbackRequest

    content = request.text[request.text.index("{") : request.text.rindex("}") + 1]  # the only field of a form
    must(EventCallbackHelper.is_valid(request.secret, EventCallbackRequest.init(json.loads(content))))


def easypost(request: Request) -> None:
    from easypost.util import validate_webhook

    validate_webhook(request.body, {"X-Hmac-Signature": request.field("X-Hmac-Signature")}, request.secret)


def elevenlabs(request: Request) -> None:
    from elevenlabs.client import ElevenLabs

    client = ElevenLabs(api_key="none")
    client.webhooks.construct_event(request.text, request.field("ElevenLabs-Signature"), request.secret)


def fusionauth(request: Request) -> None:
    import hashlib

    import jwt

    claims = jwt.decode(request.field("X-FusionAuth-Signature-JWT"), request.secret, algorithms=["HS256"])
    must(claims["request_body_sha256"] == base64.b64encode(hashlib.sha256(request.body).digest()).decode())


def github(request: Request) -> None:
    from gidgethub.sansio import validate_event

    validate_event(request.body, signature=request.field("X-Hub-Signature-256"), secret=request.secret)


def gitlab(request: Request) -> None:
    from gidgetlab.sansio import Event

    Event.from_http(request.lower, request.body, secret=request.secret)


def gocardless(request: Request) -> None:
    from gocardless_pro import webhooks

    webhooks.parse(request.body, request.secret, request.field("Webhook-Signature"))


def google_pubsub(request: Request) -> None:
    from google.auth import jwt

    token = request.field("Authorization").removeprefix("Bearer ")
    certificate = {"": request.parameters["certificate"]}
    jwt.decode(token, certs=certificate, audience=request.parameters["audience"])


def hubspot(request: Request) -> None:
    from hubspot.utils.signature import Signature

    must(
        Signature.is_valid(
            signature=request.field("X-HubSpot-Signature-v3"),
            client_secret=request.secret,
            request_body=request.text,
            http_uri=request.url,
            http_method=request.method,
            signature_version="v3",
            timestamp=request.field("X-HubSpot-Request-Timestamp"),
        )
    )


def huggingface(request: Request) -> None:
    """Its server wraps each function so; what refuses is an answer."""
    import asyncio

    from huggingface_hub import _webhooks_server

    _webhooks_server.JSONResponse = lambda content, status_code: status_code
    _webhooks_server.Request = object

    async def receive() -> None:
        return None

    guarded = _webhooks_server._wrap_webhook_to_check_secret(receive, request.secret)
    must(asyncio.run(guarded(SimpleNamespace(headers=request.lower))) is None)


def hubspot_v1(request: Request) -> None:
    from hubspot.utils.signature import Signature

    must(
        Signature.is_valid(
            signature=request.field("X-HubSpot-Signature"),
            client_secret=request.secret,
            request_body=request.text,
            signature_version="v1",
        )
    )


def hubspot_v2(request: Request) -> None:
    from hubspot.utils.signature import Signature

    must(
        Signature.is_valid(
            signature=request.field("X-HubSpot-Signature"),
            client_secret=request.secret,
            request_body=request.text,
            http_uri=request.url,
            http_method=request.method,
            signature_version="v2",
        )
    )


def line(request: Request) -> None:
    from linebot.v3.webhook import SignatureValidator

    must(SignatureValidator(request.secret).validate(request.text, request.field("X-Line-Signature")))


def livekit(request: Request) -> None:
    import jwt
    from livekit.api import TokenVerifier, WebhookReceiver

    token = request.field("Authorization")
    issuer = jwt.decode(token, options={"verify_signature": False})["iss"]
    WebhookReceiver(TokenVerifier(issuer, request.secret)).receive(request.text, token)


def mailersend(request: Request) -> None:
    _anymail("mailersend", "MailerSendTrackingWebhookView", request, signing_secret=request.secret)


def mailgun(request: Request) -> None:
    _anymail("mailgun", "MailgunTrackingWebhookView", request, webhook_signing_key=request.secret)


def mandrill(request: Request) -> None:
    _anymail(
        "mandrill",
        "MandrillCombinedWebhookView",
        request,
        webhook_key=request.secret,
        webhook_url=request.url,
    )


def mailtrap(request: Request) -> None:
    _anymail("mailtrap", "MailtrapTrackingWebhookView", request, tracking_secret=request.secret)


def postal_sha1(request: Request) -> None:
    _anymail("postal", "PostalTrackingWebhookView", request, webhook_key=request.secret)


def brevo(request: Request) -> None:
    _anymail("brevo", "BrevoTrackingWebhookView", request, basic_auth=[request.secret])


def mailjet(request: Request) -> None:
    _anymail("mailjet", "MailjetTrackingWebhookView", request, basic_auth=[request.secret])


def sparkpost(request: Request) -> None:
    _anymail("sparkpost", "SparkPostTrackingWebhookView", request, basic_auth=[request.secret])


def postmark(request: Request) -> None:
    """Basic authentication, as all views of this library check it."""
    _anymail("postmark", "PostmarkTrackingWebhookView", request, basic_auth=[request.secret])


def _anymail(module: str, view: str, request: Request, basic_auth: object = (), **settings: object) -> None:
    import django
    from django.conf import settings as django_settings

    if not django_settings.configured:
        django_settings.configure(ALLOWED_HOSTS=["*"], USE_TZ=True, ANYMAIL={})
        django.setup()
    import importlib
    import warnings

    from django.core.handlers.wsgi import WSGIRequest

    warnings.simplefilter("ignore")
    address = urlsplit(request.url)
    environ = {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": address.path,
        "QUERY_STRING": address.query,
        "SERVER_NAME": address.hostname,
        "SERVER_PORT": str(address.port or 443),
        "wsgi.url_scheme": address.scheme,
        "CONTENT_TYPE": request.lower.get("content-type", ""),
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.input": io.BytesIO(request.body),
        **{"HTTP_" + name.upper().replace("-", "_"): value for name, value in request.headers.items()},
    }
    made = getattr(importlib.import_module(f"anymail.webhooks.{module}"), view)(**settings)
    if basic_auth:
        made.basic_auth = list(basic_auth)  # type: ignore[call-overload]
    made.validate_request(WSGIRequest(environ))


def mercado_pago(request: Request) -> None:
    from mercadopago.webhook.validator import WebhookSignatureValidator

    fields, query = request.lower, dict(parse_qsl(urlsplit(request.url).query))
    WebhookSignatureValidator.validate(
        fields["x-signature"], fields.get("x-request-id"), query.get("data.id"), request.secret
    )


def messagebird(request: Request) -> None:
    from messagebird.request_validator import RequestValidator

    validator = RequestValidator(request.secret)
    validator.validate_signature(request.field("MessageBird-Signature-JWT"), request.url, request.body)


def meta(request: Request) -> None:
    from pywa.utils import webhook_updates_validator

    must(webhook_updates_validator(request.secret, request.body, request.field("X-Hub-Signature-256")))


def modern_treasury(request: Request) -> None:
    from modern_treasury import ModernTreasury

    client = ModernTreasury(api_key="none", organization_id="none")
    must(client.webhooks.validate_signature(request.text, request.lower, key=request.secret))


def monday(request: Request) -> None:
    import jwt

    jwt.decode(request.field("Authorization"), request.secret, algorithms=["HS256"], audience=request.url)


def mollie(request: Request) -> None:
    from mollie.utils.webhooks import SignatureValidator

    must(
        SignatureValidator(request.secret).validate_payload(request.text, request.field("X-Mollie-Signature"))
    )


def netlify(request: Request) -> None:
    import hashlib

    import jwt

    token = request.field("X-Webhook-Signature")
    claims = jwt.decode(token, request.secret, algorithms=["HS256"], issuer="netlify")
    must(claims["sha256"] == hashlib.sha256(request.body).hexdigest())


def openai(request: Request) -> None:
    from openai import OpenAI

    OpenAI(api_key="none").webhooks.unwrap(request.text, request.lower, secret=request.secret)


def paddle(request: Request) -> None:
    from paddle_billing.Notifications import Secret, Verifier

    incoming = SimpleNamespace(
        body=request.body, content=request.body, data=request.body, headers=request.headers
    )
    must(Verifier(60).verify(incoming, Secret(request.secret)))


def paddle_classic(request: Request) -> None:
    """What is signed is told by the library, which does no more than that."""
    from phpserialize import dumps

    fields = request.form
    signature = base64.b64decode(fields.pop("p_signature"))
    _verify_rsa(request.secret, signature, dumps(dict(sorted(fields.items()))), "sha1")


def paypal(request: Request) -> None:
    """What is signed is told by the library, which checks it with a function that pyOpenSSL has no longer."""
    from paypalrestsdk.notifications import WebhookEvent

    signed = WebhookEvent._get_expected_sig(
        request.field("PAYPAL-TRANSMISSION-ID"),
        request.field("PAYPAL-TRANSMISSION-TIME"),
        request.parameters["webhook_id"],
        request.text,
    )
    signature = base64.b64decode(request.field("PAYPAL-TRANSMISSION-SIG"))
    _verify_rsa(request.secret, signature, signed.encode(), "sha256")


def _verify_rsa(public_key: str, signature: bytes, signed: bytes, digest: str) -> None:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA1, SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key: Any = load_pem_public_key(public_key.encode())
    key.verify(signature, signed, PKCS1v15(), {"sha1": SHA1, "sha256": SHA256}[digest]())


def plaid(request: Request) -> None:
    import hashlib

    import jwt

    key = jwt.PyJWK(json.loads(request.parameters["jwk"]))
    claims = jwt.decode(request.field("Plaid-Verification"), key, algorithms=["ES256"])
    must(claims["request_body_sha256"] == hashlib.sha256(request.body).hexdigest())


def plivo(request: Request) -> None:
    from plivo.utils import validate_v3_signature

    nonce, signature = request.field("X-Plivo-Signature-V3-Nonce"), request.field("X-Plivo-Signature-V3")
    must(validate_v3_signature(request.method, request.url, nonce, request.secret, signature, request.form))


def plivo_v2(request: Request) -> None:
    from plivo.utils import validate_signature

    nonce, signature = request.field("X-Plivo-Signature-V2-Nonce"), request.field("X-Plivo-Signature-V2")
    must(validate_signature(request.url, nonce, signature, request.secret))


def polar(request: Request) -> None:
    from polar.webhooks import _verify_signature

    _verify_signature(request.text, dict(request.headers), request.secret)


def pusher(request: Request) -> None:
    import pusher

    key = request.field("X-Pusher-Key")
    client = pusher.Pusher(app_id="1", key=key, secret=request.secret, cluster="eu")
    must(client.validate_webhook(key, request.field("X-Pusher-Signature"), request.text) is not None)


def razorpay(request: Request) -> None:
    import razorpay

    client = razorpay.Client(auth=("none", "none"))
    client.utility.verify_webhook_signature(
        request.text, request.field("X-Razorpay-Signature"), request.secret
    )


def replicate(request: Request) -> None:
    from replicate.webhook import Webhooks, WebhookSigningSecret

    Webhooks.validate(
        headers=request.lower,
        body=request.text,
        secret=WebhookSigningSecret(key=request.secret),
        tolerance=60,
    )


def resend(request: Request) -> None:
    import resend

    fields = {name: request.field(f"svix-{name}") for name in ("id", "timestamp", "signature")}
    resend.Webhooks.verify({"payload": request.text, "headers": fields, "webhook_secret": request.secret})


def sendgrid(request: Request) -> None:
    from sendgrid.helpers.eventwebhook import EventWebhook

    prefix = "X-Twilio-Email-Event-Webhook-"
    signature, moment = request.field(f"{prefix}Signature"), request.field(f"{prefix}Timestamp")
    must(EventWebhook(request.secret).verify_signature(request.text, signature, moment))


def sinch(request: Request) -> None:
    from sinch.domains.authentication.sinch_events.v1.authentication_validation import (
        validate_sinch_event_signature_with_nonce,
    )

    must(validate_sinch_event_signature_with_nonce(request.secret, request.lower, request.text))


def slack(request: Request) -> None:
    from slack_sdk.signature import SignatureVerifier

    must(SignatureVerifier(request.secret).is_valid_request(request.body, dict(request.headers)))


def square(request: Request) -> None:
    from square.utils.webhooks_helper import verify_signature

    must(
        verify_signature(
            request_body=request.text,
            signature_header=request.field("x-square-hmacsha256-signature"),
            signature_key=request.secret,
            notification_url=request.url,
        )
    )


def standard_webhooks(request: Request) -> None:
    from standardwebhooks import Webhook

    Webhook(request.secret).verify(request.body, request.lower)


def stripe(request: Request) -> None:
    from stripe import WebhookSignature

    WebhookSignature.verify_header(request.text, request.field("Stripe-Signature"), request.secret, 300)


def svix(request: Request) -> None:
    from svix import Webhook

    Webhook(request.secret).verify(request.body, request.lower)


def telegram(request: Request) -> None:
    from aiogram.webhook.aiohttp_server import SimpleRequestHandler

    receiver = SimpleNamespace(secret_token=request.secret)
    must(SimpleRequestHandler.verify_secret(receiver, request.field("X-Telegram-Bot-Api-Secret-Token"), None))


def telnyx(request: Request) -> None:
    from telnyx import Telnyx

    Telnyx(api_key="none", public_key=request.secret).webhooks.unwrap(request.text, headers=request.lower)


def twilio(request: Request) -> None:
    from twilio.request_validator import RequestValidator

    content = request.form if "form" in request.field("Content-Type") else request.text
    must(RequestValidator(request.secret).validate(request.url, content, request.field("X-Twilio-Signature")))


def twitch(request: Request) -> None:
    import asyncio

    from twitchAPI.eventsub.webhook import EventSubWebhook

    async def text() -> str:
        return request.text

    headers = {name.title(): value for name, value in request.headers.items()}
    incoming = SimpleNamespace(headers=headers, text=text)
    receiver = SimpleNamespace(secret=request.secret)
    must(asyncio.run(EventSubWebhook._verify_signature(receiver, incoming)))


def vonage(request: Request) -> None:
    import hashlib

    import jwt
    from vonage_jwt.verify_jwt import verify_signature

    token = request.field("Authorization").removeprefix("Bearer ")
    must(verify_signature(token, request.secret))
    claims = jwt.decode(token, options={"verify_signature": False})
    must(claims["payload_hash"] == hashlib.sha256(request.body).hexdigest())


def wix(request: Request) -> None:
    import jwt

    jwt.decode(request.text, request.secret, algorithms=["RS256"])


def workos(request: Request) -> None:
    from workos.webhooks._verification import verify_event

    verify_event(
        event_body=request.body, event_signature=request.field("WorkOS-Signature"), secret=request.secret
    )


VERIFIERS: dict[str, tuple[str, Callable[[Request], None]]] = {
    "adyen": ("Adyen", adyen),
    "adyen_platform": ("Adyen", adyen_platform),
    "airtable": ("pyairtable", airtable),
    "anthropic": ("anthropic", anthropic),
    "bigcommerce": ("standardwebhooks", standard_webhooks),
    "box": ("boxsdk", box),
    "braintree": ("braintree", braintree),
    "brevo": ("django-anymail", brevo),
    "clerk": ("svix", svix),
    "cloudinary": ("cloudinary", cloudinary),
    "cloudinary_sha256": ("cloudinary", cloudinary_sha256),
    "coinbase_commerce": ("coinbase-commerce", coinbase_commerce),
    "discord": ("discord-interactions", discord),
    "dropbox_sign": ("dropbox-sign", dropbox_sign),
    "easypost": ("easypost", easypost),
    "elevenlabs": ("elevenlabs", elevenlabs),
    "fusionauth": ("PyJWT", fusionauth),
    "github": ("gidgethub", github),
    "gitlab": ("gidgetlab", gitlab),
    "gitlab_signed": ("standardwebhooks", standard_webhooks),
    "gocardless": ("gocardless-pro", gocardless),
    "google_pubsub": ("google-auth", google_pubsub),
    "hubspot": ("hubspot-api-client", hubspot),
    "hubspot_v1": ("hubspot-api-client", hubspot_v1),
    "hubspot_v2": ("hubspot-api-client", hubspot_v2),
    "huggingface": ("huggingface_hub", huggingface),
    "line": ("line-bot-sdk", line),
    "livekit": ("livekit-api", livekit),
    "mailersend": ("django-anymail", mailersend),
    "mailgun": ("django-anymail", mailgun),
    "mailjet": ("django-anymail", mailjet),
    "mailtrap": ("django-anymail", mailtrap),
    "mandrill": ("django-anymail", mandrill),
    "mercado_pago": ("mercadopago", mercado_pago),
    "messagebird": ("messagebird", messagebird),
    "meta": ("pywa", meta),
    "modern_treasury": ("modern-treasury", modern_treasury),
    "mollie": ("mollie-api-py", mollie),
    "monday": ("PyJWT", monday),
    "netlify": ("PyJWT", netlify),
    "openai": ("openai", openai),
    "paddle": ("paddle-python-sdk", paddle),
    "paddle_classic": ("phpserialize", paddle_classic),
    "paypal": ("paypalrestsdk", paypal),
    "plaid": ("PyJWT", plaid),
    "plivo": ("plivo", plivo),
    "plivo_v2": ("plivo", plivo_v2),
    "polar": ("polar-sdk", polar),
    "postal_sha1": ("django-anymail", postal_sha1),
    "postmark": ("django-anymail", postmark),
    "pusher": ("pusher", pusher),
    "razorpay": ("razorpay", razorpay),
    "replicate": ("replicate", replicate),
    "resend": ("resend", resend),
    "sendgrid": ("sendgrid", sendgrid),
    "sinch": ("sinch", sinch),
    "slack": ("slack-sdk", slack),
    "sparkpost": ("django-anymail", sparkpost),
    "square": ("squareup", square),
    "standard_webhooks": ("standardwebhooks", standard_webhooks),
    "stripe": ("stripe", stripe),
    "supabase": ("standardwebhooks", standard_webhooks),
    "svix": ("svix", svix),
    "telegram": ("aiogram", telegram),
    "telnyx": ("telnyx", telnyx),
    "twilio": ("twilio", twilio),
    "twitch": ("twitchAPI", twitch),
    "vonage": ("vonage-jwt", vonage),
    "wix": ("PyJWT", wix),
    "workos": ("workos", workos),
}
"""The library that each adapter's sender publishes or recommends."""


Signed = tuple[dict[str, str], bytes]
"""The header fields that a library makes, and the body."""


def _sign_adyen(request: Request) -> Signed:
    import Adyen

    content = request.json
    for wrapped in content["notificationItems"]:
        item = wrapped["NotificationRequestItem"]
        signature = Adyen.util.generate_notification_sig(item, request.secret).decode()
        item.setdefault("additionalData", {})["hmacSignature"] = signature
    return {}, json.dumps(content).encode()


def _sign_braintree(request: Request) -> Signed:
    from urllib.parse import urlencode

    made = _braintree_gateway(request).webhook_testing.sample_notification("subscription_canceled", "sub_1")
    return {}, urlencode(made).encode()


def _sign_hubspot(request: Request) -> Signed:
    moment = str(int(datetime.now(UTC).timestamp() * 1000))
    signature = _hubspot_signature(request, "v3", timestamp=moment)
    return {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": moment}, request.body


def _sign_hubspot_v1(request: Request) -> Signed:
    return {"X-HubSpot-Signature": _hubspot_signature(request, "v1")}, request.body


def _sign_hubspot_v2(request: Request) -> Signed:
    return {"X-HubSpot-Signature": _hubspot_signature(request, "v2")}, request.body


def _hubspot_signature(request: Request, version: str, **more: str) -> str:
    from hubspot.utils.signature import Signature

    signature: str = Signature.get_signature(
        client_secret=request.secret,
        request_body=request.text,
        signature_version=version,
        http_uri=request.url,
        http_method=request.method,
        **more,
    )
    return signature


def _sign_livekit(request: Request) -> Signed:
    import hashlib

    from livekit.api import AccessToken

    digest = base64.b64encode(hashlib.sha256(request.body).digest()).decode()
    return {"Authorization": AccessToken("key", request.secret).with_sha256(digest).to_jwt()}, request.body


def _sign_modern_treasury(request: Request) -> Signed:
    from modern_treasury import ModernTreasury

    client = ModernTreasury(api_key="none", organization_id="none")
    return {"X-Signature": client.webhooks.get_signature(request.text, key=request.secret)}, request.body


def _sign_mollie(request: Request) -> Signed:
    from mollie.utils.webhooks import SignatureValidator

    signature = SignatureValidator.create_signature(request.text, request.secret)
    return {"X-Mollie-Signature": f"sha256={signature.removeprefix('sha256=')}"}, request.body


def _sign_sinch(request: Request) -> Signed:
    from sinch.domains.authentication.sinch_events.v1 import authentication_validation as library

    moment = str(int(datetime.now(UTC).timestamp()))
    text = library.compute_signed_data(request.text, "nonce", moment)
    prefix = "x-sinch-webhook-signature"
    signature = library.calculate_sinch_event_signature(text, request.secret)
    return {prefix: signature, f"{prefix}-nonce": "nonce", f"{prefix}-timestamp": moment}, request.body


def _sign_slack(request: Request) -> Signed:
    from slack_sdk.signature import SignatureVerifier

    moment = str(int(datetime.now(UTC).timestamp()))
    signature = SignatureVerifier(request.secret).generate_signature(timestamp=moment, body=request.body)
    return {"X-Slack-Signature": str(signature), "X-Slack-Request-Timestamp": moment}, request.body


def _sign_standard_webhooks(request: Request) -> Signed:
    from standardwebhooks import Webhook

    return _standard_webhooks_signed(request, Webhook(request.secret), "webhook-")


def _sign_svix(request: Request) -> Signed:
    from svix import Webhook

    return _standard_webhooks_signed(request, Webhook(request.secret), "svix-")


def _standard_webhooks_signed(request: Request, library: Any, prefix: str) -> Signed:
    now = datetime.now(UTC)
    signature = library.sign("msg_oracle", now, request.text)
    fields = {"id": "msg_oracle", "timestamp": str(int(now.timestamp())), "signature": signature}
    return {prefix + name: value for name, value in fields.items()}, request.body


def _sign_stripe(request: Request) -> Signed:
    from stripe import WebhookSignature

    moment = int(datetime.now(UTC).timestamp())
    header = WebhookSignature.generate_signature_header(request.text, request.secret, moment)
    return {"Stripe-Signature": header}, request.body


def _sign_twilio(request: Request) -> Signed:
    from twilio.request_validator import RequestValidator

    signature = RequestValidator(request.secret).compute_signature(request.url, request.form)
    return {"X-Twilio-Signature": signature}, request.body


SIGNERS: dict[str, tuple[str, Callable[[Request], Signed]]] = {
    "adyen": ("Adyen", _sign_adyen),
    "bigcommerce": ("standardwebhooks", _sign_standard_webhooks),
    "braintree": ("braintree", _sign_braintree),
    "clerk": ("svix", _sign_svix),
    "gitlab_signed": ("standardwebhooks", _sign_standard_webhooks),
    "hubspot": ("hubspot-api-client", _sign_hubspot),
    "hubspot_v1": ("hubspot-api-client", _sign_hubspot_v1),
    "hubspot_v2": ("hubspot-api-client", _sign_hubspot_v2),
    "livekit": ("livekit-api", _sign_livekit),
    "modern_treasury": ("modern-treasury", _sign_modern_treasury),
    "mollie": ("mollie-api-py", _sign_mollie),
    "resend": ("svix", _sign_svix),
    "sinch": ("sinch", _sign_sinch),
    "slack": ("slack-sdk", _sign_slack),
    "standard_webhooks": ("standardwebhooks", _sign_standard_webhooks),
    "stripe": ("stripe", _sign_stripe),
    "supabase": ("standardwebhooks", _sign_standard_webhooks),
    "svix": ("svix", _sign_svix),
    "twilio": ("twilio", _sign_twilio),
}
"""The libraries that can also sign."""


def _request(job: Mapping[str, Any]) -> Request:
    return Request(
        job["method"],
        job["url"],
        job["headers"],
        base64.b64decode(job["body"]),
        job["secret"],
        job["parameters"],
    )


def judge(job: Mapping[str, Any]) -> dict[str, str | None]:
    """The verdict on one request."""
    package, verify = VERIFIERS[job["adapter"]]
    by = f"{package} {version(package)} (PyPI)"
    try:
        verify(_request(job))
    except Exception as error:  # whatever a library raises is its way to refuse
        return {"by": by, "refused": f"{type(error).__name__}: {error}"[:200]}
    return {"by": by, "refused": None}


def sign(job: Mapping[str, Any]) -> dict[str, Any]:
    """One request as the library signs it."""
    package, make = SIGNERS[job["adapter"]]
    headers, body = make(_request(job))
    return {
        "by": f"{package} {version(package)} (PyPI)",
        "headers": headers,
        "body": base64.b64encode(body).decode(),
    }


def main() -> None:
    """Do what standard input asks for; only tell what can be asked when that is empty."""
    asked = sys.stdin.read()
    answer: dict[str, Any] = {"verify": sorted(VERIFIERS), "sign": sorted(SIGNERS)}
    if asked.strip():
        jobs = json.loads(asked)
        with contextlib.redirect_stdout(sys.stderr):  # libraries that talk would spoil the answer
            answer = {
                "verify": [judge(job) for job in jobs["verify"]],
                "sign": [sign(job) for job in jobs["sign"]],
            }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
