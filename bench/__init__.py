"""The benchmark: what an event costs here, next to doing nothing and next to what others use.

One command, `PYTHONPATH=tests python -m bench`, measures everything in one run on one machine, because
numbers of two machines, or of two days, do not compare.
"""
