"""The parts of the store in memory: its rows and its leases."""
