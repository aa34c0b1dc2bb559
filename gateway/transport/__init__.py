"""How servers and files are reached: addresses, TLS, connections, HTTPS, SQLite."""
