"""When to ask again. Pure: the clients do the waiting."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from intbert.client.errors import ApiError, ClientError, ConnectionFailedError

RETRIED_STATUSES = frozenset({429, 503})


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """At most `attempts` requests, and at most `budget_s` of waiting between them.

    The service's wish (`retry_after_ms`, else `Retry-After`) is never cut short: when it does not fit into what is left
    of the budget, the error is raised at once. Without a wish the pauses double, from `first_s` to `longest_s`.
    Asking twice does no harm: the routes compute and change nothing.
    """

    attempts: int = 4
    budget_s: float = 10.0
    first_s: float = 0.1
    longest_s: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.budget_s < 0 or not 0 < self.first_s <= self.longest_s:
            raise ValueError(
                f"attempts ({self.attempts}) must be at least 1, budget_s ({self.budget_s}) at least 0, "
                f"and first_s ({self.first_s}) positive and at most longest_s ({self.longest_s})"
            )


def pause_s(
    policy: RetryPolicy, error: ClientError, *, attempts: int, waited_s: float, jitter: float | None = None
) -> float | None:
    """Seconds to wait before the next attempt, or None to give up and raise.

    `attempts` were made, with `waited_s` between them; `jitter` in [0, 1) spreads clients out, by default at random.
    """
    if attempts >= policy.attempts or not _may_help(error):
        return None
    spread = random.random() if jitter is None else jitter
    asked_s = error.retry_after_s if isinstance(error, ApiError) else None
    if asked_s is None:
        pause = min(policy.longest_s, policy.first_s * 2 ** (attempts - 1)) * (0.5 + spread / 2)
    else:
        pause = asked_s + policy.first_s * spread  # never before the time
    return pause if waited_s + pause <= policy.budget_s else None


def _may_help(error: ClientError) -> bool:
    if isinstance(error, ApiError):
        return error.status in RETRIED_STATUSES
    return isinstance(error, ConnectionFailedError)


def retry_after_s(header: str | None, body_ms: object) -> float | None:
    """What the server asks for: the body's milliseconds, else the header's seconds or date (RFC 9110, 10.2.3)."""
    if isinstance(body_ms, int | float) and not isinstance(body_ms, bool):
        return max(0.0, body_ms / 1000)
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
