"""The command line: ``gateway serve | dev | check | send | tail | providers | schemas | explain | forget | replay | spool``."""

from gateway.cli.main import main

__all__ = ["main"]
