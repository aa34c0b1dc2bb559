"""JSON Schemas by adapter and event type, as package data."""
