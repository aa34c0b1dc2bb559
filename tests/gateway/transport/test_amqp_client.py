"""Connections of aio-pika that could not be opened."""

from __future__ import annotations

import gc

import aio_pika
import pytest

from gateway.transport.amqp_client import open_amqp
from gateway.transport.amqp_nodes import BrokerNodes
from support.ports import free_port


async def test_a_connection_that_could_not_be_opened_is_closed() -> None:
    """aio-pika closes one that is collected, which prints a warning where no event loop runs at that moment."""
    address = f"127.0.0.1:{free_port()}"

    with pytest.raises(OSError, match="nothing listens at"):
        await open_amqp(BrokerNodes(f"amqp://{address}/"))

    left = [each for each in gc.get_objects() if isinstance(each, aio_pika.Connection)]
    assert not [each for each in left if address in str(each) and not each.is_closed]
