"""The operator's listener: the web console, the API, metrics and health, in a process of its own."""
