"""The quarantine of what agents have published: what is no CloudEvent, or one that cannot be delivered."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.config import Config
from gateway.events.message import Message
from gateway.events.validation import UNKNOWN, Validation
from gateway.outbound.cloudevent import NotAnEvent, read_agent_event
from gateway.outbound.intake import AGENTS_EXCHANGE
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.dead_letters.quarantine import released_message, without_violations


def agents_of(config: Config) -> Config:
    """Return the configuration with the exchange of agents in place of the gateway's own, and without its archive."""
    return config.model_copy(
        update={
            "rabbitmq": config.rabbitmq.model_copy(update={"exchange": AGENTS_EXCHANGE}),
            "archive": config.archive.model_copy(update={"enabled": False}),
        }
    )


class AgentRevalidator:
    """Reads quarantined events of agents again, as the way out does."""

    def validate(self, letter: DeadLetter) -> Validation:
        """Read an event; the violations say why it cannot be delivered."""
        try:
            read_agent_event(letter.body)
        except NotAnEvent as error:
            return Validation(None, str(error))
        return UNKNOWN

    def can_be_forced(self, validation: Validation) -> bool:
        """Return False: what cannot be delivered would be quarantined again."""
        del validation
        return False

    def released(self, letter: DeadLetter, exchange: str, validation: Validation) -> Message:
        """Return the message that releases an event, with its bytes unchanged: they are what the agent has emitted."""
        return replace(released_message(without_violations(letter), exchange, validation), body=letter.body)
