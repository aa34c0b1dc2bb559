"""The consumers compared: each records the ids of events, in a process of its own.

It is told by its environment where its queue is and how many messages it may have at a time.
"""

IDS = "ids.json"
"""The file for the ids of what was handled, in order; written when the process ends."""

MARKS = "marks.json"
"""The file for the clocks at the first mark and at the last; written at the last."""
