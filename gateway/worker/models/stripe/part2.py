"""Typed events of stripe, Invoice to SetupIntent: made from schemas/stripe/ by ``make models``. Do not edit."""

from typing import Any, Literal

from gateway.worker.models.envelopes import Model


class Invoice(Model):
    """The invoice that events about it carry in data.object."""

    object: Literal["invoice"] | None = None
    id: str | None = None
    amount_due: int | None = None
    currency: str | None = None
    amount_paid: int | None = None
    attempt_count: int | None = None
    customer: str | dict[str, Any] | None = None
    due_date: int | None = None
    status: str | None = None
    subscription: str | dict[str, Any] | None = None


class InvoicePayment(Model):
    """The invoice_payment that events about it carry in data.object."""

    object: Literal["invoice_payment"] | None = None
    id: str | None = None
    amount_paid: int | None = None
    currency: str | None = None
    invoice: str | dict[str, Any] | None = None
    status: str | None = None


class Invoiceitem(Model):
    """The invoice item that events about it carry in data.object."""

    object: Literal["invoiceitem"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    customer: str | dict[str, Any] | None = None
    invoice: str | dict[str, Any] | None = None


class IssuingAuthorization(Model):
    """The authorization on an issued card that events about it carry in data.object."""

    object: Literal["issuing.authorization"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    approved: bool | None = None
    card: dict[str, Any] | None = None
    status: str | None = None
    pending_request: dict[str, Any] | None = None


class IssuingCard(Model):
    """The issued card that events about it carry in data.object."""

    object: Literal["issuing.card"] | None = None
    id: str | None = None
    cardholder: str | dict[str, Any] | None = None
    last4: str | None = None
    status: str | None = None


class IssuingCardholder(Model):
    """The cardholder that events about it carry in data.object."""

    object: Literal["issuing.cardholder"] | None = None
    id: str | None = None
    status: str | None = None
    type: str | None = None


class IssuingDispute(Model):
    """The dispute over an issued card that events about it carry in data.object."""

    object: Literal["issuing.dispute"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    status: str | None = None
    transaction: str | dict[str, Any] | None = None


class IssuingPersonalizationDesign(Model):
    """The design of issued cards that events about it carry in data.object."""

    object: Literal["issuing.personalization_design"] | None = None
    id: str | None = None
    status: str | None = None


class IssuingToken(Model):
    """The network token of an issued card that events about it carry in data.object."""

    object: Literal["issuing.token"] | None = None
    id: str | None = None
    card: str | dict[str, Any] | None = None
    status: str | None = None


class IssuingTransaction(Model):
    """The transaction on an issued card that events about it carry in data.object."""

    object: Literal["issuing.transaction"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    card: str | dict[str, Any] | None = None
    type: str | None = None


class Mandate(Model):
    """The mandate that events about it carry in data.object."""

    object: Literal["mandate"] | None = None
    id: str | None = None
    payment_method: str | dict[str, Any] | None = None
    status: str | None = None


class PaymentIntent(Model):
    """The payment intent that events about it carry in data.object."""

    object: Literal["payment_intent"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    status: str | None = None
    amount_capturable: int | None = None
    amount_received: int | None = None
    customer: str | dict[str, Any] | None = None
    latest_charge: str | dict[str, Any] | None = None
    last_payment_error: dict[str, Any] | None = None
    cancellation_reason: str | None = None


class PaymentLink(Model):
    """The payment link that events about it carry in data.object."""

    object: Literal["payment_link"] | None = None
    id: str | None = None
    active: bool | None = None
    url: str | None = None


class PaymentMethod(Model):
    """The payment method that events about it carry in data.object."""

    object: Literal["payment_method"] | None = None
    id: str | None = None
    customer: str | dict[str, Any] | None = None
    type: str | None = None


class Payout(Model):
    """The payout that events about it carry in data.object."""

    object: Literal["payout"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    arrival_date: int | None = None
    failure_code: str | None = None
    status: str | None = None


class Person(Model):
    """The person of an account that events about it carry in data.object."""

    object: Literal["person"] | None = None
    id: str | None = None
    account: str | dict[str, Any] | None = None
    relationship: dict[str, Any] | None = None


class Plan(Model):
    """The plan that events about it carry in data.object."""

    object: Literal["plan"] | None = None
    id: str | None = None
    active: bool | None = None
    amount: int | None = None
    currency: str | None = None
    interval: str | None = None
    product: str | dict[str, Any] | None = None


class Price(Model):
    """The price that events about it carry in data.object."""

    object: Literal["price"] | None = None
    id: str | None = None
    active: bool | None = None
    unit_amount: int | None = None
    currency: str | None = None
    product: str | dict[str, Any] | None = None
    recurring: dict[str, Any] | None = None


class Product(Model):
    """The product that events about it carry in data.object."""

    object: Literal["product"] | None = None
    id: str | None = None
    active: bool | None = None
    name: str | None = None


class PromotionCode(Model):
    """The promotion code that events about it carry in data.object."""

    object: Literal["promotion_code"] | None = None
    id: str | None = None
    active: bool | None = None
    code: str | None = None


class Quote(Model):
    """The quote that events about it carry in data.object."""

    object: Literal["quote"] | None = None
    id: str | None = None
    amount_total: int | None = None
    currency: str | None = None
    customer: str | dict[str, Any] | None = None
    status: str | None = None


class RadarEarlyFraudWarning(Model):
    """The early fraud warning that events about it carry in data.object."""

    object: Literal["radar.early_fraud_warning"] | None = None
    id: str | None = None
    actionable: bool | None = None
    charge: str | dict[str, Any] | None = None
    fraud_type: str | None = None


class Refund(Model):
    """The refund that events about it carry in data.object."""

    object: Literal["refund"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    charge: str | dict[str, Any] | None = None
    payment_intent: str | dict[str, Any] | None = None
    status: str | None = None
    failure_reason: str | None = None


class ReportingReportRun(Model):
    """The run of a report that events about it carry in data.object."""

    object: Literal["reporting.report_run"] | None = None
    id: str | None = None
    report_type: str | None = None
    status: str | None = None
    result: dict[str, Any] | None = None


class ReportingReportType(Model):
    """The reporting.report_type that events about it carry in data.object."""

    object: Literal["reporting.report_type"] | None = None
    id: str | None = None
    data_available_end: int | None = None


class ReserveHold(Model):
    """The hold on funds that events about it carry in data.object."""

    object: Literal["reserve.hold"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    reason: str | None = None


class ReservePlan(Model):
    """The plan for holding funds that events about it carry in data.object."""

    object: Literal["reserve.plan"] | None = None
    id: str | None = None
    percent: float | None = None
    status: str | None = None
    type: str | None = None


class ReserveRelease(Model):
    """The reserve.release that events about it carry in data.object."""

    object: Literal["reserve.release"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    reason: str | None = None


class Review(Model):
    """The review of a payment that events about it carry in data.object."""

    object: Literal["review"] | None = None
    id: str | None = None
    charge: str | dict[str, Any] | None = None
    payment_intent: str | dict[str, Any] | None = None
    open: bool | None = None
    opened_reason: str | None = None
    closed_reason: str | None = None


class ScheduledQueryRun(Model):
    """The scheduled_query_run that events about it carry in data.object."""

    object: Literal["scheduled_query_run"] | None = None
    id: str | None = None
    status: str | None = None


class SetupIntent(Model):
    """The setup intent that events about it carry in data.object."""

    object: Literal["setup_intent"] | None = None
    id: str | None = None
    status: str | None = None
    customer: str | dict[str, Any] | None = None
    payment_method: str | dict[str, Any] | None = None
    last_setup_error: dict[str, Any] | None = None
    cancellation_reason: str | None = None
