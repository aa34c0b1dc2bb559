"""An inbound webhook gateway: verified, deduplicated, validated and published to RabbitMQ as CloudEvents."""
