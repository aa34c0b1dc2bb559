"""The store as SQL, in the words that SQLite and PostgreSQL share."""
