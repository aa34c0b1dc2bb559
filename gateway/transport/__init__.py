"""How servers are reached: addresses, TLS, connections, files on disk."""
