"""Receive one request: route it, refuse it or run it through the pipeline, and answer."""
