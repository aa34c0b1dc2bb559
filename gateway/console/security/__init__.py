"""Who may use the console: tokens, sessions, roles, and what browsers are told to refuse."""
