"""Payloads as objects of a type."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest
from pydantic import BaseModel, field_validator
from typing_extensions import TypedDict

from gateway.testing import MemoryWorker, sample
from gateway.worker import Dead, Event, Worker

DATA = {"data": {"object": {"id": "in_1", "amount_due": 2900}}}


class Invoice(BaseModel):
    """The part of an invoice that a handler needs."""

    id: str
    amount_due: int

    @field_validator("id")
    @classmethod
    def _check(cls, value: str) -> str:
        if not value.startswith("in_"):
            raise ValueError(value)
        return value


class Body(BaseModel):
    """What has the invoice in it."""

    object: Invoice


class InvoiceEvent(BaseModel):
    """A pydantic model."""

    data: Body


@dataclass
class DataclassBody:
    """What has the invoice in it."""

    object: Invoice


@dataclass
class DataclassEvent:
    """A dataclass."""

    data: DataclassBody


class DictInvoice(TypedDict):
    """The part of an invoice that a handler needs."""

    id: str
    amount_due: int


class DictBody(TypedDict):
    """What has the invoice in it."""

    object: DictInvoice


class DictEvent(TypedDict):
    """A dict."""

    data: DictBody


class StructInvoice(msgspec.Struct):
    """The part of an invoice that a handler needs."""

    id: str
    amount_due: int


class StructBody(msgspec.Struct):
    """What has the invoice in it."""

    object: StructInvoice


class StructEvent(msgspec.Struct):
    """A struct of msgspec."""

    data: StructBody


def event_of(**invoice: object) -> Event:
    """Return an event whose invoice has these attributes."""
    return sample("stripe", "invoice.paid").model_copy(update={"data": {"data": {"object": invoice}}})


def test_data_is_an_object_of_each_kind_of_type() -> None:
    """With the attributes that a type checker knows."""
    event = event_of(id="in_1", amount_due=2900)

    assert event.data_as(InvoiceEvent).data.object.amount_due == 2900
    assert event.data_as(DataclassEvent).data.object.id == "in_1"
    assert event.data_as(DictEvent)["data"]["object"]["amount_due"] == 2900
    assert event.data_as(StructEvent).data.object.amount_due == 2900
    assert event.data_as(dict[str, object]) == DATA


@pytest.mark.parametrize("model", [InvoiceEvent, DataclassEvent, DictEvent, StructEvent])
def test_data_that_does_not_match_says_where_without_its_values(model: type[object]) -> None:
    """They may be confidential."""
    with pytest.raises(Dead) as raised:
        event_of(id="in_1", amount_due="private").data_as(model)

    assert model.__name__ in raised.value.reason
    assert "data.object.amount_due" in raised.value.reason
    assert "private" not in raised.value.reason


def test_the_text_of_a_validator_of_the_user_is_withheld() -> None:
    """It often quotes the value."""
    with pytest.raises(Dead) as raised:
        event_of(id="private", amount_due=1).data_as(InvoiceEvent)

    assert "data.object.id: not accepted by its validator" in raised.value.reason
    assert "private" not in raised.value.reason


def test_many_problems_are_counted() -> None:
    """A reason is short."""
    with pytest.raises(Dead, match=r"and 7 more$"):
        event_of(id="in_1").model_copy(update={"data": ["x"] * 10}).data_as(list[int])


async def test_an_event_that_does_not_match_is_not_retried() -> None:
    """Another attempt would not change it."""
    worker = Worker("agent", ["stripe.#"])

    @worker.on("#")
    async def handle(event: Event) -> None:
        event.data_as(InvoiceEvent)

    async with MemoryWorker(worker) as agent:
        good = await agent.deliver(sample("stripe", "invoice.paid"))
        bad = await agent.deliver(event_of(id="in_1"))

    assert good.name == "handled"
    assert (bad.name, bad.attempts) == ("dead", 1)
    assert bad.reason == "the data does not match InvoiceEvent: data.object.amount_due: Field required"
