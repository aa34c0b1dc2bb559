"""What could go wrong on the way out: events for endpoints."""

from __future__ import annotations

from sabotage.patch import Patch

_ROOM = "tests/gateway/outbound"
_ENGINE = f"{_ROOM}/test_engine.py"
_TAKING = f"{_ROOM}/test_taking.py"

OUTBOUND = (
    Patch(
        "an event for endpoints is acknowledged before it is written",
        "gateway/outbound/taking.py::Taker._take",
        "            await self._accept(incoming)\n            await intake.acknowledge(arrivals)\n",
        "            await intake.acknowledge(arrivals)\n            await self._accept(incoming)\n",
        f"{_TAKING}::test_events_are_written_and_then_acknowledged",
    ),
    Patch(
        "events that the database refused are acknowledged",
        "gateway/outbound/taking.py::Taker._accept",
        "                await asyncio.sleep(_RETRY_DELAY)\n",
        "                return\n",
        f"{_TAKING}::test_nothing_is_acknowledged_while_the_database_is_away",
    ),
    Patch(
        "an owner that lost its lease writes its outcomes",
        "gateway/outbound/store/sql/owning.py::record",
        "== each.epoch for each in records]",
        "== each.epoch or True for each in records]",
        f"{_ROOM}/store/test_store.py::test_an_owner_that_lost_its_shard_changes_nothing",
    ),
    Patch(
        "a process whose lease has ended goes on to send",
        "gateway/outbound/ownership.py::Ownership.epoch_of_shard",
        "if self._monotonic() < self._ends_at else None",
        "if self._ends_at else None",
        f"{_ROOM}/test_ownership.py::test_one_process_owns_everything_until_its_lease_ends",
    ),
    Patch(
        "a frozen process is taken for one that has ended",
        "gateway/transport/file_lock.py::lock_file",
        "        os.close(descriptor)\n        return None\n",
        "        return descriptor\n",
        f"{_ROOM}/test_predecessor.py::test_only_a_process_that_has_ended_has_a_successor",
    ),
    Patch(
        "the leases of a process that was killed are waited for",
        "gateway/outbound/engine.py::WayOut._succeed",
        "        if predecessor:\n",
        "        if predecessor == self._owner:\n",
        f"{_ENGINE}::test_what_a_process_owned_that_was_killed_is_sent_at_once",
    ),
    Patch(
        "embedded, what a killed process had taken is overtaken",
        "gateway/outbound/intake/sqlite.py::_open",
        "        await intake.reclaim()\n",
        "        pass\n",
        f"{_ROOM}/intake/test_intake.py::test_what_a_killed_process_had_comes_first",
    ),
    Patch(
        "Retry-After of a receiver is ignored",
        "gateway/outbound/schedule.py::decide",
        "        delay = max(delay, retry_after * between(_FLOOR_JITTER, chance()))\n",
        "        delay = max(delay, 0.0)\n",
        f"{_ROOM}/test_schedule.py::test_retry_after_is_a_floor",
    ),
    Patch(
        "a receiver that asks to be spared gets other deliveries",
        "gateway/outbound/behaviour.py::Behaviour.ended",
        "        if verdict.pause is not None:\n",
        "        if verdict.pause == 0.0:\n",
        f"{_ROOM}/test_behaviour.py::test_a_pause_that_the_receiver_asks_for_is_kept_through_a_success",
    ),
    Patch(
        "a redirect of a receiver is followed",
        "gateway/outbound/client.py::Client._begin",
        "allow_redirects=False",
        "allow_redirects=True",
        f"{_ROOM}/test_client.py::test_no_redirect_is_followed",
    ),
    Patch(
        "the peer of a connection is not judged",
        "gateway/outbound/connector.py::JudgedConnector._reach",
        "            if peer not in addresses:\n",
        "            if not peer:\n",
        f"{_ROOM}/test_client_dns.py::test_the_peer_of_a_connection_is_judged_again",
    ),
    Patch(
        "the deadline of an attempt is not kept",
        "gateway/outbound/client.py::Client._try",
        "            async with asyncio.timeout_at(deadline):\n",
        "            async with asyncio.timeout_at(deadline + 1000):\n",
        f"{_ROOM}/test_client.py::test_a_receiver_without_a_whole_head_has_a_timeout",
    ),
    Patch(
        "a byte of a response is forgotten, and the request sent again",
        "gateway/outbound/client.py::Client._failure",
        "if progress.is_kept and exchange.received == 0:",
        "if progress.is_kept:",
        f"{_ROOM}/test_client_kept.py::test_a_byte_of_a_response_forbids_another_try",
    ),
    Patch(
        "a try on a connection that was closed is not recorded",
        "gateway/outbound/attempting.py::RequestAttempter.attempt",
        "return Record(after, attempt, 0, earlier)",
        "return Record(after, attempt, 0)",
        f"{_ENGINE}::test_a_try_on_a_connection_that_was_closed_is_an_attempt_of_its_own",
    ),
    Patch(
        "each attempt is signed with the time of the first",
        "gateway/outbound/requests.py::RequestMaker.make",
        "self._signer.sign(message.id, now, body)",
        "self._signer.sign(message.id, message.accepted_at, body)",
        f"{_ROOM}/test_requests.py::test_every_attempt_is_signed_anew_with_the_same_body",
    ),
    Patch(
        "an expired secret still signs",
        "gateway/outbound/signing.py::Signer.sign",
        "if expires_at is None or expires_at > now]",
        "if expires_at is None or expires_at > 0]",
        f"{_ROOM}/test_signing.py::test_expired_secrets_do_not_sign",
    ),
    Patch(
        "the order of an endpoint is ignored",
        "gateway/outbound/accept.py::Acceptor._entry_of",
        "parsed)[:MAX_ORDER_KEY]",
        "parsed)[:0]",
        f"{_ENGINE}::test_deliveries_of_one_key_go_one_after_another",
    ),
    Patch(
        "what an endpoint cannot get at the moment is dropped",
        "gateway/outbound/accept.py::Acceptor._entry_of",
        "            if endpoint.id != incoming.without\n",
        "            if endpoint.id != incoming.without and not self._is_held(endpoint.id)\n",
        f"{_ENGINE}::test_an_endpoint_that_is_full_has_new_deliveries_held",
    ),
    Patch(
        "attempts begin that cannot be recorded",
        "gateway/outbound/deliver.py::Deliverer._may_begin",
        "not self._failure and ",
        "",
        f"{_ENGINE}::test_nothing_begins_while_the_database_is_away",
    ),
    Patch(
        "outcomes are forgotten that the database did not take",
        "gateway/outbound/recorder.py::Recorder._write",
        "                self.is_failing = True\n                await asyncio.sleep(_RETRY_DELAY)\n"
        "                continue\n            except Exception:",
        "                held = []\n            except Exception:",
        f"{_ROOM}/test_recorder.py::test_outcomes_wait_for_the_database_and_nothing_begins_meanwhile",
    ),
    Patch(
        "two endpoints tell each other of their notices for ever",
        "gateway/outbound/telling.py::Notices.dead",
        "        if message.key.startswith(NOTICES):\n",
        "        if not message.key:\n",
        f"{_ROOM}/test_telling.py::test_a_dead_delivery_is_told_and_a_dead_notice_is_not",
    ),
    Patch(
        "what an agent has published by mistake is lost",
        "gateway/outbound/taking.py::Taker._take",
        "                    await intake.quarantine(arrival, str(error)[:255])\n",
        "                    continue\n",
        f"{_TAKING}::test_events_are_written_and_then_acknowledged",
    ),
)
