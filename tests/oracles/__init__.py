"""The senders' own libraries as oracles: they judge the gateway's signatures, and the gateway verifies theirs."""
