"""One type of a provider's events, and what is read from each of them besides its id.

Which subject, which time and which summaries belong to a type is decided once, when its first event arrives.
"""

from __future__ import annotations

from gateway.adapters.spec import AdapterSpec
from gateway.adapters.summary import compile_summaries
from gateway.signatures.extractors import compile_by_type


class EventType:
    """The name of a type, and functions that read the events of that type.

    Attributes:
        name: the provider's word, such as ``pull_request.opened``.
        time: reads when an event happened; None if the provider does not say.
        subject: reads what an event is about; None if the provider does not say.
        summarise: makes the summary of an event; None if no summary is described.
    """

    __slots__ = ("name", "subject", "summarise", "time")

    def __init__(self, name: str, spec: AdapterSpec) -> None:
        self.name = name
        self.time = compile_by_type(spec.time, name) if spec.time else None
        self.subject = compile_by_type(spec.subject, name) if spec.subject else None
        self.summarise = compile_summaries(spec.summary, name) if spec.summary else None
