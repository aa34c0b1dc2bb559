"""Typed events: what the bundled schemas know of the payloads of a few providers, for type checkers and editors.

    from gateway.worker.models.stripe import Invoice, StripeEvent

    invoice = event.data_as(StripeEvent[Invoice]).data.object

An attribute may be None unless its schema requires it, and no schema requires more than every real event has. Members of a
payload that its class does not name are kept, in ``model_extra``.
"""
