"""Commands with subcommands, one module each."""
