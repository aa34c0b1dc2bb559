"""The alerts that are no objectives: each thing that needs a person, or will.

The module has more than 200 lines because it is one list, each entry with its runbook and its two tests.
"""

from __future__ import annotations

from monitoring.model import Alert, Case
from monitoring.objectives import burn_alerts
from monitoring.outbound_alerts import OUTBOUND_ALERTS

_G = 'job="webhook-gateway",instance="a"'
"""The labels of a gateway in tests."""

_LABELS = {"job": "webhook-gateway", "instance": "a"}


def alerts() -> list[Alert]:
    """Return all alerts: those of objectives, of the gateway, and of the way out."""
    return [*burn_alerts(), *ALERTS, *OUTBOUND_ALERTS]


ALERTS = (
    Alert(
        "GatewayDown",
        'up{job="webhook-gateway"} == 0 or webhook_processes < 1 or absent(webhook_processes)',
        "2m",
        "page",
        "A gateway does not answer, or none of its processes is alive",
        "No webhook is received there. Providers repeat for hours or days, as their pages say.",
        (
            "Look at its log and its state: `systemctl status`, `docker compose ps`, `kubectl get pods`.",
            "Exit code 3 means that the configuration is refused; the log names the line.",
            "Scraping needs the admin listener (`server.admin_bind`): if only that is unreachable, webhooks still flow.",
        ),
        Case({f"webhook_processes{{{_G}}}": "1x3 0x10"}, "8m", labels=(_LABELS,)),
        Case({f"webhook_processes{{{_G}}}": "1x3 0x1 1x10", f"up{{{_G}}}": "1x15"}, "8m"),
    ),
    Alert(
        "ProcessesRestarting",
        "increase(webhook_process_restarts_total[15m]) > 3",
        "",
        "ticket",
        "Processes of the gateway end again and again",
        "Requests that a process had when it ended are not acknowledged; their providers repeat them.",
        (
            "The log says how each process ended: `process ended`, with its exit status or signal.",
            "Signal 9 is often the kernel, short of memory: lower `server.max_buffered` or give it more.",
        ),
        Case({f"webhook_process_restarts_total{{{_G}}}": "0+1x20"}, "20m", labels=(_LABELS,)),
        Case({f"webhook_process_restarts_total{{{_G}}}": "0x5 1x20"}, "20m"),
    ),
    Alert(
        "ConsoleRestarting",
        "increase(webhook_console_restarts_total[15m]) > 3",
        "",
        "ticket",
        "The console ends again and again",
        "Webhooks flow; pages, metrics and the journal are interrupted.",
        (
            "The log says why it ended. A journal that cannot be read is set aside, and the log names the file.",
        ),
        Case({f"webhook_console_restarts_total{{{_G}}}": "0+1x20"}, "20m", labels=(_LABELS,)),
        Case({f"webhook_console_restarts_total{{{_G}}}": "0x5 1x20"}, "20m"),
    ),
    Alert(
        "BrokerAway",
        "webhook_broker_unavailable > 0",
        "2m",
        "page",
        "RabbitMQ accepts no events from the gateway",
        "Events are acknowledged and wait in the spool; no worker gets them. With the spool off they are answered 503.",
        (
            "`/readyz` on the admin listener says why: refused, blocked by an alarm, or not confirmed in time.",
            "If RabbitMQ is short of disk or memory, free some: it takes nothing until then.",
            "Nothing has to be done afterwards: the spool is published in order by itself.",
        ),
        Case({f"webhook_broker_unavailable{{{_G}}}": "0 1x10"}, "5m", labels=(_LABELS,)),
        Case({f"webhook_broker_unavailable{{{_G}}}": "0 1 0x10"}, "5m"),
    ),
    Alert(
        "SpoolFilling",
        "predict_linear(webhook_spool_bytes[15m], 3600) > webhook_spool_max_bytes and webhook_spool_bytes > 0",
        "5m",
        "page",
        "The spool will be full within an hour",
        "When it is full, requests are answered 503, and providers repeat them.",
        (
            "Bring RabbitMQ back: see [BrokerAway](#brokeraway).",
            "Raise `spool.max_size` if the disk has room, and reload the configuration.",
        ),
        Case(
            {f"webhook_spool_bytes{{{_G}}}": "0+10x30", f"webhook_spool_max_bytes{{{_G}}}": "700x30"},
            "25m",
            labels=(_LABELS,),
        ),
        Case({f"webhook_spool_bytes{{{_G}}}": "0+1x30", f"webhook_spool_max_bytes{{{_G}}}": "700x30"}, "25m"),
    ),
    Alert(
        "SpoolCorrupt",
        "webhook_spool_corrupt > 0",
        "",
        "page",
        "Events in the spool could not be read or published, and were set aside",
        "They were acknowledged, and are not published. The log line `spool row set aside` says why: a disk or a crash of the "
        "machine has damaged them, or they are larger than RabbitMQ's `max_message_size`.",
        (
            "Too large: raise `max_message_size`, restart RabbitMQ, stop the gateway, run `gateway spool drain --corrupt`.",
            "Damaged: `gateway spool export --corrupt` writes what can be read.",
            "Compare with the providers' own lists of deliveries, and have them sent again. Check the disk.",
        ),
        Case({f"webhook_spool_corrupt{{{_G}}}": "0 2x5"}, "3m", labels=(_LABELS,)),
        Case({f"webhook_spool_corrupt{{{_G}}}": "0x9"}, "3m"),
    ),
    Alert(
        "SpoolLeftBehind",
        "time() - webhook_spool_oldest_timestamp_seconds > 3600 and webhook_broker_unavailable == 0",
        "10m",
        "ticket",
        "Events wait in the spool although RabbitMQ takes them",
        "They belong to a process that no longer runs, such as after `server.processes` was lowered.",
        ("`gateway spool drain` publishes them. See [the spool](../how-to/operate/spool.md).",),
        Case(
            {
                f"webhook_spool_oldest_timestamp_seconds{{{_G}}}": "60x90",
                f"webhook_broker_unavailable{{{_G}}}": "0x90",
            },
            "80m",
            labels=(_LABELS,),
        ),
        Case(
            {
                f"webhook_spool_oldest_timestamp_seconds{{{_G}}}": "60x90",
                f"webhook_broker_unavailable{{{_G}}}": "1x90",
            },
            "80m",
        ),
    ),
    Alert(
        "ClaimsUnchecked",
        "sum by (provider) (increase(webhook_dedupe_unchecked_total[5m])) > 0",
        "5m",
        "ticket",
        "Events of {{ $labels.provider }} are published without deduplication",
        "Redis does not answer. Nothing is lost, but repetitions are published as events of their own.",
        (
            "`/readyz` on the admin listener says why; `gateway status` asks Redis itself.",
            "Workers skip repetitions that they have handled, as far as their own store answers.",
        ),
        Case(
            {'webhook_dedupe_unchecked_total{provider="stripe"}': "0+1x20"},
            "12m",
            labels=({"provider": "stripe"},),
        ),
        Case({'webhook_dedupe_unchecked_total{provider="stripe"}': "0x3 1x20"}, "12m"),
    ),
    Alert(
        "WrongSecret",
        "sum by (provider) (increase(webhook_signature_failures_total[15m])) > 5 "
        "unless sum by (provider) (increase(webhook_events_total[15m])) > 0",
        "5m",
        "page",
        "No request of {{ $labels.provider }} has a valid signature",
        "All of its events are refused with 401. Most providers give up after some days, or disable the address.",
        (
            "`gateway explain`, or the page *Requests* of the console, says what is wrong with a refused request.",
            "If the secret was replaced at the provider, add the new one to `secrets:` and reload.",
            "See [debug a 401](../how-to/operate/debug-a-401.md).",
        ),
        Case(
            {
                'webhook_signature_failures_total{provider="stripe",reason="no_match"}': "0+1x40",
                'webhook_events_total{provider="stripe",outcome="accepted"}': "9x40",
            },
            "30m",
            labels=({"provider": "stripe"},),
        ),
        Case(
            {
                'webhook_signature_failures_total{provider="stripe",reason="no_match"}': "0+1x40",
                'webhook_events_total{provider="stripe",outcome="accepted"}': "0+1x40",
            },
            "30m",
        ),
    ),
    Alert(
        "SignatureFailures",
        "sum by (provider) (rate(webhook_signature_failures_total[15m])) "
        "> 5 * sum by (provider) (rate(webhook_signature_failures_total[7d])) "
        "and sum by (provider) (increase(webhook_signature_failures_total[15m])) > 20",
        "5m",
        "ticket",
        "Many more requests for {{ $labels.provider }} than usual have no valid signature",
        "Somebody sends forgeries, or something changes requests on their way here.",
        (
            "The metric's label `reason` says why signatures fail. `gateway explain` finds what changed a request.",
            "Forgeries cost little and change nothing. `allow_ips` keeps them out where a provider publishes its addresses.",
        ),
        Case(
            {'webhook_signature_failures_total{provider="stripe",reason="no_match"}': "0x576 0+10x20"},
            "2940m",
            "5m",
            labels=({"provider": "stripe"},),
        ),
        Case(
            {'webhook_signature_failures_total{provider="stripe",reason="no_match"}': "0+10x600"},
            "2940m",
            "5m",
        ),
    ),
    Alert(
        "ProviderSilent",
        'sum by (provider) (increase(webhook_requests_total{provider!=""}[1h])) == 0 '
        'and sum by (provider) (increase(webhook_requests_total{provider!=""}[7d])) > 1680',
        "5m",
        "ticket",
        "{{ $labels.provider }} has sent nothing for an hour, and usually sends ten events an hour or more",
        "Either nothing happens there, or its requests no longer reach the gateway.",
        (
            "Look at the provider's own page of deliveries: it shows what it got for an answer, or that it disabled the address.",
            "Send a request through the public address: `gateway send --to https://…`. It tells a proxy or DNS from the provider.",
        ),
        Case(
            {'webhook_requests_total{provider="stripe",outcome="accepted"}': "0+10x200 2000x40"},
            "1140m",
            "5m",
            labels=({"provider": "stripe"},),
        ),
        Case(
            {'webhook_requests_total{provider="stripe",outcome="accepted"}': "0+0.5x200 100x40"},
            "1140m",
            "5m",
        ),
    ),
    Alert(
        "QuarantineGrowing",
        'sum by (provider) (increase(webhook_events_total{outcome="quarantined"}[30m])) > 0',
        "5m",
        "ticket",
        "Events of {{ $labels.provider }} violate their schema",
        "They were acknowledged and wait in the quarantine; no worker gets them.",
        (
            "`gateway quarantine list`, or the page *Quarantine* of the console, groups them by what they violate.",
            "If the provider changed its events, take the schema that the console proposes, then release them.",
            "See [the quarantine](../how-to/operate/quarantine.md).",
        ),
        Case(
            {'webhook_events_total{provider="stripe",outcome="quarantined"}': "0x5 0+1x30"},
            "20m",
            labels=({"provider": "stripe"},),
        ),
        Case({'webhook_events_total{provider="stripe",outcome="quarantined"}': "7x40"}, "20m"),
    ),
    Alert(
        "UnroutedGrowing",
        'max by (queue) (delta(webhook_queue_messages{kind="unrouted"}[30m])) > 0',
        "5m",
        "ticket",
        "Events arrive that no queue is bound for",
        "They wait in {{ $labels.queue }}. A worker that is started later does not get them by itself.",
        (
            "`gateway unrouted list` shows their types. Add them to a worker's `events`, or leave them out with `events:` of the provider.",
            "`gateway unrouted route --to QUEUE` hands those that wait to a worker.",
        ),
        Case(
            {'webhook_queue_messages{queue="webhooks.unrouted",kind="unrouted"}': "0x5 0+1x30"},
            "20m",
            labels=({"queue": "webhooks.unrouted"},),
        ),
        Case({'webhook_queue_messages{queue="webhooks.unrouted",kind="unrouted"}': "40x40"}, "20m"),
    ),
    Alert(
        "DeadGrowing",
        'max by (queue) (delta(webhook_queue_messages{kind="dead_letters"}[30m])) > 0',
        "5m",
        "ticket",
        "Events are dead-lettered in {{ $labels.queue }}",
        "Their handler failed at every attempt, or refused them. They wait there until somebody decides.",
        (
            "`gateway dead list QUEUE`, or the page *Dead letters* of the console, groups them by exception and place.",
            "Fix the handler, then `gateway dead redrive QUEUE`. See [dead letters](../how-to/operate/dead-letters.md).",
        ),
        Case(
            {'webhook_queue_messages{queue="agent.dead",kind="dead_letters"}': "0x5 0+1x30"},
            "20m",
            labels=({"queue": "agent.dead"},),
        ),
        Case({'webhook_queue_messages{queue="agent.dead",kind="dead_letters"}': "40x10 39x30"}, "20m"),
    ),
    Alert(
        "QueueWithoutConsumer",
        'max by (queue) (webhook_queue_messages{kind="worker"}) > 0 '
        'and max by (queue) (webhook_queue_consumers{kind="worker"}) == 0',
        "5m",
        "page",
        "{{ $value }} events wait in {{ $labels.queue }}, and no worker reads it",
        "The worker is not running, or cannot reach RabbitMQ. Events wait and are not lost.",
        (
            "Start the worker, and look at its log: it says why it ended, or what it waits for.",
            "If the queue is no longer needed, delete it: it fills for ever.",
        ),
        Case(
            {
                'webhook_queue_messages{queue="agent",kind="worker"}': "5x20",
                'webhook_queue_consumers{queue="agent",kind="worker"}': "1x5 0x20",
            },
            "15m",
            labels=({"queue": "agent"},),
            value="5",
        ),
        Case(
            {
                'webhook_queue_messages{queue="agent",kind="worker"}': "5x20",
                'webhook_queue_consumers{queue="agent",kind="worker"}': "1x5 0x2 1x20",
            },
            "15m",
        ),
    ),
    Alert(
        "LagHigh",
        "histogram_quantile(0.95, sum by (queue, le) (rate(webhook_lag_seconds_bucket[15m]))) > 300",
        "10m",
        "ticket",
        "One event in twenty of {{ $labels.queue }} waits longer than 5 minutes for its worker",
        "The worker is slower than its events arrive, or a backlog is being worked off.",
        (
            "Open the dashboard *Workers*: is the lag falling? Then wait.",
            "Otherwise raise `concurrency`, start another process, or look for a slow call in the handler.",
        ),
        Case(
            {
                'webhook_lag_seconds_bucket{queue="agent",le="300.0"}': "0x60",
                'webhook_lag_seconds_bucket{queue="agent",le="1800.0"}': "0+5x60",
                'webhook_lag_seconds_bucket{queue="agent",le="+Inf"}': "0+5x60",
            },
            "40m",
            labels=({"queue": "agent"},),
        ),
        Case(
            {
                'webhook_lag_seconds_bucket{queue="agent",le="300.0"}': "0+5x60",
                'webhook_lag_seconds_bucket{queue="agent",le="1800.0"}': "0+5x60",
                'webhook_lag_seconds_bucket{queue="agent",le="+Inf"}': "0+5x60",
            },
            "40m",
        ),
    ),
    Alert(
        "WorkerPaused",
        "max by (queue) (webhook_worker_processes_paused) > 0 or max by (queue) (webhook_deliveries_paused) > 0",
        "5m",
        "ticket",
        "The worker of {{ $labels.queue }} leaves its events in the queue",
        "Its handlers fail in a row, or it is over its rate limit. Events wait and are not lost.",
        (
            "`gateway status` and the worker's log say why: `paused`, with the last exception and its place.",
            "Fix the handler and restart the worker, which ends the pause.",
        ),
        Case(
            {'webhook_worker_processes_paused{queue="agent"}': "0x5 1x20"},
            "15m",
            labels=({"queue": "agent"},),
        ),
        Case({'webhook_worker_processes_paused{queue="agent"}': "0x5 1x3 0x20"}, "15m"),
    ),
    Alert(
        "ClockOff",
        "abs(webhook_clock_offset_seconds) > 5",
        "5m",
        "ticket",
        "The clock of the gateway differs from that of Redis by {{ $value }} s",
        "Signed timestamps are checked by this clock. Beyond the tolerance, most often 5 minutes, genuine requests are refused.",
        ("Start a time service on both machines: `timedatectl`, or chrony.",),
        Case({f"webhook_clock_offset_seconds{{{_G}}}": "-9x20"}, "15m", labels=(_LABELS,), value="9"),
        Case({f"webhook_clock_offset_seconds{{{_G}}}": "-9x3 1x20"}, "15m"),
    ),
    Alert(
        "SecretUnused",
        "webhook_secret_removable == 1",
        "1d",
        "notice",
        "Secret {{ $labels.slot }} of {{ $labels.provider }} can be removed",
        "The provider signs with another one. An old secret that is still accepted is one that can still be stolen.",
        ("`gateway secrets` shows the evidence. Remove the secret from the configuration and reload.",),
        Case(
            {'webhook_secret_removable{provider="stripe",slot="1"}': "1x360"},
            "25h",
            "5m",
            labels=({"provider": "stripe", "slot": "1"},),
        ),
        Case({'webhook_secret_removable{provider="stripe",slot="1"}': "1x200 0x160"}, "25h", "5m"),
    ),
    Alert(
        "CertificateExpires",
        '(webhook_certificate_expires_timestamp_seconds{use!="key"} - time() < 1209600) or '
        '(webhook_certificate_expires_timestamp_seconds{use="key"} - time() < 86400)',
        "1h",
        "ticket",
        "A certificate of {{ $labels.part }} ({{ $labels.use }}) is about to end",
        "With a `client` or `ca` that has ended there is no connection to the broker or to Redis. A provider whose `key` has "
        "ended cannot be verified, and its requests are refused.",
        (
            "`client`, `ca`: renew the file that `rabbitmq.tls` or `redis.tls` names, and restart the gateway.",
            (
                "`key`: the gateway fetches keys every hour, so the provider has not published a new one. Ask the provider, and see "
                "in the log whether fetching fails."
            ),
        ),
        Case(
            {'webhook_certificate_expires_timestamp_seconds{part="redis",use="client"}': "864000x30"},
            "2h",
            "5m",
            labels=({"part": "redis", "use": "client"},),
        ),
        Case(
            {'webhook_certificate_expires_timestamp_seconds{part="sns",use="key"}': "864000x30"}, "2h", "5m"
        ),
    ),
    Alert(
        "JournalDropping",
        'sum by (stage) (increase(webhook_journal_dropped_total{stage!="refused"}[15m])) > 0',
        "5m",
        "ticket",
        "Entries of the journal are dropped: {{ $labels.stage }}",
        "Events flow; what happened to some of them will not be found. The stage says which limit was met.",
        (
            "`disk`: free some space. `backlog`: the console does not index; look at its log.",
            "`memory`: the disk is too slow. `list`: a request had more than a thousand events.",
        ),
        Case(
            {'webhook_journal_dropped_total{stage="disk"}': "0+1x30"},
            "15m",
            labels=({"stage": "disk"},),
        ),
        Case({'webhook_journal_dropped_total{stage="refused"}': "0+1x30"}, "15m"),
    ),
    Alert(
        "LogLinesDropped",
        "increase(webhook_log_lines_dropped_total[15m]) > 0",
        "5m",
        "notice",
        "Log lines are dropped because nobody reads them in time",
        "Events flow. The reader of standard output is slower than the gateway writes.",
        ("Look at what collects the logs: its disk, its rate limit.",),
        Case({f"webhook_log_lines_dropped_total{{{_G}}}": "0+1x30"}, "15m", labels=(_LABELS,)),
        Case({f"webhook_log_lines_dropped_total{{{_G}}}": "4x30"}, "15m"),
    ),
    Alert(
        "ConsoleBlind",
        "time() - webhook_observed_timestamp_seconds > 300",
        "5m",
        "ticket",
        "The console cannot look at queues, workers and secrets",
        "Alerts about queues and workers show what was 5 minutes ago, and do not fire for what is new.",
        ("The console's log says why: `console task failed`, task `observing`.",),
        Case({f"webhook_observed_timestamp_seconds{{{_G}}}": "60x30"}, "15m", labels=(_LABELS,)),
        Case({f"webhook_observed_timestamp_seconds{{{_G}}}": "0+60x30"}, "15m"),
    ),
    Alert(
        "RedisEvicts",
        "increase(redis_evicted_keys_total[15m]) > 0",
        "",
        "page",
        "Redis evicts keys, and claims are among them",
        "A claim that is evicted lets a repetition through: events may be published and handled twice.",
        (
            "Set `maxmemory-policy noeviction` and give Redis more memory, or lower `dedupe.retention`.",
            "[Limits](limits.md) says how much memory claims take.",
        ),
        Case(
            {'redis_evicted_keys_total{instance="redis"}': "0+1x20"}, "15m", labels=({"instance": "redis"},)
        ),
        Case({'redis_evicted_keys_total{instance="redis"}': "5x20"}, "15m"),
    ),
    Alert(
        "BrokerShortOfResources",
        "rabbitmq_alarms_memory_used_watermark == 1 or rabbitmq_alarms_free_disk_space_watermark == 1",
        "1m",
        "page",
        "RabbitMQ is short of memory or disk, and takes no messages",
        "It stops reading from all connections that publish. Events wait in the spool.",
        ("Free disk space, or empty queues that nobody reads. It goes on by itself once it has enough.",),
        Case(
            {'rabbitmq_alarms_free_disk_space_watermark{instance="rabbitmq"}': "0 1x10"},
            "5m",
            labels=({"instance": "rabbitmq"},),
        ),
        Case({'rabbitmq_alarms_free_disk_space_watermark{instance="rabbitmq"}': "0x10"}, "5m"),
    ),
)
