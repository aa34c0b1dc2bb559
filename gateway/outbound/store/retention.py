"""How long the way out keeps what it was given."""

from __future__ import annotations

DAY = 86_400.0
"""Seconds of a day."""

MESSAGES_KEPT = 15 * DAY
"""Seconds that a message is kept, one day longer than a delivery is held; also the memory that makes an event a duplicate."""

ATTEMPTS_KEPT = 30 * DAY
"""Seconds that an attempt is kept."""

DELIVERIES_KEPT = 30 * DAY
"""Seconds that a delivery is kept after it has ended."""

MAX_HELD = 14 * DAY
"""Seconds after which a held delivery is cancelled."""

OPERATIONS_KEPT = 30 * DAY
"""Seconds that a bulk replay is kept."""
