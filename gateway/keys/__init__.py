"""The public keys that senders publish: fetched, renewed before they end, and kept on disk."""
