"""From bytes to an event: read, validate, redact, wrap in a CloudEvent. Pure."""
