"""The parts of the store in PostgreSQL: its transactions, and calls that are given up."""
