"""The benchmark: the cost of an event, beside a bare server and beside common alternatives.

One command, `PYTHONPATH=tests python -m bench`, measures everything in one run on one machine, because
numbers of two machines, or of two days, do not compare.
"""
