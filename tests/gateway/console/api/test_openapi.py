"""The OpenAPI document: valid by the standard's own schema, and true."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from gateway.console.api.openapi import openapi_document
from gateway.console.api.table import OPERATIONS
from gateway.console.problems import REASONS
from gateway.journal.entry import Entry, Kind, first_id_at
from support.console import Console

DOCUMENT = json.loads(json.dumps(openapi_document(OPERATIONS)))


def references(value: Any) -> list[str]:
    """Return all references in a document."""
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [each for item in value.values() for each in references(item)]
    return [each for item in value for each in references(item)] if isinstance(value, list) else []


def test_every_reference_leads_somewhere() -> None:
    """And nothing in the document is an array of fields."""
    names = {reference.rpartition("/")[2] for reference in references(DOCUMENT)}
    assert names <= DOCUMENT["components"]["schemas"].keys()


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_every_schema_is_one(name: str) -> None:
    """By the metaschema of JSON Schema 2020-12, which OpenAPI 3.1 uses; each says what it is."""
    schema = DOCUMENT["components"]["schemas"][name]
    jsonschema.Draft202012Validator.check_schema(schema)
    if schema.get("type") == "object":
        assert schema["description"]
        described = [each for each in schema.get("properties", {}).values() if "description" in each]
        assert len(described) == len(schema.get("properties", {}))


def test_every_operation_is_complete() -> None:
    """With a unique name, a summary, its path's names, its success and its problems."""
    seen = []
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            seen.append(operation["operationId"])
            assert operation["summary"].endswith(".")
            in_path = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert in_path == {part[1:-1] for part in path.split("/") if part.startswith("{")}
            assert {"401", "403", "421"} <= operation["responses"].keys()
            assert any(code.startswith("2") for code in operation["responses"])
    assert len(seen) == len(set(seen)) == len(OPERATIONS)


def test_every_reason_is_documented() -> None:
    """And no other is named."""
    named = {reason for each in OPERATIONS for reason in each.problems}
    assert named <= REASONS.keys()


def test_the_document_is_served(console: Console) -> None:
    """To whoever may read anything."""
    with console.program("viewer") as client:
        assert client.get("/api/v1/openapi.json").json() == DOCUMENT


@pytest.mark.parametrize(
    "path",
    [
        "/entries",
        "/requests",
        "/events/stripe/evt_1",
        "/refusals",
        "/session",
        "/workers",
        "/tokens",
        "/audit",
    ],
)
def test_answers_have_the_form_of_the_document(console: Console, path: str) -> None:
    """What is documented is what comes."""
    console.journal.append(
        [
            Entry(
                first_id_at(1_799_999_000.0), Kind.RECEIVED, "accepted", "", "stripe", "invoice.paid", "evt_1"
            )
        ]
    )
    template = "/events/{provider}/{id}" if path.startswith("/events/") else path
    responses = DOCUMENT["paths"][f"/api/v1{template}"]["get"]["responses"]
    schema = responses["200"]["content"]["application/json"]["schema"]
    with console.program("admin") as client:
        response = client.get(f"/api/v1{path}")
    assert response.status_code == 200
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(whole).validate(response.json())


WAY_OUT = """
POST GET /endpoints
GET PATCH DELETE /endpoints/{id}
POST /endpoints/{id}/enable
POST /endpoints/{id}/disable
POST /endpoints/{id}/pause
POST /endpoints/{id}/verify
POST /endpoints/{id}/test
POST GET /endpoints/{id}/secrets
DELETE /endpoints/{id}/secrets/{secret}
GET /endpoints/{id}/deliveries
POST /endpoints/{id}/replay
GET /deliveries
GET /deliveries/{id}
GET /deliveries/{id}/attempts
POST /deliveries/{id}/redeliver
POST /deliveries/{id}/cancel
GET DELETE /operations/{id}
POST GET /messages
GET /messages/{id}
GET /messages/{id}/deliveries
DELETE /messages/{id}/data
"""
"""The paths of endpoints, deliveries and messages. A tenant is a label, so there is no path for tenants."""


@pytest.mark.parametrize("row", WAY_OUT.split("\n")[1:-1])
def test_the_way_out_is_complete(row: str) -> None:
    """Each row is there for tenants too, and says what may go wrong with it."""
    *methods, path = row.split()
    for method in methods:
        operation = DOCUMENT["paths"][f"/api/v1{path}"][method.lower()]
        assert "a tenant" in operation["description"]
        described = " ".join(each["description"] for each in operation["responses"].values())
        assert "`deliveries_unavailable`" in described
        assert ("`not_found`" in described) is ("{" in path)
        if method != "GET":
            assert "Idempotency-Key" in [each["name"] for each in operation["parameters"]]
