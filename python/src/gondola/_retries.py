"""When a request is sent again, as a function from values to values.

A request is sent again only where that can do no harm: the server refused it before it did anything (429), or the connection
was never made; and, if the request is the same sent twice as sent once, after 502, 503 and broken connections. A request that
timed out is not sent again: whoever asked has waited long enough.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from enum import Enum


class Failure(Enum):
    """What happened instead of an answer."""

    #: No connection was made: nothing was sent.
    NOT_CONNECTED = "not connected"
    #: The connection broke: the request may have arrived.
    BROKEN = "broken"
    #: The time was over.
    TIMEOUT = "timeout"


@dataclass(frozen=True)
class Retries:
    """How often a request is sent, and how long is waited in between."""

    #: Times that a request is sent at most; 1 for never again.
    attempts: int = 3
    #: Seconds before the second; twice that before the third, and so on, each less up to a half by chance.
    first_wait: float = 0.1
    #: A server that asks for more patience than these seconds is not asked again.
    longest_wait: float = 10.0

    def wait(
        self, attempt: int, outcome: int | Failure, *, repeatable: bool, retry_after: str | None = None
    ) -> float | None:
        """Seconds until the next attempt after this one (the first is 1), or ``None`` if there is none."""
        if attempt >= self.attempts or not _may(outcome, repeatable=repeatable):
            return None
        asked = seconds(retry_after)
        own: float = min(self.first_wait * 2 ** (attempt - 1), self.longest_wait) * random.uniform(0.5, 1.0)
        if asked is None:
            return own
        return max(asked, own) if asked <= self.longest_wait else None


def _may(outcome: int | Failure, *, repeatable: bool) -> bool:
    if outcome in {429, Failure.NOT_CONNECTED}:
        return True
    return repeatable and outcome in {502, 503, Failure.BROKEN}


def seconds(retry_after: str | None, now: datetime | None = None) -> float | None:
    """What the header says: seconds, or a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    return max((date - (now or datetime.now(timezone.utc))).total_seconds(), 0.0)
