"""The ledger test: senders that retry, faults that strike, a consumer that drains, and books that must balance.

``python -m ledger --help`` says how to run it at length; ``test_ledger.py`` is its short form.
"""
