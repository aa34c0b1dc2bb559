"""The bundled schemas refuse a body that lacks what its event is known by, or has a member with a wrong type."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.bundled import bundled
from gateway.events.schemas import Catalogue

# What a body has, per event type, on top of what all events of the adapter must have: all of one JSON type, but
# required only where its event is known by it.
STRIPE_ALL = ["id", "object", "type", "data", "data.object"]
STRIPE = {
    "charge.dispute.created": ["object", "amount", "currency", "reason", "status"],
    "charge.refunded": ["object", "id", "amount", "amount_refunded", "currency"],
    "charge.succeeded": ["object", "id", "amount", "currency"],
    "checkout.session.completed": ["object", "id"],
    "charge.failed": ["object", "id", "amount", "currency"],
    "credit_note.voided": ["object", "id", "currency"],
    "customer.created": ["object", "id"],
    "customer.discount.created": ["object"],
    "customer.subscription.created": ["object", "id", "status"],
    "customer.subscription.deleted": ["object", "id", "status"],
    "customer.subscription.updated": ["object", "id", "status"],
    "invoice.paid": ["object", "id", "amount_due", "currency"],
    "invoice.payment_failed": ["object", "id", "amount_due", "currency"],
    "invoice.upcoming": ["object", "amount_due", "currency"],
    "payout.failed": ["object", "id", "amount", "currency"],
    "refund.created": ["object", "id", "amount", "currency"],
    "setup_intent.succeeded": ["object", "id", "status"],
    "transfer.reversed": ["object", "id", "amount", "currency"],
    "treasury.received_credit.created": ["object", "id", "amount", "currency"],
    "payment_intent.payment_failed": ["object", "id", "amount", "currency", "status"],
    "payment_intent.succeeded": ["object", "id", "amount", "currency", "status"],
}
ISSUE = ["issue", "issue.id", "issue.number", "issue.state", "issue.title"]
PULL_REQUEST = ["pull_request", "pull_request.id", "pull_request.number"]
REPOSITORY = ["repository", "repository.id", "repository.name"]
GITHUB = {
    "check_run": ["action", "check_run", "check_run.id", "check_run.name", "check_run.head_sha", *REPOSITORY],
    "check_suite": ["action", "check_suite", "check_suite.id", "check_suite.head_sha", *REPOSITORY],
    "commit_comment": ["action", "comment", "comment.id", "comment.body", "comment.commit_id", *REPOSITORY],
    "code_scanning_alert": ["action", "alert", "alert.number", *REPOSITORY],
    "create": ["ref", "ref_type", *REPOSITORY],
    "dependabot_alert": ["action", "alert", "alert.number", *REPOSITORY],
    "delete": ["ref", "ref_type", *REPOSITORY],
    "deployment": ["deployment", "deployment.id", "deployment.sha", "deployment.environment", *REPOSITORY],
    "deployment_status": [
        "deployment_status",
        "deployment_status.id",
        "deployment_status.state",
        "deployment",
        "deployment.id",
        *REPOSITORY,
    ],
    "discussion": ["action", "discussion", "discussion.id", "discussion.number", *REPOSITORY],
    "discussion_comment": ["action", "comment", "comment.id", "discussion", "discussion.number", *REPOSITORY],
    "fork": ["forkee", "forkee.id", "forkee.full_name", *REPOSITORY],
    "installation": ["action", "installation", "installation.id"],
    "installation_repositories": ["action", "installation", "repositories_added", "repositories_removed"],
    "label": ["action", "label", "label.id", "label.name", *REPOSITORY],
    "merge_group": ["action", "merge_group", "merge_group.head_sha", *REPOSITORY],
    "milestone": ["action", "milestone", "milestone.id", "milestone.number", *REPOSITORY],
    "page_build": ["id", "build", "build.status", *REPOSITORY],
    "secret_scanning_alert": ["action", "alert", "alert.number", *REPOSITORY],
    "team": ["action", "team", "team.id", "team.name"],
    "issue_comment": ["action", *ISSUE, "comment", "comment.id", "comment.body", *REPOSITORY],
    "issues": ["action", *ISSUE, *REPOSITORY],
    "member": ["action", "member", "member.id", "member.login", *REPOSITORY],
    "ping": ["hook_id", "hook", "hook.id"],
    "pull_request": [
        "action",
        "number",
        *PULL_REQUEST,
        "pull_request.state",
        "pull_request.title",
        "pull_request.head",
        "pull_request.head.sha",
        "pull_request.base.ref",
        *REPOSITORY,
    ],
    "pull_request_review": ["action", "review", "review.id", "review.state", *PULL_REQUEST, *REPOSITORY],
    "pull_request_review_comment": [
        "action",
        "comment",
        "comment.id",
        "comment.body",
        *PULL_REQUEST,
        *REPOSITORY,
    ],
    "push": ["ref", "before", "after", "commits", *REPOSITORY],
    "release": ["action", "release", "release.id", "release.tag_name", *REPOSITORY],
    "repository": ["action", *REPOSITORY],
    "star": ["action", "sender", "sender.login", *REPOSITORY],
    "status": ["id", "sha", "state", *REPOSITORY],
    "watch": ["action", "sender", "sender.login", *REPOSITORY],
    "workflow_dispatch": ["ref", "workflow", *REPOSITORY],
    "workflow_job": ["action", "workflow_job", "workflow_job.id", "workflow_job.run_id", *REPOSITORY],
    "workflow_run": ["action", "workflow_run", "workflow_run.id", "workflow_run.head_sha", *REPOSITORY],
}
MEMBERS = {
    "stripe": {
        event_type: [*STRIPE_ALL, "created", *(f"data.object.{field}" for field in fields)]
        for event_type, fields in STRIPE.items()
    },
    "github": GITHUB,
}
GITHUB_COMMON = ("repository", "organization", "installation", "sender")
LISTED = [(adapter, event_type) for adapter, events in MEMBERS.items() for event_type in events]
GONE = object()


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """Compile the bundled schemas once."""
    return Catalogue.bundled()


def example(adapter: str, event_type: str) -> Any:
    """Read the first example of a bundled schema."""
    text = bundled("schemas").joinpath(adapter, f"{event_type}.json").read_text("utf-8")
    return json.loads(text)["examples"][0]


def at(body: Any, path: str) -> Any:
    """Read the value at a dotted path, GONE where there is none."""
    for key in path.split("."):
        if not isinstance(body, dict) or key not in body:
            return GONE
        body = body[key]
    return body


def put(body: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Copy a body with another value at a dotted path, or with nothing there."""
    key, _, rest = path.partition(".")
    if rest:
        return {**body, key: put(body[key], rest, value)}
    if value is GONE:
        return {other: kept for other, kept in body.items() if other != key}
    return {**body, key: value}


def wrong(value: object) -> Iterator[object]:
    """Give values of every JSON type that the value is not of."""
    others: list[object] = [None, True, 7, 7.5, "text", ["text"], {"text": "text"}]
    for other in others:
        if type(other) is not type(value):
            yield other


def let_through(
    catalogue: Catalogue, adapter: str, event_type: str, body: Any, paths: list[str]
) -> list[str]:
    """Name the damages to a body that its schema does not see, or sees where there is none.

    A member that is not required may be absent or null. Fail when the sound body is refused.
    """
    schema = catalogue.find(adapter, event_type)
    assert schema is not None
    assert not schema.explain(body)
    mistakes = []
    for path in paths:
        if at(body, path) is GONE:
            continue
        is_required = must_have(adapter, event_type, path, at(body, path))
        for damage in [GONE, *wrong(at(body, path))]:
            is_harmless = not is_required and (
                damage is GONE or (damage is None and path != "data.object.object")
            )
            if schema.is_valid(put(body, path, damage)) != is_harmless:
                mistakes.append(f"{path}: {'removed' if damage is GONE else json.dumps(damage)}")
    return mistakes


def must_have(adapter: str, event_type: str, path: str, value: object) -> bool:
    """Tell whether a body must have a member: what its type is read from, and the object that it is about."""
    match adapter:
        case "stripe":
            return path in STRIPE_ALL
        case "github":
            is_own = "." not in path and event_type != "_envelope" and path not in GITHUB_COMMON
            return is_own and (path == "action" or isinstance(value, dict))
    return path == "type"


@pytest.mark.parametrize(("adapter", "event_type"), LISTED)
def test_damage_to_what_a_worker_relies_on_is_refused(
    catalogue: Catalogue, adapter: str, event_type: str
) -> None:
    """Of each member named above only its own JSON type will do, and some are required."""
    paths = MEMBERS[adapter][event_type]
    assert not let_through(catalogue, adapter, event_type, example(adapter, event_type), paths)


@pytest.mark.parametrize("folder", ["stripe", "github", "github-captures"])
def test_damage_to_a_real_delivery_is_refused(catalogue: Catalogue, corpus: Path, folder: str) -> None:
    """The same holds for real deliveries, with all that surrounds these members there."""
    adapter = folder.partition("-")[0]
    missed: list[tuple[str, str]] = []
    for entry in json.loads((corpus / folder / "index.json").read_text("utf-8"))["files"]:
        body = json.loads((corpus / folder / entry["file"]).read_text("utf-8"))
        event_type = entry["event_type"]
        paths = MEMBERS[adapter].get(event_type)
        if paths is None and adapter == "stripe":
            paths = STRIPE_ALL if body["object"] == "event" else STRIPE_ALL[:3]
        missed += [
            (entry["file"], damage)
            for damage in let_through(catalogue, adapter, event_type, body, paths or [])
        ]
    assert not missed


SOME_OBJECTS = ("account.application.", "account.external_account.", "customer.source.")
"""Events about objects of several kinds."""


@pytest.mark.parametrize(
    "event_type", [name for name in Catalogue.bundled().event_types("stripe") if name != "_envelope"]
)
def test_a_stripe_schema_takes_no_other_event(catalogue: Catalogue, event_type: str) -> None:
    """The type in the body has to be the one that the schema is for, and so has the object."""
    schema = catalogue.find("stripe", event_type)
    assert schema is not None
    body = example("stripe", event_type)
    assert not schema.is_valid(put(body, "type", "never.heard.of"))
    assert not schema.is_valid(put(body, "data.object", GONE))
    assert event_type.startswith(SOME_OBJECTS) == schema.is_valid(put(body, "data.object.object", "no_such"))


def test_an_unlisted_stripe_event_has_to_look_like_one(catalogue: Catalogue) -> None:
    """A Stripe event without a schema of its own is held to the envelope."""
    body = {**example("stripe", "_envelope"), "type": "never.heard.of"}
    assert not let_through(catalogue, "stripe", "never.heard.of", body, STRIPE_ALL)


def test_a_thin_stripe_event_needs_no_data_but_a_written_time(catalogue: Catalogue) -> None:
    """An API v2 event passes without data.object; its time is a string, that of a snapshot event a number."""
    schema = catalogue.find("stripe", "v2.core.account.updated")
    assert schema is not None
    thin = {
        "id": "evt_test_65SampleThin",
        "object": "v2.core.event",
        "type": "v2.core.account.updated",
        "created": "2025-01-15T12:00:00.000Z",
    }
    assert schema.is_valid(thin)
    paths = ["id", "object", "type"]
    assert not let_through(catalogue, "stripe", "v2.core.account.updated", thin, paths)
    assert not schema.is_valid({**thin, "created": 1736942400})
    assert not schema.is_valid({**thin, "object": "event", "data": {"object": {}}})


def test_a_dispute_of_an_old_api_version_passes_without_an_id(catalogue: Catalogue) -> None:
    """The oldest API versions give a dispute no id; where there is one, it is a string."""
    schema = catalogue.find("stripe", "charge.dispute.created")
    assert schema is not None
    body = example("stripe", "charge.dispute.created")
    assert schema.is_valid(put(body, "data.object.id", GONE))
    assert not schema.is_valid(put(body, "data.object.id", 7))


@pytest.mark.parametrize(
    ("event_type", "member"),
    [
        ("charge.dispute.created", "charge"),
        ("customer.subscription.created", "customer"),
        ("customer.subscription.deleted", "customer"),
        ("customer.subscription.updated", "customer"),
    ],
)
def test_a_reference_may_come_expanded(catalogue: Catalogue, event_type: str, member: str) -> None:
    """Stripe names another object by its id, or sends the object itself in its place."""
    schema = catalogue.find("stripe", event_type)
    assert schema is not None
    body = example("stripe", event_type)
    path = f"data.object.{member}"
    good: list[object] = [GONE, None, {"id": "sample"}]
    bad: list[object] = [7, []]
    assert [schema.is_valid(put(body, path, value)) for value in (*good, *bad)] == [True] * 3 + [False] * 2


@pytest.mark.parametrize("event_type", ["deployment", "deployment_status"])
def test_a_deployment_may_lack_an_action_but_not_have_a_number_for_one(
    catalogue: Catalogue, event_type: str
) -> None:
    """Older deliveries of the two events have no action."""
    schema = catalogue.find("github", event_type)
    assert schema is not None
    body = example("github", event_type)
    assert schema.is_valid(put(body, "action", GONE))
    assert not schema.is_valid(put(body, "action", 7))


def test_an_unlisted_github_event_may_lack_a_part_but_not_have_it_wrong(catalogue: Catalogue) -> None:
    """A GitHub event without a schema of its own is held to the envelope: whatever is in it may be absent."""
    paths = ["action", "sender", "sender.login", "repository", "repository.id"]
    assert not let_through(catalogue, "github", "_envelope", example("github", "_envelope"), paths)


def test_an_openai_event_has_to_name_its_type(catalogue: Catalogue) -> None:
    """All else may be absent, but not of another kind."""
    schema = catalogue.find("openai", "response.completed")
    assert schema is not None
    body = example("openai", "_envelope")
    assert not let_through(catalogue, "openai", "response.completed", body, ["type", "id", "data"])
    assert schema.is_valid({"type": body["type"]})


@pytest.mark.parametrize("adapter", ["standard_webhooks", "svix"])
@pytest.mark.parametrize("path", ["type", "timestamp", "data"])
def test_a_standard_webhook_may_leave_out_anything_but_not_have_it_wrong(
    catalogue: Catalogue, adapter: str, path: str
) -> None:
    """The specification only recommends a body, so the schema asks for nothing to be there."""
    schema = catalogue.find(adapter, "user.created")
    assert schema is not None
    body = example(adapter, "_envelope")
    assert schema.is_valid({})
    assert schema.is_valid(put(body, path, GONE))
    assert not schema.is_valid(put(body, path, True))


@pytest.mark.parametrize("adapter", ["stripe", "github", "openai", "standard_webhooks", "svix"])
@pytest.mark.parametrize("body", [None, True, 7, "text", []])
def test_a_body_that_is_no_object_is_refused(catalogue: Catalogue, adapter: str, body: object) -> None:
    """None of these providers sends anything but an object."""
    schema = catalogue.find(adapter, "never.heard.of")
    assert schema is not None
    assert not schema.is_valid(body)


def test_the_explanation_names_the_place_and_the_rule(catalogue: Catalogue) -> None:
    """A sender can be told where its body is wrong and which rule it breaks."""
    schema = catalogue.find("stripe", "payment_intent.succeeded")
    assert schema is not None
    body = put(example("stripe", "payment_intent.succeeded"), "data.object.amount", "4200")
    (violation,) = schema.explain(body)
    expected = "/data/object/amount"
    assert expected == violation.path
    assert violation.rule.endswith("/amount/type")
