"""The way out: endpoints, and the deliveries of events to them.

An event is accepted (:mod:`gateway.outbound.accept`), matched with the endpoints that want it, and kept with one delivery
for each of them. The owner of an endpoint sends what is due, and records every attempt. Nothing that was accepted is lost:
a delivery ends as delivered, dead or cancelled, and until then it is tried again or held.
"""
