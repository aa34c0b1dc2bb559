"""Counts the instructions of the gateway for each event: the same number whatever else the machine does.

``python -m bench.instructions`` prints them beside their budgets, and the functions in which they are spent.
"""
