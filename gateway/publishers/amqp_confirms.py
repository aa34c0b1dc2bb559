"""What a publishing connection knows about each message until the broker confirms it."""

from __future__ import annotations

import asyncio

import msgspec

from gateway.publishers import PublishUnavailable


class UnconfirmedMessage(msgspec.Struct, eq=False):
    """A message that was sent and is not confirmed.

    Attributes:
        confirm: Done when the broker confirms; also when its request was cancelled, or the confirm is overdue.
        sent_at: When it was published, on the connection's clock.
        message_id: The CloudEvents id, by which a returned message is found.
        late: What :class:`gateway.publishers.ConfirmOverdue` carries, once the confirm is overdue.
    """

    confirm: asyncio.Future[None]
    sent_at: float
    message_id: str
    late: asyncio.Future[None] | None = None

    def settle(self, *, is_ack: bool) -> None:
        """Report the broker's ack or nack to the caller, or to the spool if nobody waits."""
        if self.late is not None:
            if is_ack and not self.late.done():
                self.late.set_result(None)
            self.late.cancel()
        elif self.confirm.done():  # returned, or its request was cancelled
            pass
        elif is_ack:
            self.confirm.set_result(None)
        else:
            self.confirm.set_exception(PublishUnavailable("refused by the broker (nack)"))

    def refuse(self, cause: str) -> None:
        """Report that the broker did not take the message over."""
        if self.late is not None:
            self.late.cancel()
        elif not self.confirm.done():
            self.confirm.set_exception(PublishUnavailable(cause))
