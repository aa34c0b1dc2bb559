"""Sabotage: patches that break a promise, each with the test that must notice.

``python -m sabotage`` applies them one by one to a copy of the product. A test suite that stays green while
signatures go unchecked proves nothing; this is how we know that ours does not.
"""
