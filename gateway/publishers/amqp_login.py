"""How a publishing connection introduces itself to RabbitMQ."""

from __future__ import annotations

from pamqp import commands
from pamqp.common import FieldTable

from gateway.events.message import APP_ID
from gateway.transport.amqp_url import BrokerUrl

_CAPABILITIES: FieldTable = {
    "publisher_confirms": True,
    "basic.nack": True,
    "connection.blocked": True,
    "authentication_failure_close": True,  # otherwise a wrong password closes the socket without a reason
}


def login(url: BrokerUrl) -> commands.Connection.StartOk:
    """Return the answer to the broker's ``connection.start``: who connects, and what the client understands."""
    properties: FieldTable = {"product": APP_ID, "capabilities": _CAPABILITIES}
    if url.is_external:
        return commands.Connection.StartOk(properties, "EXTERNAL", "", "en_US")
    return commands.Connection.StartOk(properties, "PLAIN", f"\0{url.user}\0{url.password}", "en_US")
