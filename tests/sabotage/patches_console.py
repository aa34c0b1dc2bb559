"""What the console could let in or give away, and what the journal could lose, repeat or keep too long."""

from __future__ import annotations

from sabotage.patch import Patch

_ACCESS = "tests/gateway/console/security/test_access.py"
_LOGIN = "tests/gateway/console/security/test_login.py"
_API = "tests/gateway/console/api/test_access.py"
_SEGMENTS = "tests/gateway/journal/segments/test_segments.py"

CONSOLE = (
    Patch(
        "a login link is valid twice",
        "gateway/console/security/sessions.py::Sessions.use_link",
        '"DELETE FROM links WHERE hash = ? RETURNING name, role, ends_at", (hash_of(code),)',
        '"SELECT name, role, ends_at FROM links WHERE hash = ?", (hash_of(code),)',
        f"{_ACCESS}::test_a_link_is_valid_once_and_for_a_minute",
    ),
    Patch(
        "a session never ends",
        "gateway/console/security/sessions.py::Sessions.principal",
        "sessions.ends_at > ? AND",
        "sessions.ends_at > ? - 1e9 AND",
        f"{_ACCESS}::test_a_session_lasts_twelve_hours_and_outlives_the_process",
    ),
    Patch(
        "a token is good after its end",
        "gateway/console/security/tokens.py::Tokens.principal",
        "or (ends_at is not None and ends_at <= now)",
        "",
        f"{_ACCESS}::test_a_token_ends",
    ),
    Patch(
        "tokens are kept as they are",
        "gateway/console/security/tokens.py::Tokens.create",
        "(token.id, name, str(role), hash_of(text), now, by, token.ends_at),",
        "(token.id, name + text, str(role), hash_of(text), now, by, token.ends_at),",
        f"{_ACCESS}::test_no_secret_is_in_the_file",
    ),
    Patch(
        "logging out only deletes the cookie",
        "gateway/console/security/login.py::Login.log_out",
        "await asyncio.to_thread(self._access.sessions.end, value)",
        "",
        f"{_LOGIN}::test_logging_out_ends_the_session_on_the_server",
    ),
    Patch(
        "a login leads to another site",
        "gateway/console/security/login.py::safe_address",
        'text.startswith("/") and not text.startswith("//")',
        'text.startswith("/")',
        f"{_LOGIN}::test_a_login_leads_to_the_console_only",
    ),
    Patch(
        "scripts can read the cookie",
        "gateway/console/security/cookies.py::set_cookie",
        "httponly=True,",
        "httponly=False,",
        f"{_LOGIN}::test_the_cookie_is_out_of_reach",
    ),
    Patch(
        "the form of a write needs no token",
        "gateway/console/security/cross_site.py::check_writing",
        "if signer.open(_PURPOSE, token) != _holder(principal):",
        "if token and signer.open(_PURPOSE, token) != _holder(principal):",
        f"{_LOGIN}::test_a_write_needs_the_page",
    ),
    Patch(
        "another site writes with the session of a browser",
        "gateway/console/security/cross_site.py::check_origin",
        'site == "same-origin" if site else',
        'site in {"same-origin", "cross-site"} if site else',
        f"{_LOGIN}::test_another_site_cannot_log_somebody_in",
    ),
    Patch(
        "any host name is the console's",
        "gateway/console/security/caller.py::CallerReader._check",
        "if name in self._names or self._is_own_address(name):",
        "if name:",
        f"{_API}::test_another_host_is_refused",
    ),
    Patch(
        "a role is no limit",
        "gateway/console/security/gate.py::require_role",
        "if not principal.role.includes(role):",
        "if not principal.role:",
        f"{_API}::test_each_role_gets_as_far_as_it_may",
    ),
    Patch(
        "tokens can be guessed without end",
        "gateway/console/security/authentication.py::Authenticator._bearer",
        'self._failures.note(caller.client, "bearer")',
        "",
        f"{_API}::test_wrong_tokens_are_too_many_at_some_time",
    ),
    Patch(
        "a signed text is valid for every purpose",
        "gateway/console/security/signer.py::Signer._mac",
        'purpose.encode() + b"\\0" + content',
        "content",
        "tests/gateway/console/security/test_signer.py::test_what_was_signed_comes_back",
    ),
    Patch(
        "a repeated write is done again",
        "gateway/console/api/idempotency.py::IdempotentWrites.run",
        "if (answer := await asyncio.to_thread(self._find, name, digest, keeps_answer)) is not None:",
        "if (answer := await asyncio.to_thread(self._find, name, digest, keeps_answer)) is not None and not key:",
        "tests/gateway/console/api/test_acts.py::test_a_repetition_starts_no_second_job",
    ),
    Patch(
        "text that turns the direction of writing is shown as it is",
        "gateway/console/pages/formatting.py::visible",
        'return _HIDDEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)',
        "return text",
        "tests/gateway/console/pages/test_formatting.py::test_what_is_invisible_becomes_its_code_point",
    ),
    Patch(
        "lines that were indexed are indexed again",
        "gateway/journal/indexer.py::_Reader.read",
        "reached[file.name] = Position(file.inode, offset + end)",
        "reached[file.name] = Position(file.inode, offset)",
        "tests/gateway/journal/test_indexer.py::test_entries_of_all_processes_are_indexed",
    ),
    Patch(
        "a line without its end is taken for a whole one",
        "gateway/journal/indexer.py::_Reader.read",
        'end = chunk.rfind(b"\\n") + 1',
        "end = len(chunk)",
        "tests/gateway/journal/test_indexer.py::test_a_torn_line_waits_for_its_end",
    ),
    Patch(
        "files go before their lines are safe",
        "gateway/journal/indexer.py::Indexer._retire",
        "elif not _has_line(opened, position.offset):",
        "else:",
        "tests/gateway/journal/test_indexer.py::test_a_file_stays_until_all_of_it_is_sealed",
    ),
    Patch(
        "two processes index at once",
        "gateway/journal/indexer.py::Indexer._lock",
        "fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "pass",
        "tests/gateway/journal/test_indexer.py::test_one_process_at_a_time_indexes",
    ),
    Patch(
        "an erased event stays in sealed segments",
        "gateway/journal/segments/writing.py::SegmentFolder.erase",
        "if self._has(file, event_id, provider):",
        "if False:",
        f"{_SEGMENTS}::test_an_erased_text_is_in_no_file",
    ),
    Patch(
        "the journal grows without end",
        "gateway/journal/segments/writing.py::SegmentFolder.prune",
        "if not is_old and size <= self._limits.max_size:",
        "if not is_old:",
        f"{_SEGMENTS}::test_the_oldest_go_when_it_is_too_large",
    ),
    Patch(
        "a flood at one provider takes the captured requests of the others",
        "gateway/journal/capture.py::CaptureWriter.put",
        "self._forget(max(self._runs, key=lambda provider: len(self._runs[provider])))",
        "self._forget(next(iter(self._runs)))",
        "tests/gateway/journal/test_capture.py::test_a_flood_at_one_provider_leaves_the_others_alone",
    ),
    Patch(
        "a new console counts everything once more",
        "gateway/journal/sampler.py::Sampler.__init__",
        "self._before = self._read()",
        "self._before = _Sample(self._memory, {})",
        "tests/gateway/journal/test_sampler.py::test_a_new_console_goes_on_where_the_one_before_ended",
    ),
)
