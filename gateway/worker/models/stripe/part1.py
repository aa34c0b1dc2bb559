"""Typed events of stripe, Account to IdentityVerificationSession: made from schemas/stripe/ by ``make models``. Do not edit."""

from typing import Any, Literal

from gateway.worker.models.envelopes import Model


class Account(Model):
    """The account that events about it carry in data.object."""

    object: Literal["account"] | None = None
    id: str | None = None
    charges_enabled: bool | None = None
    payouts_enabled: bool | None = None
    details_submitted: bool | None = None
    requirements: dict[str, Any] | None = None


class Application(Model):
    """The Connect application that events about it carry in data.object."""

    object: str | None = None
    id: str | None = None
    name: str | None = None


class ApplicationFee(Model):
    """The application fee that events about it carry in data.object."""

    object: Literal["application_fee"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    amount_refunded: int | None = None
    account: str | dict[str, Any] | None = None
    charge: str | dict[str, Any] | None = None


class AppsInstall(Model):
    """The installation of an app that events about it carry in data.object."""

    object: Literal["apps.install"] | None = None
    id: str | None = None


class Balance(Model):
    """The balance that events about it carry in data.object."""

    object: Literal["balance"] | None = None
    available: list[Any] | None = None
    pending: list[Any] | None = None


class BalanceSettings(Model):
    """The balance_settings that events about it carry in data.object."""

    object: Literal["balance_settings"] | None = None
    payments: dict[str, Any] | None = None


class BillingAlertTriggered(Model):
    """The billing.alert_triggered that events about it carry in data.object."""

    object: Literal["billing.alert_triggered"] | None = None
    alert: dict[str, Any] | None = None
    customer: str | dict[str, Any] | None = None
    value: float | None = None


class BillingCreditBalanceTransaction(Model):
    """The billing.credit_balance_transaction that events about it carry in data.object."""

    object: Literal["billing.credit_balance_transaction"] | None = None
    id: str | None = None
    credit: dict[str, Any] | None = None
    debit: dict[str, Any] | None = None
    credit_grant: str | dict[str, Any] | None = None
    type: str | None = None


class BillingCreditGrant(Model):
    """The grant of billing credits that events about it carry in data.object."""

    object: Literal["billing.credit_grant"] | None = None
    id: str | None = None
    amount: dict[str, Any] | None = None
    customer: str | dict[str, Any] | None = None
    expires_at: int | None = None
    voided_at: int | None = None


class BillingMeter(Model):
    """The meter of usage that events about it carry in data.object."""

    object: Literal["billing.meter"] | None = None
    id: str | None = None
    event_name: str | None = None
    status: str | None = None


class BillingPortalConfiguration(Model):
    """The configuration of the customer portal that events about it carry in data.object."""

    object: Literal["billing_portal.configuration"] | None = None
    id: str | None = None
    active: bool | None = None


class BillingPortalSession(Model):
    """The billing_portal.session that events about it carry in data.object."""

    object: Literal["billing_portal.session"] | None = None
    id: str | None = None
    customer: str | dict[str, Any] | None = None


class Capability(Model):
    """The capability that events about it carry in data.object."""

    object: Literal["capability"] | None = None
    id: str | None = None
    account: str | dict[str, Any] | None = None
    status: str | None = None


class CashBalance(Model):
    """The cash_balance that events about it carry in data.object."""

    object: Literal["cash_balance"] | None = None
    customer: str | dict[str, Any] | None = None
    available: dict[str, Any] | None = None


class Charge(Model):
    """The charge that events about it carry in data.object."""

    object: Literal["charge"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    amount_captured: int | None = None
    amount_refunded: int | None = None
    customer: str | dict[str, Any] | None = None
    payment_intent: str | dict[str, Any] | None = None
    status: str | None = None
    paid: bool | None = None
    refunded: bool | None = None
    failure_code: str | None = None


class CheckoutSession(Model):
    """The Checkout session that events about it carry in data.object."""

    object: Literal["checkout.session"] | None = None
    id: str | None = None
    amount_total: int | None = None
    currency: str | None = None
    customer: str | dict[str, Any] | None = None
    mode: str | None = None
    payment_intent: str | dict[str, Any] | None = None
    payment_status: str | None = None
    status: str | None = None
    subscription: str | dict[str, Any] | None = None


class ClimateOrder(Model):
    """The order of carbon removal that events about it carry in data.object."""

    object: Literal["climate.order"] | None = None
    id: str | None = None
    status: str | None = None
    amount_total: int | None = None
    currency: str | None = None
    metric_tons: str | None = None


class ClimateProduct(Model):
    """The product of carbon removal that events about it carry in data.object."""

    object: Literal["climate.product"] | None = None
    id: str | None = None


class Coupon(Model):
    """The coupon that events about it carry in data.object."""

    object: Literal["coupon"] | None = None
    id: str | None = None
    amount_off: int | None = None
    percent_off: float | None = None
    currency: str | None = None
    valid: bool | None = None


class CreditNote(Model):
    """The credit note that events about it carry in data.object."""

    object: Literal["credit_note"] | None = None
    id: str | None = None
    currency: str | None = None
    amount: int | None = None
    customer: str | dict[str, Any] | None = None
    invoice: str | dict[str, Any] | None = None
    status: str | None = None
    total: int | None = None


class Customer(Model):
    """The customer that events about it carry in data.object."""

    object: Literal["customer"] | None = None
    id: str | None = None
    email: str | None = None
    name: str | None = None


class CustomerCashBalanceTransaction(Model):
    """The customer_cash_balance_transaction that events about it carry in data.object."""

    object: Literal["customer_cash_balance_transaction"] | None = None
    id: str | None = None
    currency: str | None = None
    customer: str | dict[str, Any] | None = None
    net_amount: int | None = None
    type: str | None = None


class CustomerSource(Model):
    """The payment source of a customer that events about it carry in data.object."""

    object: str | None = None
    id: str | None = None
    customer: str | dict[str, Any] | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None


class Discount(Model):
    """The discount that events about it carry in data.object."""

    object: Literal["discount"] | None = None
    id: str | None = None
    customer: str | dict[str, Any] | None = None
    coupon: dict[str, Any] | None = None
    promotion_code: str | dict[str, Any] | None = None


class Dispute(Model):
    """The dispute that events about it carry in data.object."""

    object: Literal["dispute"] | None = None
    id: str | None = None
    amount: int | None = None
    charge: str | dict[str, Any] | None = None
    currency: str | None = None
    reason: str | None = None
    status: str | None = None
    payment_intent: str | dict[str, Any] | None = None


class EntitlementsActiveEntitlementSummary(Model):
    """The entitlements.active_entitlement_summary that events about it carry in data.object."""

    object: Literal["entitlements.active_entitlement_summary"] | None = None
    customer: str | dict[str, Any] | None = None
    entitlements: dict[str, Any] | None = None


class ExternalAccount(Model):
    """The bank account or card of an account that events about it carry in data.object."""

    object: str | None = None
    id: str | None = None
    account: str | dict[str, Any] | None = None
    last4: str | None = None
    currency: str | None = None
    country: str | None = None


class FeeRefund(Model):
    """The fee_refund that events about it carry in data.object."""

    object: Literal["fee_refund"] | None = None
    id: str | None = None
    amount: int | None = None
    currency: str | None = None
    fee: str | dict[str, Any] | None = None


class File(Model):
    """The file that events about it carry in data.object."""

    object: Literal["file"] | None = None
    id: str | None = None
    purpose: str | None = None
    size: int | None = None
    type: str | None = None


class FinancialConnectionsAccount(Model):
    """The linked financial account that events about it carry in data.object."""

    object: Literal["financial_connections.account"] | None = None
    id: str | None = None
    status: str | None = None
    category: str | None = None
    subcategory: str | None = None


class FinancialConnectionsAuthorization(Model):
    """The authorization of linked financial accounts that events about it carry in data.object."""

    object: Literal["financial_connections.authorization"] | None = None
    id: str | None = None
    status: str | None = None


class IdentityVerificationSession(Model):
    """The verification of an identity that events about it carry in data.object."""

    object: Literal["identity.verification_session"] | None = None
    id: str | None = None
    status: str | None = None
    type: str | None = None
    last_error: dict[str, Any] | None = None
