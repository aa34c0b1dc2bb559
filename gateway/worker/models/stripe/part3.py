"""Typed events of stripe, Source to TreasuryReceivedDebit: made from schemas/stripe/ by ``make models``. Do not edit."""

from typing import Any, Literal

from gateway.worker.models.envelopes import Model


class Source(Model):
    """The source that events about it carry in data.object."""

    object: Literal["source"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    status: str | None = None
    type: str | None = None


class SourceMandateNotification(Model):
    """The source_mandate_notification that events about it carry in data.object."""

    object: Literal["source_mandate_notification"] | None = None
    id: str | None = None
    reason: str | None = None
    status: str | None = None
    source: dict[str, Any] | None = None


class SourceTransaction(Model):
    """The transaction of a source that events about it carry in data.object."""

    object: Literal["source_transaction"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    source: str | None = None
    status: str | None = None


class Subscription(Model):
    """The subscription that events about it carry in data.object."""

    object: Literal["subscription"] | None = None
    id: str | None = None
    customer: str | dict[str, Any] | None = None
    status: str | None = None
    cancel_at_period_end: bool | None = None
    items: dict[str, Any] | None = None
    trial_end: int | None = None
    latest_invoice: str | dict[str, Any] | None = None


class SubscriptionSchedule(Model):
    """The subscription schedule that events about it carry in data.object."""

    object: Literal["subscription_schedule"] | None = None
    id: str | None = None
    customer: str | dict[str, Any] | None = None
    status: str | None = None
    subscription: str | dict[str, Any] | None = None


class TaxId(Model):
    """The tax ID that events about it carry in data.object."""

    object: Literal["tax_id"] | None = None
    id: str | None = None
    customer: str | dict[str, Any] | None = None
    country: str | None = None
    type: str | None = None
    verification: dict[str, Any] | None = None


class TaxRate(Model):
    """The tax rate that events about it carry in data.object."""

    object: Literal["tax_rate"] | None = None
    id: str | None = None
    active: bool | None = None
    country: str | None = None
    inclusive: bool | None = None
    percentage: float | None = None


class TaxSettings(Model):
    """The tax.settings that events about it carry in data.object."""

    object: Literal["tax.settings"] | None = None
    status: str | None = None


class TerminalReader(Model):
    """The card reader that events about it carry in data.object."""

    object: Literal["terminal.reader"] | None = None
    id: str | None = None
    action: dict[str, Any] | None = None
    device_type: str | None = None
    status: str | None = None


class TestHelpersTestClock(Model):
    """The test clock that events about it carry in data.object."""

    object: Literal["test_helpers.test_clock"] | None = None
    id: str | None = None
    frozen_time: int | None = None
    status: str | None = None


class ThreeDSecureAuthentication(Model):
    """The 3D Secure authentication that events about it carry in data.object."""

    object: Literal["three_d_secure.authentication"] | None = None
    id: str | None = None
    status: str | None = None


class Topup(Model):
    """The top-up that events about it carry in data.object."""

    object: Literal["topup"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    failure_code: str | None = None
    status: str | None = None


class Transfer(Model):
    """The transfer that events about it carry in data.object."""

    object: Literal["transfer"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    amount_reversed: int | None = None
    destination: str | dict[str, Any] | None = None


class TreasuryCreditReversal(Model):
    """The reversal of a received credit that events about it carry in data.object."""

    object: Literal["treasury.credit_reversal"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    financial_account: str | None = None
    status: str | None = None
    received_credit: str | dict[str, Any] | None = None


class TreasuryDebitReversal(Model):
    """The reversal of a received debit that events about it carry in data.object."""

    object: Literal["treasury.debit_reversal"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    financial_account: str | None = None
    status: str | None = None
    received_debit: str | dict[str, Any] | None = None


class TreasuryFinancialAccount(Model):
    """The financial account that events about it carry in data.object."""

    object: Literal["treasury.financial_account"] | None = None
    id: str | None = None
    balance: dict[str, Any] | None = None
    status: str | None = None


class TreasuryInboundTransfer(Model):
    """The inbound transfer that events about it carry in data.object."""

    object: Literal["treasury.inbound_transfer"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    financial_account: str | None = None
    status: str | None = None
    failure_details: dict[str, Any] | None = None


class TreasuryOutboundPayment(Model):
    """The outbound payment that events about it carry in data.object."""

    object: Literal["treasury.outbound_payment"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    financial_account: str | None = None
    status: str | None = None
    expected_arrival_date: int | None = None
    returned_details: dict[str, Any] | None = None


class TreasuryOutboundTransfer(Model):
    """The outbound transfer that events about it carry in data.object."""

    object: Literal["treasury.outbound_transfer"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    financial_account: str | None = None
    status: str | None = None
    expected_arrival_date: int | None = None
    returned_details: dict[str, Any] | None = None


class TreasuryReceivedCredit(Model):
    """The received credit that events about it carry in data.object."""

    object: Literal["treasury.received_credit"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    financial_account: str | None = None
    status: str | None = None
    failure_code: str | None = None


class TreasuryReceivedDebit(Model):
    """The treasury.received_debit that events about it carry in data.object."""

    object: Literal["treasury.received_debit"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    financial_account: str | None = None
    status: str | None = None
    failure_code: str | None = None
