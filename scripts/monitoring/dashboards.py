"""The dashboards, panel by panel.

The module has more than 200 lines because it is one list; each panel says what to do when it looks wrong.
"""

from __future__ import annotations

from monitoring.model import Dashboard, Panel

_RATE = "$__rate_interval"

_DURATION = "webhook_request_duration_seconds_bucket"


def _quantiles(metric: str, by: str = "", where: str = "") -> tuple[tuple[str, str], ...]:
    labels = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return tuple(
        (
            f"histogram_quantile({share}, sum by ({labels}) (rate({metric}{where}[{_RATE}])))",
            f"{legend}p{name}",
        )
        for share, name in (("0.5", "50"), ("0.99", "99"), ("0.999", "99.9"))
    )


GATEWAY = Dashboard(
    "Gateway",
    "Is every webhook received, proven and published?",
    (
        Panel(
            "Events a second",
            (
                (
                    f'sum by (outcome) (rate(webhook_events_total{{outcome=~"accepted|quarantined|duplicate|ignored"}}[{_RATE}]))',
                    "{{outcome}}",
                ),
            ),
            "Genuine events by what became of them. If nothing is accepted, look at the requests beside. If much is a "
            "duplicate, a provider repeats: its requests are answered too late, or with an error.",
            "reqps",
        ),
        Panel(
            "Requests by outcome",
            ((f"sum by (outcome) (rate(webhook_requests_total[{_RATE}]))", "{{outcome}}"),),
            "Every request with its answer. 503 outcomes such as broker_unavailable are ours; see the alert AcceptanceBudgetBurns.",
            "reqps",
        ),
        Panel(
            "Refused signatures by reason",
            (
                (
                    f"sum by (provider, reason) (rate(webhook_signature_failures_total[{_RATE}]))",
                    "{{provider}} {{reason}}",
                ),
            ),
            "Requests that nobody proved. If a provider has these and no events, its secret is wrong: see the alert WrongSecret.",
            "reqps",
        ),
        Panel(
            "Time to answer",
            _quantiles(_DURATION),
            "Providers give up after some seconds and repeat. If this climbs, compare it with the unconfirmed publishes: an "
            "answer waits for the broker's confirm.",
            "s",
        ),
        Panel(
            "Error budgets",
            (
                ("webhook:acceptance_errors:ratio_rate1h / 0.0005", "acceptance"),
                ("webhook:answer_errors:ratio_rate1h / 0.01", "answer"),
                ("webhook:freshness_errors:ratio_rate1h / 0.01", "freshness"),
                ("webhook:handling_errors:ratio_rate1h / 0.001", "handling"),
            ),
            "How fast each objective's budget burns; at 1 it lasts exactly a month. Above 14.4 somebody is called: follow the "
            "runbook of the alert that has its name.",
        ),
        Panel(
            "Spool",
            (
                ("webhook_spooled", "events {{instance}}"),
                ("webhook_spool_corrupt", "set aside {{instance}}"),
            ),
            "Events that are acknowledged and wait on disk for RabbitMQ. It has to fall to 0 by itself when RabbitMQ is back. "
            "If it does not, see the alert SpoolLeftBehind; if rows are set aside, SpoolCorrupt.",
        ),
        Panel(
            "Spool against its limit",
            (
                ("webhook_spool_bytes", "used {{instance}}"),
                ("webhook_spool_max_bytes", "limit {{instance}}"),
            ),
            "When the spool is full, requests are answered 503. Bring RabbitMQ back, or raise spool.max_size.",
            "bytes",
        ),
        Panel(
            "Unconfirmed publishes",
            (
                ("webhook_publishes_unconfirmed", "unconfirmed {{instance}}"),
                ("webhook_broker_unavailable", "processes without a broker {{instance}}"),
            ),
            "Messages that wait for RabbitMQ's confirm. Hundreds mean a slow disk there. A process without a broker spools: see "
            "the alert BrokerAway.",
        ),
        Panel(
            "Processes",
            (
                ("webhook_processes", "alive {{instance}}"),
                (f"increase(webhook_process_restarts_total[{_RATE}])", "restarts {{instance}}"),
                (f"increase(webhook_console_restarts_total[{_RATE}])", "console restarts {{instance}}"),
            ),
            "Processes that receive. Restarts in a row are a crash: the log says how each ended; see ProcessesRestarting.",
        ),
        Panel(
            "Connections and requests under way",
            (
                ("webhook_connections", "connections {{instance}}"),
                ("webhook_requests_in_flight", "requests {{instance}}"),
            ),
            "Near server.max_connections or server.max_in_flight requests are answered 503: add processes, or find who holds "
            "connections open.",
        ),
        Panel(
            "Published without deduplication",
            ((f"sum by (provider) (rate(webhook_dedupe_unchecked_total[{_RATE}]))", "{{provider}}"),),
            "Redis did not answer; repetitions pass as events of their own. See the alert ClaimsUnchecked.",
            "reqps",
        ),
        Panel(
            "Dropped log lines and journal entries",
            (
                (f"sum by (stage) (increase(webhook_journal_dropped_total[{_RATE}]))", "journal, {{stage}}"),
                (f"sum(increase(webhook_log_lines_dropped_total[{_RATE}]))", "log lines"),
            ),
            "Evidence that is missing; events are not. The stage `refused` is a limit for requests that nobody proved, and needs "
            "nothing. For others see the alert JournalDropping.",
        ),
    ),
)

_P = '{provider="$provider"}'

PROVIDER = Dashboard(
    "Provider",
    "Does this provider reach us, and are its events what we expect?",
    (
        Panel(
            "Requests by outcome",
            ((f"sum by (outcome) (rate(webhook_requests_total{_P}[{_RATE}]))", "{{outcome}}"),),
            "If nothing comes, look at the provider's own list of deliveries; see the alert ProviderSilent.",
            "reqps",
        ),
        Panel(
            "Events by outcome",
            ((f"sum by (outcome) (rate(webhook_events_total{_P}[{_RATE}]))", "{{outcome}}"),),
            "Quarantined events violate their schema: list them with `gateway quarantine list`.",
            "reqps",
        ),
        Panel(
            "Refused signatures by reason",
            ((f"sum by (reason) (rate(webhook_signature_failures_total{_P}[{_RATE}]))", "{{reason}}"),),
            "The reason says what to do: docs/reference/http-responses.md lists them. `gateway explain` looks at one request.",
            "reqps",
        ),
        Panel(
            "Time to answer",
            _quantiles(_DURATION, where=_P),
            "Stay below the time after which the provider gives up, which its page names.",
            "s",
        ),
        Panel(
            "Matches by secret",
            ((f"sum by (slot) (rate(webhook_secret_slot_matches_total{_P}[{_RATE}]))", "secret {{slot}}"),),
            "While a secret is rotated, the new one has to take over. Remove the old one when `gateway secrets` says so.",
            "reqps",
        ),
        Panel(
            "Since each secret matched",
            ((f"time() - (webhook_secret_last_match_timestamp_seconds{_P} > 0)", "secret {{slot}}"),),
            "An old secret that has not matched for longer than the provider repeats can go; see the alert SecretUnused.",
            "s",
        ),
        Panel(
            "Suspected replays",
            (
                (f"sum(rate(webhook_replays_suspected_total{_P}[{_RATE}]))", "same body, other id"),
                (f"sum(rate(webhook_id_body_mismatches_total{_P}[{_RATE}]))", "same id, other body"),
            ),
            "Events that resemble one before. A few are normal where a provider's ids are not unique; many are worth a question "
            "to the provider.",
            "reqps",
        ),
        Panel(
            "Claims that could not be committed",
            ((f"sum(rate(webhook_claim_commit_failures_total{_P}[{_RATE}]))", "claims"),),
            "Redis failed between publish and commit; a repetition of such an event is published again. Look at Redis.",
            "reqps",
        ),
    ),
    ("provider", "webhook_requests_total"),
)

WORKERS = Dashboard(
    "Workers",
    "Is each event handled, soon and with success?",
    (
        Panel(
            "Deliveries by outcome",
            (
                (
                    f"sum by (queue, outcome) (rate(webhook_deliveries_total[{_RATE}]))",
                    "{{queue}} {{outcome}}",
                ),
            ),
            "What became of each attempt. Retried is a failure that is tried again; dead exhausted its retries: see `gateway dead list`.",
            "reqps",
        ),
        Panel(
            "Lag: from arrival to the first attempt",
            _quantiles("webhook_lag_seconds_bucket", "queue"),
            "If it grows, the worker is too slow, paused or absent: raise concurrency, start another process, see the panels below.",
            "s",
        ),
        Panel(
            "Time in handlers",
            _quantiles("webhook_handler_duration_seconds_bucket", "queue"),
            "A jump is a slow call in the handler. Above the worker's timeout an attempt fails.",
            "s",
        ),
        Panel(
            "Events that wait",
            (('max by (queue) (webhook_queue_messages{kind="worker"})', "{{queue}}"),),
            "Messages ready in each queue. If it only grows, there are too few consumers.",
        ),
        Panel(
            "Consumers",
            (
                ('max by (queue) (webhook_queue_consumers{kind="worker"})', "consumers {{queue}}"),
                ("max by (queue) (webhook_worker_processes)", "processes {{queue}}"),
            ),
            "A queue without a consumer fills: start its worker; see the alert QueueWithoutConsumer.",
        ),
        Panel(
            "Paused processes",
            (
                ("max by (queue) (webhook_worker_processes_paused)", "{{queue}}"),
                ("max by (queue) (webhook_deliveries_paused)", "{{queue}}, by itself"),
            ),
            "Handlers fail in a row, or a rate limit is reached. The worker's log says which: `paused`.",
        ),
        Panel(
            "In progress",
            (
                ("max by (queue) (webhook_worker_in_progress)", "{{queue}}"),
                ("sum by (queue) (webhook_deliveries_in_hand)", "{{queue}}, by itself"),
            ),
            "Events that workers hold. Always at concurrency means that they are the bottleneck.",
        ),
        Panel(
            "Dead letters",
            (('max by (queue) (webhook_queue_messages{kind="dead_letters"})', "{{queue}}"),),
            "Events that exhausted their retries. Nothing empties these by itself: fix the handler, then `gateway dead redrive`.",
        ),
        Panel(
            "Quarantine and unrouted",
            (('max by (queue) (webhook_queue_messages{kind=~"quarantine|unrouted"})', "{{queue}}"),),
            "Events that violate their schema, and events that no queue is bound for. Release or route them.",
        ),
    ),
)

_OURS = '{queue=~"webhooks.*|.*[.]dead|.*[.]retry[.].*"}'

DEPENDENCIES = Dashboard(
    "Dependencies",
    "Do RabbitMQ and Redis have what they need? From RabbitMQ's own plugin and redis_exporter.",
    (
        Panel(
            "Alarms of RabbitMQ",
            (
                ("rabbitmq_alarms_memory_used_watermark", "memory {{instance}}"),
                ("rabbitmq_alarms_free_disk_space_watermark", "disk {{instance}}"),
            ),
            "At 1 RabbitMQ takes no messages: free disk or memory; see the alert BrokerShortOfResources.",
        ),
        Panel(
            "Messages in RabbitMQ's queues",
            ((f"sum by (queue) (rabbitmq_detailed_queue_messages_ready{_OURS})", "{{queue}}"),),
            "The gateway's own queues, dead-letter and delay queues. Nothing empties webhooks.unrouted and *.dead by itself.",
        ),
        Panel(
            "Free disk of RabbitMQ",
            (
                ("rabbitmq_disk_space_available_bytes", "free {{instance}}"),
                ("rabbitmq_disk_space_available_limit_bytes", "limit {{instance}}"),
            ),
            "Below the limit it takes no messages. Quorum queues keep every message on disk until it is acknowledged.",
            "bytes",
        ),
        Panel(
            "Memory of Redis",
            (
                ("redis_memory_used_bytes", "used {{instance}}"),
                ("redis_memory_max_bytes > 0", "limit {{instance}}"),
            ),
            "Claims take most of it: docs/reference/limits.md says how much. Lower dedupe.retention, or add memory, before it is full.",
            "bytes",
        ),
        Panel(
            "Keys that Redis evicted",
            ((f"increase(redis_evicted_keys_total[{_RATE}])", "{{instance}}"),),
            "Must be 0: an evicted claim lets a repetition through. Set maxmemory-policy noeviction; see the alert RedisEvicts.",
        ),
        Panel(
            "Clock against Redis",
            (("webhook_clock_offset_seconds", "{{instance}}"),),
            "More than some seconds is a clock without a time service; signed timestamps are checked by it. See the alert ClockOff.",
            "s",
        ),
    ),
)

ENDPOINTS = Dashboard(
    "Endpoints",
    "Is each event delivered to its endpoints, soon and with success?",
    (
        Panel(
            "Accepted and delivered",
            (
                (f"sum(rate(outbound_accepted_total[{_RATE}]))", "events accepted"),
                (f"sum(rate(outbound_delivered_total[{_RATE}]))", "deliveries"),
            ),
            "Events that an endpoint wants, and deliveries that receivers took. An event for three endpoints is three deliveries. "
            "If only the first line stands, look at the failures beside.",
            "reqps",
        ),
        Panel(
            "Failed attempts by outcome",
            ((f"sum by (outcome) (rate(outbound_failed_total[{_RATE}]))", "{{outcome}}"),),
            "How attempts fail; each is tried again. `status` is a refusal of the receiver; `dns`, `connect`, `tls_*` and `timeout_*` "
            "of everybody at once is your own network or name server.",
            "reqps",
        ),
        Panel(
            "Dead and held",
            (
                (f"sum by (tenant) (increase(outbound_dead_total[{_RATE}]))", "dead {{tenant}}"),
                (f"sum by (tenant) (increase(outbound_held_total[{_RATE}]))", "held {{tenant}}"),
            ),
            "Deliveries that need somebody: list them with `gateway deliveries list --state dead`; see the alerts DeliveriesDead and "
            "DeliveriesHeld.",
        ),
        Panel(
            "Age of the oldest that is due",
            (("max by (circuit) (outbound_age_seconds)", "circuit {{circuit}}"),),
            "With a closed circuit it has to stay near 0: see the alert DeliveriesLate. With an open one it grows until the receiver "
            "is well again.",
            "s",
        ),
        Panel(
            "Circuits",
            (('sum by (state) (outbound_circuits{state!="closed"})', "{{state}}"),),
            "Endpoints that get nothing for a while because they failed, or one attempt to see whether they are well. Many at once "
            "are a fault on your side of the network.",
        ),
        Panel(
            "Endpoints by state",
            (("sum by (state) (outbound_endpoints)", "{{state}}"),),
            "Failing ones have taken nothing for a quarter of an hour, disabled ones get nothing more: see EndpointFailing and "
            "EndpointDisabled.",
        ),
        Panel(
            "Time of attempts",
            _quantiles("outbound_attempt_seconds_bucket", where='{phase="total"}'),
            "From the look-up of the name to the head of the response. Receivers should queue and answer; those above 2 s move to "
            "the slow lane.",
            "s",
        ),
        Panel(
            "Time by phase, p99",
            (
                (
                    f"histogram_quantile(0.99, sum by (le, phase) (rate(outbound_attempt_seconds_bucket[{_RATE}])))",
                    "{{phase}}",
                ),
            ),
            "Slow `dns` is your name server, slow `connect` and `tls` the network or the receiver's proxy, slow `head` the receiver's "
            "program.",
            "s",
        ),
        Panel(
            "Attempts under way",
            (("sum by (lane) (outbound_in_flight)", "{{lane}}"),),
            "A process has 1,000 places in the fast lane and 500 in the slow one. A full slow lane is receivers that hang; a full fast "
            "one needs another process.",
        ),
        Panel(
            "Shards by process",
            (("outbound_shards", "{{instance}}"), ("sum(outbound_shards)", "all")),
            "Each process owns as many of the 256 shards as the others. If the sum stays below, endpoints get nothing: see the alert "
            "ShardsWithoutOwner.",
        ),
        Panel(
            "Process and database",
            (
                ("outbound_up", "up {{instance}}"),
                ("outbound_database_unavailable", "database away {{instance}}"),
            ),
            "While the database is away no attempt begins, since it could not be recorded: see OutboundDown and OutboundDatabaseAway.",
        ),
        Panel(
            "Attempts that wait to be recorded",
            (("outbound_records_waiting", "{{instance}}"),),
            "Outcomes that the database has not got yet. At 1,000 no further attempt begins; always above 100 means a slow disk of the "
            "database.",
        ),
    ),
)

DASHBOARDS = (GATEWAY, PROVIDER, WORKERS, ENDPOINTS, DEPENDENCIES)
