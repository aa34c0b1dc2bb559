"""The host of a worker: it opens its queue and store, runs it in a process, and ends it in order."""
