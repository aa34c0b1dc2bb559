"""The patches. Each does what a careless change could do, and names the test that is there against it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class StalePatchError(Exception):
    """A patch does not fit the product or the tests any more."""


@dataclass(frozen=True)
class Patch:
    """One act of sabotage.

    Attributes:
        title: what the product does wrong with it.
        file: the file that is changed, from the root of the repository.
        old: the text that is replaced; it stands in the file exactly once.
        new: what it is replaced by.
        test: the test that fails then, as ``file::name``.
    """

    title: str
    file: str
    old: str
    new: str
    test: str

    def apply(self, root: Path) -> str:
        """Change the file below ``root``, and return its text from before.

        Raises:
            StalePatchError: the text to replace is not there once.
        """
        text = self._read(root)
        (root / self.file).write_text(text.replace(self.old, self.new), "utf-8")
        return text

    def check(self, root: Path) -> None:
        """See whether it still fits.

        Raises:
            StalePatchError: the text to replace is not there once, or the test is not there.
        """
        self._read(root)
        file, _, name = self.test.partition("::")
        if name.partition("[")[0] not in _tests_in(root / file):
            raise StalePatchError(f"{self.title}: there is no {self.test}")

    def _read(self, root: Path) -> str:
        path = root / self.file
        text = path.read_text("utf-8") if path.exists() else ""
        if text.count(self.old) != 1:
            raise StalePatchError(f"{self.title}: {text.count(self.old)} times in {self.file}:\n{self.old}")
        return text


@lru_cache
def _tests_in(file: Path) -> frozenset[str]:
    if not file.exists():
        return frozenset()
    nodes = ast.parse(file.read_text("utf-8")).body
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


_CONTRACT = "tests/providers/test_contract.py"
_CLAIMS = "tests/gateway/test_claims.py"
_PIPELINE = "tests/gateway/test_pipeline.py"
_BATCHES = "tests/gateway/test_batches.py"
_CONNECTION = "tests/gateway/test_publish_connection.py"
_GREETER = "tests/providers/test_handshakes.py"
_HANDSHAKES = "tests/gateway/test_handshakes.py"
_JWT = "tests/providers/test_jwt.py"
_SCHEMES = "tests/providers/test_schemes.py"
_FETCHED = "tests/providers/test_fetched_keys.py"
_KEYS = "tests/gateway/test_keys.py"
_BREAKER = "tests/gateway/test_breaker.py"
_SPOOL = "tests/gateway/test_spool.py"
_BENT = "tests/hostile/test_http.py::test_bent_http_gets_its_answer"
_ENCODED = f"{_CONNECTION}::test_any_event_is_encoded_as_the_specification_has_it"
_SETTLED = f"{_CONNECTION}::test_answers_of_the_broker_settle_the_right_publishes"

PATCHES = (
    # --- who sent this ---------------------------------------------------------------------------
    Patch(
        "any signature of the right length is accepted",
        "providers/schemes/hmac_verifier.py",
        "if hmac.compare_digest(expected, candidate):\n                    matched = slot\n",
        "if candidate:\n                    matched = slot\n",
        f"{_CONTRACT}::test_a_signature_of_another_secret_is_refused",
    ),
    Patch(
        "only the beginning of a signature is compared",
        "providers/schemes/hmac_verifier.py",
        "if hmac.compare_digest(expected, candidate):\n                    matched = slot\n",
        "if hmac.compare_digest(expected[:8], candidate[:8]):\n                    matched = slot\n",
        f"{_CONTRACT}::test_a_garbled_signature_does_not_match",
    ),
    Patch(
        "signatures are compared in a time that tells how much is right",
        "providers/schemes/hmac_verifier.py",
        "if hmac.compare_digest(expected, candidate):\n                    matched = slot\n",
        "if expected == candidate:\n                    matched = slot\n",
        f"{_CONTRACT}::test_all_is_compared_with_all_in_constant_time",
    ),
    Patch(
        "without a signature there is nothing to check",
        "providers/schemes/hmac_verifier.py",
        '        value = single(request.headers, self._names[0], "signature_missing")\n',
        '        if not request.headers.get(self._names[0]):\n            return 0\n        value = single(request.headers, self._names[0], "signature_missing")\n',
        f"{_CONTRACT}::test_without_its_header_it_is_missing",
    ),
    Patch(
        "of two signature headers the first counts",
        "providers/schemes/scheme.py",
        '    if headers.is_repeated(name):\n        raise SignatureRejected("signature_ambiguous")\n'
        "    value = headers.get(name)\n",
        "    value = next(iter(headers.all(name)), None)\n",
        f"{_CONTRACT}::test_a_repeated_header_is_ambiguous",
    ),
    Patch(
        "any number of signatures is tried",
        "providers/schemes/hmac_verifier.py",
        "if len(found) > self._max_candidates:",
        "if len(found) > 1000:",
        f"{_CONTRACT}::test_too_many_signatures_are_not_looked_at",
    ),
    Patch(
        "only the first secret is tried",
        "providers/schemes/hmac_verifier.py",
        "for slot in range(len(self._keys) - 1, -1, -1):\n            expected = ",
        "for slot in range(1):\n            expected = ",
        f"{_CONTRACT}::test_while_rotating_either_secret_is_accepted",
    ),
    Patch(
        "the timestamp may be of any age",
        "providers/schemes/scheme.py",
        "if age > tolerance:",
        "if age > 1000 * tolerance:",
        f"{_CONTRACT}::test_one_unit_beyond_the_tolerance_is_refused",
    ),
    Patch(
        "the timestamp may be in the future",
        "providers/schemes/scheme.py",
        "if -age > tolerance:",
        "if -age > 1000 * tolerance:",
        f"{_CONTRACT}::test_one_unit_beyond_the_tolerance_is_refused",
    ),
    Patch(
        "of two timestamps in one header the first counts",
        "providers/schemes/hmac_verifier.py",
        "if len(moments) != 1:",
        "if not moments:",
        f"{_CONTRACT}::test_two_timestamps_in_one_header_are_ambiguous",
    ),
    Patch(
        "the timestamp is not among what is signed",
        "providers/schemes/template.py",
        'return b"%b.%b" % (moment, request.body)',
        "return request.body",
        f"{_CONTRACT}::test_we_sign_as_the_oracle_does",
    ),
    Patch(
        "a timestamp is what int() takes",
        "providers/schemes/scheme.py",
        "if len(text) > longest or not text.isdigit():",
        'if len(text) > longest or not text.strip().replace(b"_", b"").isdigit():',
        f"{_CONTRACT}::test_a_timestamp_that_is_not_digits_is_malformed",
    ),
    Patch(
        "an empty secret is a key",
        "providers/secrets.py",
        "    if not key:\n",
        "    if key is None:\n",
        "tests/providers/test_secrets.py::test_an_empty_key_is_refused",
    ),
    Patch(
        "a refused secret is told",
        "providers/secrets.py",
        'raise SecretFormatError("is not base64")',
        'raise SecretFormatError(f"{text} is not base64")',
        "tests/providers/test_secrets.py::test_the_error_does_not_tell_the_secret",
    ),
    Patch(
        "a message id may have dots, and end where one likes",
        "providers/schemes/standard_webhooks.py",
        'if b"." in message_id:',
        'if b" " in message_id:',
        f"{_CONTRACT}::test_an_id_with_a_dot_is_refused",
    ),
    Patch(
        "a public-key signature is read and not checked",
        "providers/schemes/standard_webhooks.py",
        "public_key.verify(signature, message)",
        "public_key.public_bytes_raw()",
        f"{_CONTRACT}::test_a_signature_of_another_secret_is_refused",
    ),
    Patch(
        "a signature need not cover the body",
        "providers/schemes/hmac.py",
        "if self.binds_body and not signs_body:",
        "if self.binds_body and not fields:",
        "tests/providers/test_spec.py::test_a_signature_that_leaves_out_the_body_is_refused",
    ),
    Patch(
        "anybody can make a verified request",
        "providers/request.py",
        "if proof is not PROOF:",
        "if proof is None:",
        "tests/providers/test_verified_request.py::test_a_verified_request_needs_the_proof",
    ),
    Patch(
        "the answer tells what is wrong with a signature",
        "providers/rejections.py",
        "        super().__init__(fault)\n        self.fault = fault\n",
        "        super().__init__(fault)\n        self.fault = fault\n        self.reason = fault\n",
        f"{_PIPELINE}::test_all_signature_failures_have_one_answer",
    ),
    Patch(
        "an event id may be anything",
        "providers/identity.py",
        "if type(text) is not str or not _EVENT_ID.fullmatch(text):",
        "if type(text) is not str or not text:",
        "tests/providers/test_identify.py::test_an_unusable_event_id_is_refused",
    ),
    Patch(
        "of several signed places only the first is checked",
        "providers/schemes/hmac_verifier.py",
        "for delivery in self._deliveries(request)]\n            if not slots:",
        "for delivery in self._deliveries(request)[:1]]\n            if not slots:",
        f"{_SCHEMES}::test_every_event_of_a_batch_must_be_signed",
    ),
    Patch(
        "a list without events needs no signature",
        "providers/schemes/hmac_verifier.py",
        '            if not slots:\n                raise SignatureRejected("signature_missing")\n            return slots[0]\n',
        "            return slots[0] if slots else 0\n",
        f"{_SCHEMES}::test_every_event_of_a_batch_must_be_signed",
    ),
    Patch(
        "an old group of signatures borrows the moment of another",
        "providers/schemes/hmac_verifier.py",
        "matched, matched_at = slot, seconds",
        "matched, matched_at = slot, max(matched_at, seconds, now - 1)",
        f"{_SCHEMES}::test_an_old_group_does_not_lend_its_moment_to_another",
    ),
    Patch(
        "of two signatures in the query or a form the first counts",
        "providers/schemes/forms.py",
        "    if len(values) > 1:\n",
        "    if len(values) > 1000:\n",
        f"{_SCHEMES}::test_a_repeated_parameter_is_ambiguous",
    ),
    Patch(
        "a form may have a signed field twice",
        "providers/schemes/template.py",
        "if len({name for name, _ in fields}) != len(fields):",
        "if not fields:",
        f"{_SCHEMES}::test_a_repeated_field_is_ambiguous",
    ),
    Patch(
        "a form may say that it is something else",
        "providers/schemes/forms.py",
        "if media_type(request.headers) != FORM:",
        "if not media_type(request.headers):",
        f"{_SCHEMES}::test_a_form_that_says_it_is_something_else_is_refused",
    ),
    Patch(
        "the address is not among what is signed",
        "providers/schemes/template.py",
        'return request.url.encode("latin-1")',
        'return request.url.encode("latin-1")[:8]',
        "tests/providers/test_registry.py::test_another_address_is_refused_where_it_is_signed",
    ),
    Patch(
        "an id that nobody signs counts as signed",
        "providers/spec.py",
        "return self.signature.signs_headers(alone) and",
        "return",
        "tests/providers/test_registry.py::test_an_id_that_is_told_to_be_signed_cannot_be_changed",
    ),
    Patch(
        "any token will do for one",
        "providers/schemes/token.py",
        "if hmac.compare_digest(self._digests[slot], digest):",
        "if self._digests[slot] and digest:",
        "tests/providers/test_own_schemes.py::test_a_token_is_the_whole_of_it",
    ),
    Patch(
        "a JWT chooses its algorithm",
        "providers/schemes/jws.py",
        "if algorithm not in algorithms or",
        "if algorithm not in {*HMACS, *ALGORITHMS} or",
        f"{_JWT}::test_a_token_does_not_choose_its_algorithm",
    ),
    Patch(
        "a JWT may demand to be understood otherwise",
        "providers/schemes/jws.py",
        '"crit" in header or "b64" in header',
        '"crit" in header.values()',
        f"{_JWT}::test_a_token_that_demands_to_be_understood_otherwise_is_refused",
    ),
    Patch(
        "a JWT proves any body",
        "providers/schemes/jwt.py",
        "_check_digest(claims.get(spec.body_claim), _BODY_DIGESTS[spec.body_hash](request.body))",
        "_check_digest(claims.get(spec.body_claim), str(claims.get(spec.body_claim)))",
        f"{_JWT}::test_claims_have_to_hold",
    ),
    Patch(
        "a JWT is valid for ever",
        "providers/schemes/jwt.py",
        "if any(now >= end + spec.leeway for end in ends):",
        "if any(now >= 1000 * end for end in ends):",
        f"{_JWT}::test_claims_have_to_hold",
    ),
    Patch(
        "a JWT may be meant for others",
        "providers/schemes/jwt.py",
        "if not is_listed and (type(actual) is not type(expected) or actual != expected):",
        "if actual is None:",
        f"{_JWT}::test_claims_have_to_hold",
    ),
    # --- what is taken for an event --------------------------------------------------------------
    Patch(
        "a body may be nested as deep as one likes",
        "gateway/payload.py",
        "and is_deeper(payload, MAX_DEPTH):",
        "and is_deeper(payload, 1000):",
        "tests/gateway/test_payload.py::test_nesting_is_bounded",
    ),
    Patch(
        "NaN is a number",
        "gateway/payload.py",
        "payload = orjson.loads(body)",
        'payload = __import__("json").loads(body)',
        "tests/gateway/test_payload.py::test_what_is_not_json_to_the_letter_is_refused",
    ),
    Patch(
        "a compressed body is read as it is",
        "gateway/content.py",
        'if b"content-encoding" in headers and',
        'if b"x-content-encoding" in headers and',
        "tests/gateway/test_payload.py::test_anything_else_is_not_read",
    ),
    Patch(
        "a body is parsed before its sender is proven",
        "gateway/pipeline.py",
        "        try:\n            verified = ",
        "        endpoint.reader.read(exchange.request.headers, exchange.request.body)\n        try:\n            verified = ",
        f"{_PIPELINE}::test_all_signature_failures_have_one_answer",
    ),
    Patch(
        "an event against its schema is as good as any",
        "gateway/validation.py",
        "if schema.is_valid(payload):",
        "if schema.is_valid(payload) or schema.explain(payload):",
        f"{_PIPELINE}::test_an_event_against_its_schema_is_quarantined",
    ),
    Patch(
        "quarantined events go where the good ones go",
        "gateway/pipeline.py",
        "exchange=self._exchange + QUARANTINE_SUFFIX if violations else self._exchange,",
        "exchange=self._exchange,",
        f"{_PIPELINE}::test_an_event_against_its_schema_is_quarantined",
    ),
    Patch(
        "on_invalid: reject rejects nothing",
        "gateway/pipeline.py",
        "if validation.violations and endpoint.rejects_invalid:",
        "if validation is None and endpoint.rejects_invalid:",
        f"{_PIPELINE}::test_an_event_against_its_schema_is_refused_where_that_is_wanted",
    ),
    Patch(
        "a schema may compare any number of items with each other",
        "gateway/schemas/lint.py",
        'if schema.get("uniqueItems") and',
        'if schema.get("uniqueItem") and',
        "tests/gateway/test_schemas_catalogue.py::test_what_is_no_usable_schema_is_refused_at_load",
    ),
    Patch(
        "a pattern may take for ever",
        "gateway/schemas/lint.py",
        "if _nests_unbounded(pattern):",
        "if _nests_unbounded(pattern[:1]):",
        "tests/gateway/test_schemas_catalogue.py::test_what_is_no_usable_schema_is_refused_at_load",
    ),
    Patch(
        "a schema may call an address",
        "gateway/schemas/lint.py",
        'if not reference.startswith(("#", "urn:")):',
        'if not reference.startswith(("#", "urn:", "http")):',
        "tests/gateway/test_schemas_catalogue.py::test_what_is_no_usable_schema_is_refused_at_load",
    ),
    Patch(
        "prose gets into the line that an agent reads",
        "providers/summary.py",
        "    if len(words) > MAX_WORDS:",
        "    if len(words) > 1000:",
        "tests/providers/test_summary.py::test_prose_gets_into_no_line_wherever_it_stands",
    ),
    # --- several events --------------------------------------------------------------------------
    Patch(
        "a delivery is a success although one of its events is not safe",
        "gateway/pipeline.py",
        "        if failures:\n            # 500",
        "        if not tally:\n            # 500",
        f"{_BATCHES}::test_a_partial_failure_is_no_success",
    ),
    Patch(
        "an event that was cancelled counts as safe",
        "gateway/pipeline.py",
        "                    failures.append(Internal())\n                    raise\n",
        "                    raise\n",
        f"{_BATCHES}::test_an_item_that_ends_without_a_word_is_no_success",
    ),
    Patch(
        "different events of one id in a delivery become one",
        "gateway/pipeline.py",
        "if event_id in events and events[event_id].data != data:",
        "if event_id in events and not data:",
        f"{_BATCHES}::test_different_items_of_one_id_are_all_published",
    ),
    Patch(
        "all events of a delivery are under way at a time",
        "gateway/pipeline.py",
        "for _ in range(min(len(waiting), AT_A_TIME)):",
        "for _ in range(len(waiting)):",
        f"{_BATCHES}::test_few_events_of_a_delivery_are_under_way_at_a_time",
    ),
    Patch(
        "XML brings its own entities",
        "gateway/markup.py",
        "target=builder, forbid_dtd=True",
        "target=builder, forbid_entities=False",
        "tests/gateway/test_hostile_bodies.py::test_hostile_xml_is_refused",
    ),
    Patch(
        "a form has as many fields as it likes",
        "providers/forms.py",
        "max_num_fields=MAX_FIELDS",
        "max_num_fields=None",
        "tests/gateway/test_hostile_bodies.py::test_a_hostile_form_is_refused",
    ),
    Patch(
        "anybody says which address was called",
        "gateway/admission.py",
        "if self._trusted and self._trusts(_parse(peer)):\n            told",
        "if self._trusted:\n            told",
        "tests/gateway/test_admission.py::test_only_a_trusted_proxy_says_which_address_was_called",
    ),
    Patch(
        "a delivery is answered when the first of its events is safe",
        "gateway/pipeline.py",
        "        async with asyncio.TaskGroup() as group:\n            for _ in range(min(len(waiting), AT_A_TIME)):\n                group.create_task(deliver_next())\n",
        "        running = [asyncio.ensure_future(deliver_next()) for _ in range(min(len(waiting), AT_A_TIME))]\n        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)\n",
        f"{_BATCHES}::test_the_answer_waits_for_the_slowest_event",
    ),
    Patch(
        "after a failure the rest of a delivery is begun all the same",
        "gateway/pipeline.py",
        "while waiting and not failures:",
        "while waiting:",
        f"{_BATCHES}::test_after_a_failure_no_more_are_begun",
    ),
    Patch(
        "what a delivery published is forgotten when the rest fails",
        "gateway/pipeline.py",
        "        self._dedupe.commit(claim, endpoint.metrics)\n        outcome = ",
        "        self._dedupe.release(claim)\n        outcome = ",
        f"{_BATCHES}::test_a_partial_failure_is_no_success",
    ),
    Patch(
        "what a delivery could not publish is done when the rest is",
        "gateway/pipeline.py",
        "        except PublishUnavailable as error:\n            self._dedupe.release(claim)\n",
        "        except PublishUnavailable as error:\n            self._dedupe.commit(claim, endpoint.metrics)\n",
        f"{_BATCHES}::test_a_partial_failure_is_no_success",
    ),
    Patch(
        "all events of a delivery have the id of the first",
        "gateway/pipeline.py",
        "identity = endpoint.adapter.identify(request, batch.payload, item)",
        "identity = endpoint.adapter.identify(request, batch.payload, batch.items[0].payload)",
        f"{_BATCHES}::test_each_item_becomes_an_event_of_its_own",
    ),
    Patch(
        "a delivery may have any number of events",
        "gateway/batches.py",
        "if len(values) > MAX_ITEMS:",
        "if len(values) > 1000 * MAX_ITEMS:",
        f"{_BATCHES}::test_too_many_events_are_refused",
    ),
    Patch(
        "what is masked is published where it is against its schema",
        "gateway/event.py",
        "if self._redaction and media_type is None:",
        "if self._redaction and media_type is None and schema_id:",
        "tests/gateway/test_redaction.py::test_what_is_masked_is_nowhere_in_the_message",
    ),
    Patch(
        "what is masked in the data is told beside it",
        "providers/adapter.py",
        "        if self._mask:\n",
        "        if self._mask and item is not _WHOLE:\n",
        "tests/gateway/test_redaction.py::test_what_is_masked_is_nowhere_in_the_message",
    ),
    # --- handshakes and fetched keys -------------------------------------------------------------
    Patch(
        "a handshake has anything echoed",
        "providers/greeting.py",
        "if not is_plain or not pattern.fullmatch(str(text)):",
        "if not is_plain:",
        f"{_GREETER}::test_nothing_outside_of_the_pattern_is_echoed",
    ),
    Patch(
        "a challenge that is signed may have a colon",
        "providers/handshake.py",
        '"[A-Za-z0-9_.~=+/-]{1,512}"',
        '"[A-Za-z0-9_.~=+/:-]{1,512}"',
        f"{_GREETER}::test_what_does_not_fit_is_refused",
    ),
    Patch(
        "a challenge is signed that could be a delivery",
        "providers/greeting.py",
        "or _is_json(text) or _is_json(text.removeprefix(self._prefix)):",
        "or text == self._prefix:",
        f"{_GREETER}::test_no_delivery_is_signed_as_a_challenge",
    ),
    Patch(
        "any token will do in a handshake",
        "providers/greeting.py",
        "or not hmac.compare_digest(_bytes(expected), _bytes(shown))",
        "or not shown",
        f"{_GREETER}::test_what_does_not_fit_is_refused",
    ),
    Patch(
        "a signed handshake is answered to anybody",
        "providers/greeting.py",
        "            if not handshake.spec.is_signed:\n",
        "            if handshake.spec:\n",
        f"{_HANDSHAKES}::test_a_signed_greeting_of_somebody_else_is_refused",
    ),
    Patch(
        "any address is called to confirm a subscription",
        "providers/greeting.py",
        'if confirm and not self._hosts.fullmatch(confirm.split("/")[2]):',
        "if confirm and not confirm.isascii():",
        f"{_GREETER}::test_what_does_not_fit_is_refused",
    ),
    Patch(
        "anybody may tell a secret at any time",
        "gateway/config/models.py",
        "    enrol: bool = Field(\n        default=False,",
        "    enrol: bool = Field(\n        default=True,",
        f"{_HANDSHAKES}::test_a_told_secret_is_refused_while_nobody_waits_for_it",
    ),
    Patch(
        "the last secret that is told counts",
        "gateway/enrolment.py",
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL",
        "os.O_WRONLY | os.O_CREAT | os.O_TRUNC",
        f"{_HANDSHAKES}::test_the_first_secret_that_is_told_is_kept",
    ),
    Patch(
        "strangers may greet as often as they like",
        "gateway/admission.py",
        "        if self._handshakes.is_empty():\n",
        "        if self._handshakes is None:\n",
        f"{_HANDSHAKES}::test_handshakes_are_few",
    ),
    Patch(
        "a certificate is fetched from wherever the sender says",
        "providers/schemes/sns.py",
        "if origin != self._origin or not _CERTIFICATE.fullmatch(path):",
        "if not _CERTIFICATE.fullmatch(path):",
        f"{_FETCHED}::test_a_certificate_of_sns_is_only_where_those_of_the_topic_are",
    ),
    Patch(
        "a certificate proves something before and after its time",
        "providers/schemes/certificates.py",
        "    if not valid_from <= now <= valid_until:\n        raise ValueError",
        "    if valid_from > valid_until:\n        raise ValueError",
        f"{_FETCHED}::test_a_certificate_that_is_not_valid_proves_nothing",
    ),
    Patch(
        "a redirect leads to wherever it likes",
        "gateway/fetch.py",
        "follow_redirects=False",
        "follow_redirects=True",
        "tests/gateway/test_fetch.py::test_a_redirect_is_not_followed",
    ),
    Patch(
        "an answer to a question for a key may be of any size",
        "gateway/fetch.py",
        "if len(content) > MAX_CONTENT:",
        "if len(content) > 1000 * MAX_CONTENT:",
        "tests/gateway/test_fetch.py::test_an_answer_that_cannot_be_used_fails",
    ),
    Patch(
        "an endpoint of keys is asked as often as strangers like",
        "gateway/keys.py",
        "return _TOO_OFTEN if self._bucket.is_empty() else None",
        "return None",
        f"{_KEYS}::test_strangers_cannot_have_an_endpoint_asked_without_end",
    ),
    Patch(
        "a key that does not exist is asked for again and again",
        "gateway/keys.py",
        "if self._absent.get(request, 0.0) > self._clock():",
        "if self._absent.get(request, 0.0) < 0:",
        f"{_KEYS}::test_a_key_that_does_not_exist_is_remembered",
    ),
    Patch(
        "an endpoint that does not answer proves a forgery",
        "gateway/keys.py",
        "return partial(KeyUnavailable, str(error))",
        "return _ABSENT",
        f"{_KEYS}::test_an_endpoint_that_does_not_answer_is_no_verdict",
    ),
    # --- the event -------------------------------------------------------------------------------
    Patch(
        "the body is encoded again",
        "gateway/event.py",
        "(orjson.dumps(attributes)[:-1], data)",
        "(orjson.dumps(attributes)[:-1], orjson.dumps(orjson.loads(data)))",
        "tests/gateway/test_event.py::test_data_is_byte_for_byte_what_was_sent",
    ),
    Patch(
        "an event type goes into the routing key as it is",
        "gateway/event.py",
        'return _NOT_IN_KEYS.sub(".", event_type)',
        "return event_type",
        "tests/gateway/test_event.py::test_event_types_in_routing_keys_have_no_special_characters",
    ),
    Patch(
        "an unchecked event is marked as claimed",
        "gateway/event.py",
        '"dedupe": "claimed" if is_claimed else "unchecked"',
        '"dedupe": "claimed"',
        f"{_PIPELINE}::test_without_claims_events_are_published_unchecked_and_marked",
    ),
    # --- claims ----------------------------------------------------------------------------------
    Patch(
        "our own pending claim is somebody else's",
        "gateway/claims/__init__.py",
        "if value is None or value == holder:",
        "if value is None:",
        f"{_CLAIMS}::test_a_claim_asked_for_again_recognises_itself",
    ),
    Patch(
        "a pending claim is a duplicate",
        "gateway/claims/__init__.py",
        "        return Standing.IN_FLIGHT\n",
        "        return Standing.DONE\n",
        f"{_CLAIMS}::test_the_second_claimer_sees_that_the_first_is_at_work",
    ),
    Patch(
        "a claim takes what is taken",
        "gateway/claims/redis.py",
        'holder, "NX", "PX"',
        'holder, "PX"',
        f"{_CLAIMS}::test_redis_holds_the_token_for_the_lease_and_then_done_for_the_retention",
    ),
    Patch(
        "anybody can release a claim in Redis",
        "gateway/claims/redis.py",
        "\"if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0\"",
        "\"return redis.call('DEL', KEYS[1])\"",
        f"{_CLAIMS}::test_only_its_holder_can_release_a_key",
    ),
    Patch(
        "anybody can release a claim in SQLite",
        "gateway/claims/sqlite.py",
        "DELETE FROM claims WHERE key = ? AND value = ?",
        "DELETE FROM claims WHERE key = ? AND ? != ''",
        f"{_CLAIMS}::test_only_its_holder_can_release_a_key",
    ),
    Patch(
        "a claim never ends",
        "gateway/claims/redis.py",
        '"NX", "PX", self._lease_ms, "GET"',
        '"NX", "GET"',
        f"{_CLAIMS}::test_a_redis_lease_ends_by_itself",
    ),
    Patch(
        "one provider's events are another's duplicates",
        "gateway/claims/__init__.py",
        'return f"{KEY_PREFIX}:{provider}:{',
        'return f"{KEY_PREFIX}:{',
        f"{_CLAIMS}::test_keys_of_different_events_differ",
    ),
    Patch(
        "an event that is in flight is answered as a duplicate",
        "gateway/dedupe.py",
        "        raise InFlight\n",
        "        return Standing.DONE\n",
        f"{_PIPELINE}::test_an_event_that_another_request_handles_is_in_flight",
    ),
    Patch(
        "on_unavailable: reject accepts",
        "gateway/dedupe.py",
        "if not self.accepts_unchecked:",
        "if self.accepts_unchecked is None:",
        f"{_PIPELINE}::test_without_claims_events_are_refused_where_that_is_wanted",
    ),
    Patch(
        "a claim is done before the broker's confirm",
        "gateway/pipeline.py",
        "            await self._publisher.publish(",
        "            self._dedupe.commit(claim, endpoint.metrics)\n            await self._publisher.publish(",
        f"{_PIPELINE}::test_the_claim_is_permanent_only_after_the_confirm",
    ),
    Patch(
        "a claim stays when the publish failed",
        "gateway/pipeline.py",
        "        except PublishUnavailable as error:\n            self._dedupe.release(claim)\n",
        "        except PublishUnavailable as error:\n",
        f"{_PIPELINE}::test_an_event_that_the_broker_does_not_confirm_is_to_be_sent_again",
    ),
    Patch(
        "a claim stays when the request is cancelled",
        "gateway/pipeline.py",
        "        except BaseException:\n            self._dedupe.release(claim)\n",
        "        except BaseException:\n",
        f"{_PIPELINE}::test_a_request_that_is_cancelled_gives_its_claim_back",
    ),
    # --- publishing ------------------------------------------------------------------------------
    Patch(
        "the broker may drop what it cannot route",
        "gateway/publishers/amqp.py",
        '_MANDATORY = b"\\x01"',
        '_MANDATORY = b"\\x00"',
        _ENCODED,
    ),
    Patch(
        "messages are transient",
        "gateway/publishers/amqp.py",
        '_PERSISTENT = b"\\x02"',
        '_PERSISTENT = b"\\x01"',
        _ENCODED,
    ),
    Patch(
        "an event counts as confirmed when it is sent",
        "gateway/publishers/amqp.py",
        "_Pending(confirm, self._loop.time(), message.message_id)\n",
        "_Pending(confirm, self._loop.time(), message.message_id)\n        confirm.set_result(None)\n",
        _SETTLED,
    ),
    Patch(
        "a nack is an ack", "gateway/publishers/amqp.py", "is_ack=method_id == _ACK", "is_ack=True", _SETTLED
    ),
    Patch(
        "a confirm of several is one of one",
        "gateway/publishers/amqp.py",
        "bool(bits & 1)",
        "False",
        _SETTLED,
    ),
    Patch(
        "a returned event is published",
        "gateway/publishers/amqp.py",
        "            if pending.message_id == message_id:",
        "            if pending.message_id is message_id is None:",
        _SETTLED,
    ),
    Patch(
        "an event that came back counts as confirmed late",
        "gateway/publishers/amqp.py",
        "    def refuse(self, cause: str) -> None:\n        if self.late is not None:\n            self.late.cancel()\n",
        "    def refuse(self, cause: str) -> None:\n        if self.late is not None:\n            pass\n",
        f"{_CONNECTION}::test_a_confirm_that_comes_too_late_is_told",
    ),
    Patch(
        "an event whose confirm may still come is drained",
        "gateway/spool/store.py",
        "        if row[0] in held_back:\n            continue\n",
        "",
        f"{_SPOOL}::test_an_event_whose_confirm_may_still_come_is_not_drained",
    ),
    Patch(
        "what waits for a confirm when the connection ends waits for ever",
        "gateway/publishers/amqp.py",
        "        stranded, self._unconfirmed = self._unconfirmed, {}\n",
        "        stranded: dict[int, _Pending] = {}\n",
        f"{_CONNECTION}::test_the_end_of_the_connection_fails_all_that_wait",
    ),
    Patch(
        "any number of events waits for its confirm",
        "gateway/publishers/amqp.py",
        "_MOST_UNCONFIRMED = 4096",
        "_MOST_UNCONFIRMED = 40_960",
        f"{_CONNECTION}::test_messages_that_wait_for_their_confirm_are_bounded",
    ),
    Patch(
        "a broker that confirms nothing is sent everything",
        "gateway/breaker.py",
        "if self._timeouts >= _TIMEOUTS_THAT_OPEN:",
        "if self._timeouts >= 1_000_000:",
        f"{_BREAKER}::test_three_timeouts_in_a_row_open_it",
    ),
    Patch(
        "a broker that is asked again is sent everything",
        "gateway/breaker.py",
        "self._probe_due_at is not None and self._probed_at is None and self._clock()",
        "self._probe_due_at is not None and self._clock()",
        f"{_BREAKER}::test_after_a_second_one_message_at_a_time_may_go",
    ),
    # --- the spool -------------------------------------------------------------------------------
    Patch(
        "an event is accepted before it is on disk",
        "gateway/spool/store.py",
        "        await self._wait_for(written)\n",
        "        written.add_done_callback(lambda done: done.exception())\n",
        f"{_SPOOL}::test_a_spool_that_cannot_be_written_refuses_and_is_tried_again",
    ),
    Patch(
        "a commit that failed is one",
        "gateway/sqlite.py",
        "self._loop.call_soon_threadsafe(_fail, batch, error)",
        "self._loop.call_soon_threadsafe(_resolve, batch, [None] * len(batch))",
        "tests/gateway/test_embedded.py::test_a_failing_operation_leaves_nothing_of_its_batch",
    ),
    Patch(
        "an event leaves the spool before it is published",
        "gateway/spool/drain.py",
        "        waiting = iter(messages)\n",
        "        await self._spool.delete(messages)\n        waiting = iter(messages)\n",
        f"{_SPOOL}::test_events_in_the_spool_survive_kill_9",
    ),
    Patch(
        "an event leaves the spool without a confirm",
        "gateway/spool/drain.py",
        "            self._note_refusal(str(error))\n",
        "            self._note_refusal(str(error))\n            return True\n",
        f"{_SPOOL}::test_what_the_broker_refuses_holds_nothing_up_and_is_tried_again",
    ),
    Patch(
        "one event that nobody can publish holds up all others",
        "gateway/spool/drain.py",
        'await self._spool.set_aside(message, f"cannot be published: {error!r}")',
        'raise PublishUnavailable("again")',
        f"{_SPOOL}::test_an_event_that_nobody_can_publish_is_set_aside",
    ),
    Patch(
        "the spool has no bound",
        "gateway/spool/store.py",
        "        self._max_size = max_size\n",
        "        self._max_size = 1000 * max_size\n",
        f"{_SPOOL}::test_many_at_once_cannot_overshoot_the_bound",
    ),
    Patch(
        "two processes drain one spool",
        "gateway/spool/files.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        f"{_SPOOL}::test_a_second_gateway_on_the_same_spool_does_not_start",
    ),
    Patch(
        "a damaged row is published",
        "gateway/spool/rows.py",
        " or digest != _digest(head, body):",
        ":",
        f"{_SPOOL}::test_a_row_that_was_changed_is_set_aside",
    ),
    Patch(
        "the newest event is drained first",
        "gateway/spool/store.py",
        "FROM spool WHERE id > ? ORDER BY id",
        "FROM spool WHERE id > ? ORDER BY id DESC",
        f"{_SPOOL}::test_events_that_are_not_confirmed_wait_and_are_drained_oldest_first",
    ),
    Patch(
        "what the broker does not confirm is not spooled",
        "gateway/spool/publisher.py",
        "            except PublishUnavailable:\n                pass\n",
        "            except PublishUnavailable:\n                return\n",
        f"{_SPOOL}::test_what_the_broker_refuses_is_spooled",
    ),
    # --- HTTP ------------------------------------------------------------------------------------
    Patch(
        "a body may have one byte more than its limit",
        "gateway/http/connection.py",
        "if incoming.size > incoming.max_body:",
        "if incoming.size > incoming.max_body + 1:",
        f"{_BENT}[8-chunks-over-the-limit-by-one]",
    ),
    Patch(
        "a request may have any number of header fields",
        "gateway/webhooks.py",
        "if len(headers.fields) > MAX_FIELDS or head.size > MAX_HEAD:",
        "if head.size > 1000 * MAX_HEAD:",
        f"{_BENT}[25-101-header-fields]",
    ),
    Patch(
        "of two hosts the last counts",
        "gateway/webhooks.py",
        'if headers.get(b"host") is None and',
        'if b"host" not in headers and',
        f"{_BENT}[29-two-hosts]",
    ),
    Patch(
        "a transfer coding that nobody undoes is accepted",
        "gateway/webhooks.py",
        'if coding is not None and coding.lower() != b"chunked":',
        'if coding == b"":',
        f"{_BENT}[15-coding-'gzip,-chunked']",
    ),
    Patch(
        "HTTP of any version is understood",
        "gateway/webhooks.py",
        "if head.version not in _VERSIONS:",
        'if head.version == "":',
        f"{_BENT}[28-version-HTTP/2.0]",
    ),
    Patch(
        "a request that asks for an upgrade loses its body",
        "gateway/http/connection.py",
        "self._decline_upgrade(data[upgrade.args[0] :])",
        "self.on_rest_complete()",
        f"{_BENT}[31-upgrade-to-h2c]",
    ),
    Patch(
        "a head may take as long as it likes",
        "gateway/http/incoming.py",
        "HEAD_DEADLINE = 5.0",
        "HEAD_DEADLINE = 500.0",
        "tests/hostile/test_slow.py::test_slow_senders_are_cut_off",
    ),
    Patch(
        "anybody can say where it sends from",
        "gateway/admission.py",
        "if not self._trusted or not self._trusts(_parse(peer)):",
        "if not self._trusted:",
        "tests/gateway/test_admission.py::test_only_trusted_proxies_are_believed",
    ),
    Patch(
        "of what proxies say the sender's part counts",
        "gateway/admission.py",
        "for hop in reversed(hops):",
        "for hop in hops:",
        "tests/gateway/test_admission.py::test_only_trusted_proxies_are_believed",
    ),
    Patch(
        "who cannot be told is allowed",
        "gateway/admission.py",
        "if address is None or not any(",
        "if address is not None and not any(",
        "tests/gateway/test_admission.py::test_only_allowed_addresses_come_in",
    ),
    Patch(
        "forgeries count towards the rate",
        "gateway/admission.py",
        "        if self._bucket and self._bucket.is_empty():\n",
        "        self.note_verified()\n        if self._bucket and self._bucket.is_empty():\n",
        "tests/gateway/test_admission.py::test_only_verified_events_count_towards_the_rate",
    ),
    Patch(
        "a signature that is not ASCII is a bug of ours",
        "providers/schemes/hmac_verifier.py",
        "if hmac.compare_digest(expected, candidate):\n                    matched = slot\n",
        "if hmac.compare_digest(expected.decode(), candidate.decode()):\n                    matched = slot\n",
        f"{_CONTRACT}::test_bytes_that_are_not_ascii_are_refused",
    ),
    Patch(
        "the log tells the header fields",
        "gateway/webhooks.py",
        "            cause=exchange.cause,\n",
        "            cause=exchange.cause,\n            headers=str(exchange.request.headers.fields) if exchange.answer else None,\n",
        "tests/gateway/test_logs.py::test_no_secret_and_nothing_personal_is_logged",
    ),
    # --- configuration ---------------------------------------------------------------------------
    Patch(
        "a lease may be shorter than a request",
        "gateway/config/conflicts.py",
        "if dedupe.lease < 2 * server.deadline:",
        "if dedupe.lease <= 0:",
        "tests/gateway/test_config.py::test_a_mistake_is_told_with_its_place",
    ),
    Patch(
        "a placeholder is a secret",
        "gateway/config/loader.py",
        "if _PLACEHOLDER.fullmatch(secret):",
        "if not secret:",
        "tests/gateway/test_config.py::test_a_mistake_is_told_with_its_place",
    ),
    Patch(
        "a parameter that an adapter needs may be left out",
        "gateway/config/loader.py",
        "if parameter.required and name not in provider.parameters:",
        "if parameter.required and name in provider.parameters:",
        "tests/gateway/test_config.py::test_an_adapter_is_told_what_it_asks_for",
    ),
)
