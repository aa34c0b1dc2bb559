"""Processes beside the gateway: a worker with its queue and store, the way out, and what keeps companions running."""
