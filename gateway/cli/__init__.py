"""The command line: ``gateway`` and its commands."""

from gateway.cli.main import main

__all__ = ["main"]
