"""Queues read by people: the archive, dead letters, the quarantine, and a tail of what is published."""
