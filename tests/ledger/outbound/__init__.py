"""The ledger of the way out: what agents published, what receivers got and what the database says, through kills and faults."""
