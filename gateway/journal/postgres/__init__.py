"""The journal in PostgreSQL, which several gateways share: its tables, and questions as SQL."""
