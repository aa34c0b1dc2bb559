"""What could go wrong with workers."""

from __future__ import annotations

from sabotage.patch import Patch

_RUNNER = "tests/gateway/worker/test_runner.py"
_STEPS = "tests/gateway/worker/test_steps.py"
_ORDERING = "tests/gateway/worker/test_ordering.py"
_RATE_LIMIT = "tests/gateway/worker/test_rate_limit.py"
_BREAKER = "tests/gateway/worker/test_circuit_breaker.py"
_STORE = "tests/gateway/worker/store/test_store.py"

WORKERS = (
    Patch(
        "a retry that no queue takes is acknowledged",
        "gateway/worker/rabbitmq.py::RabbitQueue._move",
        "            mandatory=True,\n",
        "            mandatory=False,\n",
        f"{_RUNNER}::test_a_queue_that_is_deleted_is_declared_again",
    ),
    Patch(
        "an event that is done is not remembered",
        "gateway/worker/idempotency.py::Idempotency.commit",
        "        self.commit_key(lease.key)\n",
        "        self.release_key(lease.key, lease.token)\n",
        f"{_RUNNER}::test_an_event_that_is_published_again_is_not_handled_again",
    ),
    Patch(
        "leases are not renewed",
        "gateway/worker/idempotency.py::Idempotency._keep_renewing",
        "            for lease in self._active:\n",
        "            for lease in set[Lease]():\n",
        f"{_RUNNER}::test_a_long_handler_keeps_its_event",
    ),
    Patch(
        "what is done while Redis is away is forgotten",
        "gateway/worker/idempotency.py::Idempotency._queue_commit",
        "            self._pending_commits[key] = result\n",
        "            self._is_unavailable = True\n",
        f"{_RUNNER}::test_an_event_done_without_redis_is_remembered_once_it_is_back",
    ),
    Patch(
        "a step that failed counts as done",
        "gateway/worker/steps.py::Once.__aexit__",
        "            self._steps.end(self._step, is_done=error_type is None)\n",
        "            self._steps.end(self._step, is_done=True)\n",
        f"{_RUNNER}::test_a_step_that_was_done_is_skipped_by_the_next_attempt",
    ),
    Patch(
        "the result of a step is not stored",
        "gateway/worker/steps.py::StoredStep._run",
        "        self._steps.end(self._step, is_done=True, result=stored)\n",
        "        self._steps.end(self._step, is_done=True)\n",
        f"{_STEPS}::test_a_later_attempt_gets_the_stored_result",
    ),
    Patch(
        "a result that cannot be stored is forgotten, and its effect repeated",
        "gateway/worker/steps.py::StoredStep._run",
        "        self._steps.end(self._step, is_done=True, result=stored)\n",
        "        self._steps.end(self._step, is_done=not refusal, result=stored)\n",
        f"{_STEPS}::test_a_result_that_cannot_be_stored_is_dead_and_not_repeated",
    ),
    Patch(
        "the time that an API asks for is ignored",
        "gateway/worker/http_responses.py::raise_for_retry",
        "        raise Retry(after)\n",
        "        raise Retry\n",
        "tests/gateway/worker/test_http_responses.py::test_the_server_says_after_how_many_seconds",
    ),
    Patch(
        "a payload that does not match is retried",
        "gateway/worker/typed_data.py::convert",
        "        raise Dead(f\"the data does not match {getattr(kind, '__name__', kind)}: {_describe(error)}\") from None\n",
        "        raise\n",
        "tests/gateway/worker/test_typed_data.py::test_an_event_that_does_not_match_is_not_retried",
    ),
    Patch(
        "a forced replay is taken for a repetition",
        "gateway/worker/idempotency.py::Idempotency.lease_for",
        ".encode()) + replay\n",
        ".encode())\n",
        f"{_RUNNER}::test_a_replay_is_handled_again_where_it_is_forced",
    ),
    Patch(
        "without Redis a strict worker goes on",
        "gateway/worker/idempotency.py::Idempotency._ask_store",
        "                if not self._is_strict:\n",
        "                if self._store.unavailable_reason:\n",
        f"{_RUNNER}::test_without_redis_a_strict_worker_waits_and_a_lenient_one_does_not",
    ),
    Patch(
        "attempts are not counted",
        "gateway/worker/retry_policy.py::RetryPolicy.failed",
        "ATTEMPTS: attempts, FIRST",
        "ATTEMPTS: 1, FIRST",
        f"{_RUNNER}::test_an_event_that_keeps_failing_is_dead_lettered_with_its_history",
    ),
    Patch(
        "the text of an exception goes into the dead queue",
        "gateway/worker/retry_policy.py::RetryPolicy.dead_lettered",
        "            EXCEPTION: qualified_name(error),\n",
        "            EXCEPTION: repr(error),\n",
        f"{_RUNNER}::test_an_event_that_keeps_failing_is_dead_lettered_with_its_history",
    ),
    Patch(
        "what ends every process that gets it comes for ever",
        "gateway/worker/executor.py::Executor._acquire",
        "if delivery.redeliveries >= MAX_REDELIVERIES:",
        "if delivery.redeliveries < 0:",
        f"{_RUNNER}::test_a_message_that_comes_back_again_and_again_is_dead",
    ),
    Patch(
        "an event that was not finished at the end is acknowledged",
        "gateway/worker/runner.py::Runner._settle",
        'case "handled" | "unhandled" | "duplicate":',
        'case "handled" | "unhandled" | "duplicate" | "requeued":',
        f"{_RUNNER}::test_the_end_waits_for_handlers_and_requeues_the_rest",
    ),
    Patch(
        "a changed declaration is taken over in silence",
        "gateway/worker/sqlite.py::SqliteQueue._open",
        "if declared and declared != set(self._worker.events):",
        "if declared and not self._worker.events:",
        f"{_RUNNER}::test_a_changed_declaration_is_explained_and_nothing_changed",
    ),
    Patch(
        "events overtake those of their subject that wait",
        "gateway/worker/runner.py::Runner._when_in_order",
        "elif wait := await idempotency.take_turn(lease):",
        "elif (wait := await idempotency.take_turn(lease)) < 0:",
        f"{_ORDERING}::test_an_event_that_comes_again_keeps_those_behind_it_waiting",
    ),
    Patch(
        "a dead event keeps its place in line",
        "gateway/worker/retry_policy.py::FINAL",
        'frozenset(("handled", "duplicate", "dead"))',
        'frozenset(("handled", "duplicate"))',
        f"{_ORDERING}::test_an_event_that_comes_again_keeps_those_behind_it_waiting",
    ),
    Patch(
        "an ordered queue is given to many",
        "gateway/worker/topology.py::WorkerTopology.parts",
        "        if self._worker.ordered_by:\n            settings[",
        "        if not self._worker.events:\n            settings[",
        f"{_ORDERING}::test_events_of_a_subject_go_one_after_another_and_others_beside_them",
    ),
    Patch(
        "an embedded ordered queue is given to many",
        "gateway/queues/embedded.py::SqliteConsumer._stay_active",
        "            if until > now:\n                return False\n",
        "",
        f"{_ORDERING}::test_events_of_a_subject_go_one_after_another_and_others_beside_them",
    ),
    Patch(
        "an ordered worker that ends lets the next one begin before it gives back",
        "gateway/worker/rabbitmq.py::RabbitQueue.pause",
        " or self._worker.ordered_by:\n            return\n",
        ":\n            return\n",
        f"{_ORDERING}::test_the_order_survives_the_end_of_a_process",
    ),
    Patch(
        "what a process had comes after what it had not received",
        "gateway/queues/embedded.py::SqliteConsumer._stay_active",
        "UPDATE messages SET visible_at = 0 WHERE queue = ? AND deliveries > 0",
        "UPDATE messages SET visible_at = visible_at WHERE queue = ? AND deliveries > 0",
        f"{_ORDERING}::test_the_order_survives_the_end_of_a_process",
    ),
    Patch(
        "events wait in queues for one that is being handled here",
        "gateway/worker/ordering.py::Ordering.turn",
        "            async with lock, self._handlers:\n",
        "            async with self._handlers:\n",
        f"{_ORDERING}::test_events_of_a_subject_go_one_after_another_and_others_beside_them",
    ),
    Patch(
        "who is late in line is passed by at once",
        "gateway/worker/store/redis.py::_TAKE_TURN",
        "due + ARGV[3] >= mine and",
        "due >= mine and",
        f"{_STORE}::test_a_head_that_never_comes_back_is_skipped",
    ),
    Patch(
        "a limit holds for the last event alone",
        "gateway/worker/store/sequences.py::reserve",
        "starts[-count] + period",
        "starts[-1]",
        f"{_STORE}::test_no_window_has_more_than_the_limit",
    ),
    Patch(
        "events over a limit far off begin all the same",
        "gateway/worker/executor.py::Executor._wait_for_rate_limit",
        "        if wait > max_wait:\n",
        "        if wait > 1e9:\n",
        f"{_RATE_LIMIT}::test_events_with_a_long_wait_stay_in_the_queue",
    ),
    Patch(
        "one busy account keeps the places of all others",
        "gateway/worker/executor.py::Executor._wait_for_rate_limit",
        "max_wait = 0.0 if by else _MAX_WAIT",
        "max_wait = _MAX_WAIT",
        f"{_RATE_LIMIT}::test_one_account_over_its_limit_does_not_hold_up_another",
    ),
    Patch(
        "an end waits for the limit",
        "gateway/worker/executor.py::Executor._wait_for_rate_limit",
        "await self.ending.wait()\n                    return",
        "await asyncio.sleep(wait)\n                    return",
        f"{_RATE_LIMIT}::test_an_end_does_not_wait_for_the_limit",
    ),
    Patch(
        "the hopeless pauses a worker",
        "gateway/worker/executor.py::Executor.fail",
        "if not isinstance(error, Dead) and (pause",
        "if (pause",
        f"{_BREAKER}::test_dead_events_do_not_open_the_breaker",
    ),
    Patch(
        "a worker goes on while its handlers fail",
        "gateway/worker/executor.py::Executor.pause",
        "return max(self._breaker.pause, self._limited",
        "return max(self._limited",
        f"{_BREAKER}::test_a_worker_whose_handlers_keep_failing_leaves_its_events_alone",
    ),
    Patch(
        "the text of an exception goes into a span",
        "gateway/worker/executor.py::Executor.run",
        "settlement.name, qualified_name(settlement.failure)",
        "settlement.name, repr(settlement.failure)",
        "tests/gateway/observability/test_tracing.py::test_an_attempt_that_failed_says_by_what_kind_of_exception",
    ),
)
