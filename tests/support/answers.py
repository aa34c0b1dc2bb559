"""The answer that each provider needs, written apart from the adapters so that both must agree."""

from __future__ import annotations

ANY_2XX = frozenset(
    (
        "anthropic", "asana", "azure_event_grid", "braintree", "calendly", "checkout_com", "circleci", "clerk",
        "cloudevents", "cloudevents_query", "gitea", "github", "google_pubsub", "hmac", "microsoft_graph", "mux", "openai",
        "pagerduty", "paypal", "pusher", "razorpay", "recurly", "sendgrid", "square", "standard_webhooks", "stripe",
        "svix", "telnyx", "twitch", "typeform",
    )
)  # fmt: skip
"""Those whose documentation says that any 2xx is a success, and senders that an operator describes."""

ACKNOWLEDGED = (
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><notificationsResponse '
    'xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse></soapenv:Body>'
    "</soapenv:Envelope>"
)
EMPTY = (
    "airtable", "coinbase_commerce", "fastspring", "mailgun", "mailjet", "meta", "monday", "monday_token", "postmark",
    "slack", "sparkpost", "sparkpost_token", "telegram", "wix", "xero",
)  # fmt: skip
DEMANDED: dict[str, tuple[int, str]] = {
    **dict.fromkeys(EMPTY, (200, "")),
    **dict.fromkeys(("discord", "fitbit", "okta"), (204, "")),
    "adyen": (200, "[accepted]"),
    "dropbox_sign": (200, "Hello API Event Received"),
    "ms_teams_outgoing": (200, '{"type": "message", "text": "Received."}'),
    "salesforce_outbound": (200, ACKNOWLEDGED),
    "supabase": (200, "{}"),
    "twilio": (200, "<Response/>"),
}
"""The status and the body that others demand."""


def answer_to(name: str, status: str) -> tuple[int, str | None]:
    """Return the status and the body that a provider needs; None for the gateway's own body."""
    if name in DEMANDED:
        return DEMANDED[name]
    return (202 if name in ANY_2XX and status in {"accepted", "quarantined"} else 200), None
