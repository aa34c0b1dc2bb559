"""The parts of a CloudEvent that a request in the provider's own format is made of."""

from __future__ import annotations

from base64 import b64decode

import msgspec

from gateway.outbound.outcomes import Outcome

_JSON_DATA = b',"datacontenttype":"application/json","data":'
"""What precedes the provider's bytes in an event of this gateway. Within a text its quotes would be escaped."""


class NoSuchFormat(Exception):
    """Raised when an event has no body of the wanted format. The text says why, without a value of the event.

    Attributes:
        outcome: The word for the attempt.
    """

    outcome = Outcome.FORMAT


class Original(msgspec.Struct, frozen=True):
    """An event of a provider.

    Attributes:
        adapter: The adapter that has read it; empty for an event of an agent.
        provider: The provider's key in the configuration.
        id: Its id.
        eventtype: Its type, as the provider spells it.
        deliveryid: The id of its delivery; empty if there is none.
        account: The account that it belongs to; empty if it is unknown.
        datacontenttype: The media type of its data; empty if it has none.
        data: Its data in JSON; empty if that is of another type.
        data_base64: Its data in base64, if they are not JSON.
    """

    id: str
    adapter: str = ""
    provider: str = ""
    eventtype: str = ""
    deliveryid: str = ""
    account: str = ""
    datacontenttype: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")
    data_base64: str = ""

    @property
    def content(self) -> bytes:
        """The data that are not JSON, or nothing."""
        return b64decode(self.data_base64)


_decode = msgspec.json.Decoder(Original).decode


def read_original(body: bytes) -> tuple[Original, bytes]:
    """Return a provider's event, and its data in JSON with the white space that the provider had around them.

    Raises:
        NoSuchFormat: It is not an event of a provider.
    """
    try:
        event = _decode(body)
    except msgspec.MsgspecError:
        raise NoSuchFormat("is no CloudEvent of this gateway") from None
    if not event.adapter:
        raise NoSuchFormat("does not come from a provider, so that it has no original")
    data = bytes(event.data)
    _, marker, rest = body.partition(_JSON_DATA)
    whole = rest[:-1]
    return event, whole if marker and whole.strip() == data else data
