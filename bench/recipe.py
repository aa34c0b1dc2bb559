"""The usual recipe: FastAPI, redis-py, aio-pika and jsonschema, one await after the other.

Written as a competent article would have it, and not worse: compiled validator, one connection pool,
one confirming channel, persistent messages, the claim given back when the publish fails. What it has not
is what the article leaves out too: a claim that survives a crash between SET and publish only as a loss.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import jsonschema
import uvicorn
from aio_pika.abc import AbstractExchange
from fastapi import FastAPI, HTTPException, Request, Response
from redis.asyncio import Redis

EXCHANGE = "recipe"

_SECRET = os.environ.get("STRIPE_WEBHOOK_SECRET", "").encode()
_TOLERANCE = 300
_RETENTION = 4 * 24 * 3600
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["id", "object", "type", "created", "data"],
    "properties": {
        "id": {"type": "string", "minLength": 1},
        "object": {"const": "event"},
        "type": {"type": "string", "minLength": 1},
        "created": {"type": "integer"},
        "livemode": {"type": "boolean"},
        "data": {
            "type": "object",
            "required": ["object"],
            "properties": {
                "object": {
                    "type": "object",
                    "required": ["id", "object"],
                    "properties": {
                        "id": {"type": "string"},
                        "object": {"type": "string"},
                        "amount": {"type": "integer", "minimum": 0},
                        "currency": {"type": "string", "pattern": "^[a-z]{3}$"},
                        "status": {"type": "string"},
                    },
                },
            },
        },
    },
}
_VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


class Connections:
    """What the handlers share."""

    redis: Redis
    exchange: AbstractExchange


connections = Connections()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Connect before the first request and disconnect after the last."""
    connections.redis = Redis.from_url(os.environ["REDIS_URL"])
    rabbitmq = await aio_pika.connect_robust(os.environ["RABBITMQ_URL"])
    channel = await rabbitmq.channel(publisher_confirms=True)
    connections.exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
    yield
    await rabbitmq.close()
    await connections.redis.aclose()


app = FastAPI(lifespan=lifespan)


def verify(body: bytes, header: str) -> None:
    """Check Stripe's signature: `t=<seconds>,v1=<hex>` over `<t>.<body>`."""
    fields = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    try:
        timestamp, signature = fields["t"], fields["v1"]
        age = abs(time.time() - int(timestamp))
    except (KeyError, ValueError):
        raise HTTPException(401, "bad signature header") from None
    expected = hmac.new(_SECRET, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    if age > _TOLERANCE or not hmac.compare_digest(expected, signature):
        raise HTTPException(401, "bad signature")


@app.post("/webhooks/stripe", status_code=202)
async def stripe(request: Request, response: Response) -> dict[str, Any]:
    """Verify, parse, validate, claim, publish."""
    body = await request.body()
    verify(body, request.headers.get("stripe-signature", ""))
    try:
        event = json.loads(body)
        _VALIDATOR.validate(event)
    except (ValueError, jsonschema.ValidationError) as error:
        raise HTTPException(400, "invalid payload") from error

    key = f"stripe:{event['id']}"
    if not await connections.redis.set(key, 1, nx=True, ex=_RETENTION):
        response.status_code = 200
        return {"status": "duplicate", "id": event["id"]}
    message = aio_pika.Message(
        body,
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=event["id"],
        type=event["type"],
    )
    try:
        await connections.exchange.publish(message, routing_key=f"stripe.{event['type']}")
    except Exception as error:
        await connections.redis.delete(key)
        raise HTTPException(503, "broker unavailable") from error
    return {"status": "accepted", "id": event["id"]}


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    """Served only after `lifespan` has connected."""
    return {"status": "ready"}


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ["PORT"]), loop="uvloop", http="httptools", access_log=False
    )
