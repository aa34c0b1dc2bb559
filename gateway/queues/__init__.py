"""Queues that operators read: the archive, dead letters, and a tail of published events."""
