"""Segments: the files of the journal in SQLite."""
