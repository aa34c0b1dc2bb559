"""The example agents, from the signed request to the calls of the APIs; each in a process of its own."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from support import senders
from support.examples import agent, outcomes, sample
from support.gateway_process import GatewayProcess, Program
from support.senders import Delivery, post
from support.standin import Answer, StandIn
from support.waiting import PATIENCE, wait_until

KEY = "sk-not-a-real-key"


def response(response_id: str) -> dict[str, Any]:
    """Return a response in the form of OpenAI's API, with more in it than the answer."""
    return {
        "id": response_id,
        "object": "response",
        "status": "completed",
        "output": [
            {"id": "rs_1", "type": "reasoning", "summary": []},
            {
                "id": "msg_1",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "Widgets are ", "annotations": []},
                    {"type": "output_text", "text": "round.", "annotations": []},
                ],
            },
        ],
    }


def research_agent(gateway: GatewayProcess, api: StandIn) -> Program:
    """Run the agent, with a stand-in for OpenAI and for the notes."""
    return agent(
        gateway,
        "research_agent:worker",
        OPENAI_BASE_URL=f"{api.url}/v1",
        OPENAI_API_KEY=KEY,
        NOTES_URL=f"{api.url}/notes",
    )


def test_the_research_agent_fetches_what_is_complete_and_files_it_once(gateway: GatewayProcess) -> None:
    """It waits as long as a rate limit asks; a duplicate changes nothing."""
    body = sample("openai", "response.completed")
    response_id = body["data"]["id"]
    fetch = f"GET /v1/responses/{response_id}"
    answers = {
        fetch: [Answer(429, headers={"Retry-After": "2"}), Answer(200, response(response_id))],
        "POST /notes": [Answer(201)],
    }
    with (
        StandIn(answers) as api,
        research_agent(gateway, api) as worker,
    ):
        delivery = senders.standard("openai", gateway.secrets.openai, json.dumps(body).encode())
        assert post(gateway.url, delivery).status_code == 202
        wait_until(lambda: outcomes(worker)[-1:] == ["handled"], PATIENCE)
        assert post(gateway.url, delivery).status_code == 200

        assert worker.stop() == 0
        assert api.requests == [fetch, fetch, "POST /notes"]
    assert outcomes(worker) == ["retried", "handled"]
    first, second = api.asked(fetch)
    (note,) = api.asked("POST /notes")
    assert second.at - first.at >= 2
    assert first.headers["authorization"] == f"Bearer {KEY}"
    assert note.content == {"about": response_id, "text": "Widgets are round."}
    assert note.headers["idempotency-key"]
    assert KEY not in worker.stdout + worker.stderr


@pytest.mark.parametrize("gateway", ["embedded"], indirect=True)
def test_the_research_agent_gives_up_what_is_not_there(gateway: GatewayProcess) -> None:
    """At once: `gateway send` sends the id of a response that does not exist."""
    with (
        StandIn({}) as api,
        research_agent(gateway, api) as worker,
    ):
        assert gateway.run("send", "openai", "response.completed").returncode == 0
        wait_until(lambda: outcomes(worker), PATIENCE)

        assert outcomes(worker) == ["dead"]
        assert len(api.requests) == 1
    assert "the response is not there" in gateway.run("dead", "list", "research-agent").stdout


def stripe(gateway: GatewayProcess, event_type: str, **changes: Any) -> Delivery:
    """Return a signed request about one invoice, with ``changes``."""
    body = sample("stripe", event_type)
    body["data"]["object"] |= {"id": "in_1"} | changes
    return senders.stripe(gateway.secrets.stripe, json.dumps(body).encode())


def test_the_dunning_agent_writes_once_and_not_after_the_payment(gateway: GatewayProcess) -> None:
    """Whatever fails before or after the e-mail, is repeated, or comes too late."""
    answers = {
        "GET /invoices/in_1": [Answer(200, {"state": "open"})],
        "PUT /invoices/in_1": [Answer(503), Answer(200)],
        "POST /mails": [Answer(503), Answer(202)],
    }
    with (
        StandIn(answers) as api,
        agent(
            gateway,
            "dunning_agent:worker",
            MAIL_URL=f"{api.url}/mails",
            MAIL_API_KEY=KEY,
            CRM_URL=api.url,
        ) as worker,
    ):
        failed = stripe(gateway, "invoice.payment_failed")
        assert post(gateway.url, failed).status_code == 202
        wait_until(lambda: outcomes(worker)[-1:] == ["handled"], PATIENCE)
        assert outcomes(worker) == ["retried", "retried", "handled"]
        assert [asked.content["state"] for asked in api.asked("PUT /invoices/in_1")] == ["reminded"] * 2
        assert post(gateway.url, failed).status_code == 200

        assert post(gateway.url, stripe(gateway, "invoice.payment_failed")).status_code == 202
        wait_until(lambda: len(outcomes(worker)) == 4, PATIENCE)
        refused, sent, another = api.asked("POST /mails")

        assert post(gateway.url, stripe(gateway, "invoice.paid")).status_code == 202
        wait_until(lambda: len(outcomes(worker)) == 5, PATIENCE)
        paid = api.asked("PUT /invoices/in_1")[-1].content
        assert paid == {"state": "paid"}
        api.set("GET /invoices/in_1", Answer(200, paid))
        assert post(gateway.url, stripe(gateway, "invoice.payment_failed")).status_code == 202
        nobody = stripe(gateway, "invoice.payment_failed", customer_email=None)
        assert post(gateway.url, nobody).status_code == 202
        wait_until(lambda: len(outcomes(worker)) == 7, PATIENCE)

        assert len(api.asked("POST /mails")) == 3
    assert sorted(outcomes(worker)[-2:]) == ["dead", "handled"]
    assert sent.content["to"] == "ada@example.com"
    assert sent.headers["idempotency-key"] == refused.headers["idempotency-key"]
    assert sent.headers["idempotency-key"] != another.headers["idempotency-key"]
    assert KEY not in worker.stdout + worker.stderr


def github(gateway: GatewayProcess, action: str, actor: str, label: str = "") -> Delivery:
    """Return a signed request for ``action`` on the issue of the sample, done by ``actor``."""
    body = sample("github", "issues.opened") | {"action": action, "sender": {"login": actor, "id": 1}}
    if label:
        body["label"] = {"id": 1, "name": label}
    encoded = json.dumps(body).encode()
    return senders.github(gateway.secrets.github, encoded, "issues", str(uuid.uuid4()))


@pytest.mark.parametrize("gateway", ["servers"], indirect=True)
def test_the_triage_agent_labels_what_it_reads_and_does_not_answer_itself(gateway: GatewayProcess) -> None:
    """It reads the current issue; a comment that was refused is made by the next attempt."""
    issue = "/repos/acme-example/widgets/issues/11"
    read, label, comment = f"GET {issue}", f"POST {issue}/labels", f"POST {issue}/comments"
    edited = {"number": 11, "title": "Corners are sharp", "body": "They make box(4) crash."}
    answers = {
        read: [Answer(200, edited)],
        label: [Answer(200, [])],
        comment: [Answer(429, headers={"Retry-After": "1"}), Answer(201)],
    }
    with (
        StandIn(answers) as api,
        agent(
            gateway,
            "triage_agent:worker",
            GITHUB_API_URL=api.url,
            GITHUB_TOKEN=KEY,
            TRIAGE_LOGIN="triage[bot]",
        ) as worker,
    ):
        assert post(gateway.url, github(gateway, "opened", "grace-example")).status_code == 202
        wait_until(lambda: outcomes(worker)[-1:] == ["handled"], PATIENCE)
        assert api.requests == [read, label, comment] * 2

        for name in ("bug", "triage"):
            own = github(gateway, "labeled", "triage[bot]", name)
            assert post(gateway.url, own).status_code == 202
        assert post(gateway.url, github(gateway, "labeled", "grace-example", "wontfix")).status_code == 202
        wait_until(lambda: len(outcomes(worker)) == 5, PATIENCE)
        assert len(api.requests) == 6

        assert post(gateway.url, github(gateway, "labeled", "grace-example", "triage")).status_code == 202
        wait_until(lambda: len(outcomes(worker)) == 6, PATIENCE)
        assert api.requests[6:] == [read, label, comment]
        assert [asked.content for asked in api.asked(label)] == [{"labels": ["bug"]}] * 3
        assert "bug" in api.asked(comment)[-1].content["body"]
        assert api.asked(read)[0].headers["authorization"] == f"Bearer {KEY}"
    assert outcomes(worker) == ["retried"] + ["handled"] * 5
    assert KEY not in worker.stdout + worker.stderr


@pytest.mark.parametrize("gateway", ["servers"], indirect=True)
def test_each_agent_gets_every_event_and_fails_on_its_own(gateway: GatewayProcess) -> None:
    """One succeeds, one retries, one gives up; a duplicate reaches none of them."""
    with (
        agent(gateway, "fan_out:ledger") as ledger,
        agent(gateway, "fan_out:shipping") as shipping,
        agent(gateway, "fan_out:screening") as screening,
    ):
        body = json.dumps(sample("stripe", "payment_intent.succeeded")).encode()
        delivery = senders.stripe(gateway.secrets.stripe, body)
        assert [post(gateway.url, delivery).status_code for _ in range(2)] == [202, 200]
        wait_until(lambda: outcomes(shipping)[-1:] == ["handled"], PATIENCE)
        wait_until(lambda: outcomes(ledger) and outcomes(screening), PATIENCE)

        assert (outcomes(ledger), outcomes(screening)) == (["handled"], ["dead"])
        assert outcomes(shipping) == ["retried", "handled"]
        assert ledger.stdout.count("ledger: booked pi_3QxSamplePaid4Wz") == 1
        assert "at attempt 2" in shipping.stdout
