"""Access to the console: tokens, sessions, roles, and the headers by which browsers refuse attacks."""
