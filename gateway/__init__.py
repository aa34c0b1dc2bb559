"""An inbound webhook gateway: verified, deduplicated, validated and published to RabbitMQ as CloudEvents."""

__version__ = "0.2.0"
