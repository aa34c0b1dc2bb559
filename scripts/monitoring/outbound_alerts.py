"""The alerts of the way out.

The module has more than 200 lines because it is one list, each entry with its runbook and its two tests.
"""

from __future__ import annotations

from monitoring.model import Alert, Case

_G = 'job="webhook-gateway",instance="a"'
"""The labels of a gateway in tests."""

_LABELS = {"job": "webhook-gateway", "instance": "a"}

_AGES = "outbound_age_seconds"

OUTBOUND_ALERTS = (
    Alert(
        "OutboundDown",
        'avg_over_time(outbound_up[5m]) < 0.5 or up{job="webhook-outbound"} == 0',
        "2m",
        "page",
        "The process that delivers events to endpoints does not work",
        "Webhooks are received as ever. Events for endpoints wait in their queue and in the database, unless another gateway "
        "delivers them.",
        (
            "The log of the gateway says why: `way out cannot start` with its cause, or `process replaced` with the exit status.",
            "A wrong key in `outbound.keys`, or a database that needs `gateway outbound migrate`, has a line of its own there.",
            "`gateway outbound show` asks the database itself, and says what waits.",
        ),
        Case({f"outbound_up{{{_G}}}": "1x3 0x20"}, "15m", labels=(_LABELS,)),
        Case({f"outbound_up{{{_G}}}": "1x5 0x1 1x20"}, "9m"),
    ),
    Alert(
        "OutboundDatabaseAway",
        "outbound_database_unavailable > 0",
        "2m",
        "page",
        "The database of deliveries cannot be used",
        "No attempt begins, because it could not be recorded, and no event is taken from its queue. Nothing is lost.",
        (
            "Look at PostgreSQL, or at the disk of `data_dir`. The log has `database unavailable` with the cause.",
            "Nothing has to be done afterwards: what waits is delivered by itself.",
        ),
        Case({f"outbound_database_unavailable{{{_G}}}": "0 1x10"}, "5m", labels=(_LABELS,)),
        Case({f"outbound_database_unavailable{{{_G}}}": "0 1 0x10"}, "5m"),
    ),
    Alert(
        "ShardsWithoutOwner",
        "sum(outbound_shards) < 256",
        "2m",
        "page",
        "Only {{ $value }} of 256 shards of endpoints have an owner",
        "Endpoints of the other shards get nothing. A process that dies is followed by another one within 15 seconds.",
        (
            "`gateway outbound show` lists the owners. Is each gateway scraped that delivers?",
            "A process that cannot renew its leases says so: `database unavailable`, see [OutboundDatabaseAway](#outbounddatabaseaway).",
            "Clocks play no part in leases: they are those of the database.",
        ),
        Case(
            {'outbound_shards{instance="a"}': "128x20", 'outbound_shards{instance="b"}': "128x3 64x20"},
            "10m",
            labels=({},),
            value="192",
        ),
        Case(
            {'outbound_shards{instance="a"}': "128x3 256x20", 'outbound_shards{instance="b"}': "128x3"}, "10m"
        ),
    ),
    Alert(
        "DeliveriesLate",
        f'max({_AGES}{{circuit="closed"}}) > 300',
        "5m",
        "ticket",
        "Deliveries to endpoints that work have been due for {{ $value }} s",
        "Those whose receivers fail are not meant: they wait for their circuit, see [EndpointFailing](#endpointfailing).",
        (
            "`gateway outbound show` and the page *Endpoints* say which endpoint has the oldest.",
            "Is it limited by its own `rate` or `concurrency`? Raise them, if the receiver can take more.",
            (
                "Are all endpoints late? Look at the time of attempts, the lanes and the database on the dashboard *Endpoints*; add a "
                "machine, or a process with `gateway outbound run`."
            ),
        ),
        Case({f'{_AGES}{{circuit="closed",instance="a"}}': "0+60x30"}, "15m", labels=({},), value="900"),
        Case(
            {
                f'{_AGES}{{circuit="closed",instance="a"}}': "2x30",
                f'{_AGES}{{circuit="open",instance="a"}}': "0+60x30",
            },
            "15m",
        ),
    ),
    Alert(
        "DeliveriesDead",
        "sum by (tenant) (increase(outbound_dead_total[30m])) > 0",
        "5m",
        "ticket",
        "Events for endpoints of {{ $labels.tenant }} could not be delivered",
        "All attempts failed, or the receiver refuses them for good. They are kept for a replay, as long as `outbound.retention` says.",
        (
            "`gateway deliveries list --state dead`, or the page *Deliveries*, has them with the answer to each attempt.",
            "Have the receiver fixed, then `gateway deliveries replay ENDPOINT --state dead`.",
        ),
        Case({'outbound_dead_total{tenant="acme"}': "0x5 0+1x30"}, "20m", labels=({"tenant": "acme"},)),
        Case({'outbound_dead_total{tenant="acme"}': "7x40"}, "20m"),
    ),
    Alert(
        "DeliveriesHeld",
        "sum by (tenant) (increase(outbound_held_total[30m])) > 0",
        "5m",
        "ticket",
        "Events are held for endpoints of {{ $labels.tenant }} that are disabled or full",
        "They are kept for `outbound.retention.held`, 14 days unless you say otherwise, and then end as dead.",
        (
            "`gateway endpoints list` shows which endpoints hold them, and why.",
            "Enable the endpoint once its receiver is well: `gateway endpoints enable ENDPOINT --resume all`.",
            "An endpoint that is full takes less than it gets: see [DeliveriesLate](#deliverieslate), or raise `max_pending`.",
        ),
        Case({'outbound_held_total{tenant="acme"}': "0x5 0+1x30"}, "20m", labels=({"tenant": "acme"},)),
        Case({'outbound_held_total{tenant="acme"}': "7x40"}, "20m"),
    ),
    Alert(
        "EndpointFailing",
        'sum(outbound_endpoints{state="failing"}) > 0',
        "",
        "ticket",
        "Endpoints have taken nothing for a quarter of an hour or longer: {{ $value }}",
        "Their deliveries wait and are tried again for three days. Others notice nothing.",
        (
            "`gateway endpoints list` has them first, with the last result; `gateway deliveries list --endpoint ENDPOINT` has the rest.",
            "Tell the receiver's owner, who also got the event `gateway.endpoint.failing` if they subscribe to it.",
            "`gateway endpoints test ENDPOINT` sees whether it is well again; then deliveries go on by themselves.",
        ),
        Case({'outbound_endpoints{state="failing",instance="a"}': "0x3 2x10"}, "9m", labels=({},), value="2"),
        Case(
            {
                'outbound_endpoints{state="failing",instance="a"}': "0x20",
                'outbound_circuits{state="open",instance="a"}': "3x20",
            },
            "9m",
        ),
    ),
    Alert(
        "EndpointDisabled",
        'sum(outbound_endpoints{state="disabled"}) > 0',
        "5m",
        "ticket",
        "Endpoints were disabled because they failed, or wanted no more: {{ $value }}",
        "After three days without a success, a 410 or an answer that asks for it. New events are held for 14 days.",
        (
            "`gateway endpoints list` shows the reason: `failing`, `gone` or `asked`.",
            "If it is to get events again: `gateway endpoints enable ENDPOINT`, which sends a test event first.",
            "If not, remove it from the configuration, or delete it.",
        ),
        Case(
            {'outbound_endpoints{state="disabled",instance="a"}': "0x3 1x20"}, "15m", labels=({},), value="1"
        ),
        Case({'outbound_endpoints{state="manual",instance="a"}': "2x20"}, "15m"),
    ),
)
