"""The command line: ``gateway serve | dev | check | send | tail | providers | schemas | explain | forget | spool``."""

from gateway.cli.main import main

__all__ = ["main"]
