"""One event: its timeline, its payload, and the answer for an id that the journal does not have."""

from gateway.operations.event_view import event_view
from gateway.operations.missing_events import not_found
from gateway.operations.payloads import payload

__all__ = ["event_view", "not_found", "payload"]
