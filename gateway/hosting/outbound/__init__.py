"""The process of the way out: it takes events from queues, and delivers them to endpoints."""
