"""The ledger test: senders retry, faults strike, a consumer drains, and the books balance.

``python -m ledger --help`` says how to run it at length; ``test_ledger.py`` is its short form.
"""
