"""The tables of the way out, as numbered steps that are only ever added to.

``ready`` is 1 for a pending delivery whose turn it is: always without an order key, and else for one of each key. So the
index of what is due has nothing that has to be passed over, however much waits behind the first of a key.

The index by state has ``lower(state)``, which is the same, so that it serves only those who ask for it. PostgreSQL takes a state
that was rare for rare, and would look for the dead deliveries of one endpoint among those of all.

The indexes by outcome and by status leave out what nearly all deliveries have, so that a delivery that arrives costs nothing there.
"""

from __future__ import annotations

from gateway.errors import OperatorError
from gateway.outbound.models import SHARDS
from gateway.outbound.store.answers import Tables
from gateway.outbound.store.sql.transaction import Transaction

MIGRATIONS = (
    """
CREATE TABLE outbound_state (id {int} PRIMARY KEY, version {int} NOT NULL);
INSERT INTO outbound_state VALUES (1, 0);
CREATE TABLE outbound_endpoints (
    id {text} PRIMARY KEY, created_at {real} NOT NULL, tenant {text} NOT NULL, on_dead {text} NOT NULL,
    is_configured {int} NOT NULL, is_gone {int} NOT NULL, version {int} NOT NULL,
    state {text} NOT NULL, document {bytes} NOT NULL, health {bytes} NOT NULL
);
CREATE TABLE outbound_sealed (
    endpoint {text} NOT NULL, name {text} NOT NULL, value {bytes} NOT NULL, PRIMARY KEY (endpoint, name)
);
CREATE TABLE outbound_messages (
    id {text} PRIMARY KEY, tenant {text} NOT NULL, routing_key {text} NOT NULL, event_id {text} NOT NULL,
    source {text} NOT NULL, type {text} NOT NULL, provider {text} NOT NULL, subject {text} NOT NULL,
    sequence {text} NOT NULL, traceparent {text} NOT NULL, accepted_at {real} NOT NULL, body {bytes},
    event {text} NOT NULL
);
CREATE INDEX outbound_messages_by_event ON outbound_messages (event);
CREATE INDEX outbound_messages_by_age ON outbound_messages (accepted_at);
CREATE TABLE outbound_deliveries (
    id {text} PRIMARY KEY, endpoint {text} NOT NULL, message {text} NOT NULL, tenant {text} NOT NULL,
    routing_key {text} NOT NULL, event {text} NOT NULL, sequence {text} NOT NULL, state {text} NOT NULL,
    due_at {real} NOT NULL, attempts {int} NOT NULL, round {int} NOT NULL, cause {text} NOT NULL,
    order_key {text} NOT NULL, created_at {real} NOT NULL, ended_at {real}, status {int},
    outcome {text} NOT NULL, made {int} NOT NULL, operation {text} NOT NULL, ready {int} NOT NULL
) {loose};
CREATE INDEX outbound_deliveries_due ON outbound_deliveries (endpoint, due_at, id) WHERE ready = 1;
CREATE INDEX outbound_deliveries_by_endpoint ON outbound_deliveries (endpoint, state, id);
CREATE INDEX outbound_deliveries_by_state ON outbound_deliveries (lower(state), id);
CREATE INDEX outbound_deliveries_by_tenant ON outbound_deliveries (tenant, id) WHERE tenant <> 'default';
CREATE INDEX outbound_deliveries_by_message ON outbound_deliveries (message);
CREATE INDEX outbound_deliveries_by_event ON outbound_deliveries (event);
CREATE INDEX outbound_deliveries_by_operation ON outbound_deliveries (operation, state) WHERE operation <> '';
CREATE INDEX outbound_deliveries_in_order ON outbound_deliveries (endpoint, order_key, sequence, id)
    WHERE state = 'pending' AND order_key <> '';
CREATE INDEX outbound_deliveries_in_turn ON outbound_deliveries (endpoint, order_key)
    WHERE ready = 1 AND order_key <> '';
CREATE INDEX outbound_deliveries_holding ON outbound_deliveries (endpoint, order_key)
    WHERE state = 'dead' AND order_key <> '';
CREATE TABLE outbound_attempts (
    id {text} PRIMARY KEY, delivery {text} NOT NULL, endpoint {text} NOT NULL, message {text} NOT NULL,
    cause {text} NOT NULL, number {int} NOT NULL, began_at {real} NOT NULL, outcome {text} NOT NULL,
    status {int}, ms {real} NOT NULL, phases {text} NOT NULL, address {text} NOT NULL, excerpt {bytes} NOT NULL,
    retry_after {real}, next_at {real}
) {by_day};
{first_partition}
CREATE INDEX outbound_attempts_by_delivery ON outbound_attempts (delivery, id);
CREATE TABLE outbound_shards (
    shard {int} PRIMARY KEY, owner {text} NOT NULL, epoch {int} NOT NULL, until {real} NOT NULL
);
INSERT INTO outbound_shards {shards};
CREATE TABLE outbound_owners (owner {text} PRIMARY KEY, until {real} NOT NULL);
CREATE TABLE outbound_operations (
    id {text} PRIMARY KEY, endpoint {text} NOT NULL, created_at {real} NOT NULL, actor {text} NOT NULL,
    is_cancelled {int} NOT NULL, total {int} NOT NULL
);
""".replace("{shards}", "VALUES " + ", ".join(f"({number}, '', 0, 0)" for number in range(SHARDS))),
    """
ALTER TABLE outbound_deliveries ADD COLUMN retries {int} NOT NULL DEFAULT 1;
ALTER TABLE outbound_deliveries ADD COLUMN webhook_id {text} NOT NULL DEFAULT '';
CREATE INDEX outbound_messages_by_tenant ON outbound_messages (tenant, accepted_at) WHERE tenant <> 'default';
""",
    """
CREATE INDEX outbound_deliveries_by_key ON outbound_deliveries (routing_key, id);
CREATE INDEX outbound_deliveries_by_outcome ON outbound_deliveries (outcome, id)
    WHERE outcome <> 'delivered' AND outcome <> '';
CREATE INDEX outbound_deliveries_by_status ON outbound_deliveries (status, id) WHERE status <> 200;
""",
)
"""Each makes the tables of the version before it into those of its own number, which begins with 1."""


def no_tables() -> Tables:
    """Return the version of tables that are not there."""
    return Tables(0, len(MIGRATIONS))


def version_of(transaction: Transaction) -> Tables:
    """Return the version of the tables, and that of this program."""
    if not transaction.has_table("outbound_schema"):
        return no_tables()
    ((found,),) = transaction.rows("SELECT max(version) FROM outbound_schema")
    return Tables(found or 0, len(MIGRATIONS))


def prepare(transaction: Transaction, place: str) -> None:
    """Make the tables of an empty database that several programs share; leave those that are there as they are.

    Args:
        transaction: A transaction of the database.
        place: Where it is, for people.

    Raises:
        OperatorError: The tables are of another version than this program.
    """
    tables = version_of(transaction)
    if 0 < tables.found < tables.wanted:
        raise OperatorError(
            f"{place} has version {tables.found} of its tables, and this program needs {tables.wanted}; "
            "run `gateway outbound migrate`, after which gateways of the former version do not start again"
        )
    if tables.found != tables.wanted:
        migrate(transaction, place)


def migrate(transaction: Transaction, place: str) -> Tables:
    """Bring the tables to the version of this program; return what they had.

    Args:
        transaction: A transaction of the database.
        place: Where it is, for people.

    Raises:
        OperatorError: The database is newer than this program.
    """
    transaction.lock("migrate")
    tables = version_of(transaction)
    if tables.found > tables.wanted:
        raise OperatorError(
            f"{place} has version {tables.found} of its tables, and this program knows {tables.wanted}; "
            "run the newer program that made them"
        )
    transaction.run("CREATE TABLE IF NOT EXISTS outbound_schema (version integer NOT NULL)")
    for number, text in enumerate(MIGRATIONS[tables.found :], tables.found + 1):
        for statement in text.format_map(transaction.types).split(";\n"):
            if statement.strip():
                transaction.run(statement)
        transaction.run("INSERT INTO outbound_schema VALUES (?)", number)
    return tables
