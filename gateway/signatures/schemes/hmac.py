"""HMAC over a template of the request: the scheme of most senders, described entirely in YAML.

It covers the plain ``sha256=<hex of the body>`` of GitHub, the ``t=…,v1=…`` list of Stripe, signatures in the query or
the body, digests of a text that contains the secret, and nearly everything in between. The signature covers what its
``signed`` template names and nothing else: a relay can change any header that is not in the template.
Sources: https://www.rfc-editor.org/rfc/rfc2104 and the page of each sender (``docs`` in ``providers/*.yaml``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from typing_extensions import override

from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS, Scheme, Verifier
from gateway.signatures.schemes.encodings import ENCODERS
from gateway.signatures.schemes.hmac_description import HmacDescription
from gateway.signatures.schemes.hmac_general_verifier import GeneralHmacVerifier
from gateway.signatures.schemes.hmac_rule import HmacRule
from gateway.signatures.schemes.hmac_verifier import HmacVerifier
from gateway.signatures.schemes.layout import PLAIN, Draft, Layout, listed
from gateway.signatures.schemes.signed import Signed

_PATH = re.compile(r"\{(?:body|item):[^{}]*/([^{}/]*)\}")
"""A place in the body, of which a description for people names only the last step."""


class HmacSpec(HmacDescription):
    """How a provider signs with HMAC."""

    @override
    def scheme_for(self, layout: Layout) -> HmacScheme:
        return HmacScheme(self, layout)

    @override
    def describe(self) -> str:
        digest = f"HMAC-{self.algorithm}" if self.construction == "hmac" else self.algorithm
        places = " or ".join(listed(self.place) or self.headers)
        signed = _PATH.sub(r"{\1}", self.signed)
        return f"{digest} of {signed}, {self.encoding} in {places}"


class HmacScheme(Scheme):
    """The scheme of an :class:`HmacSpec`, for bodies of one layout."""

    def __init__(self, spec: HmacSpec, layout: Layout = PLAIN) -> None:
        self._rule = HmacRule(spec, layout)

    @override
    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> Verifier:
        keys = [self._rule.key_of(secret) for secret in secrets]
        return (
            HmacVerifier(self._rule, keys) if self._rule.is_plain else GeneralHmacVerifier(self._rule, keys)
        )

    @override
    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        rule = self._rule
        spec, key = rule.spec, rule.key_of(secret)
        digest = rule.prepare(key)
        moment = ""
        draft = Draft(request, rule.layout, needs_payload=rule.needs_payload or rule.has_timestamp_in_body)
        if spec.timestamp and rule.timestamp:
            moment = rule.timestamp.write(now)
            for context in draft.contexts(is_itemwise=rule.is_itemwise):
                header = None if spec.timestamp.place else spec.timestamp.header
                draft.write(header, spec.timestamp.place, moment, context)
        unsigned = draft.request()
        for context in draft.contexts(is_itemwise=rule.is_itemwise):
            message = rule.template.render(unsigned, moment.encode(), key, context)
            signature = spec.prefix + ENCODERS[spec.encoding](digest([message])).decode()
            elements = [signature]
            if spec.timestamp and spec.timestamp.is_in_signature:
                elements.insert(spec.timestamp.position or 0, f"{spec.timestamp.element or ''}{moment}")
            text = (spec.separator or "").join(elements)
            draft.write(spec.headers[0] if spec.headers else None, spec.place, text, context)
        return draft.signed()
