"""How often somebody may ask: all requests of one account or client, and those to an action that has a rate.

Invariant: who is signed in is counted by account and everybody else by network, whichever route and process they come
to; where no rate is set nothing is counted and nothing is spent.
"""

from __future__ import annotations

from dataclasses import fields, replace

from backstay.api.http import Request
from backstay.plan.limits import Limits
from backstay.plan.rate import Rate, parse_rates
from backstay.store.rates import Rates, rate_headers


def with_rates(limits: Limits, changes: str) -> Limits:
    """Limits with other rates: `requests_per_client=600/minute; login_per_account=5/minute`. Raises `ValueError`."""
    known = [field.name for field in fields(Limits) if isinstance(field.default, str)]
    changed: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in changes.split(";"))):
        name, equals, rates = part.partition("=")
        if not equals or name.strip() not in known:
            raise ValueError(f"BACKSTAY_RATE_LIMITS: write name=rate, with a name of {', '.join(known)}; not {part!r}.")
        changed[name.strip()] = rates.strip()
    try:
        return replace(limits, **changed)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"BACKSTAY_RATE_LIMITS: {error}") from None


class Askers:
    """The budgets of those who ask."""

    def __init__(self, rates: Rates, limits: Limits) -> None:
        self._rates = rates
        self._account = parse_rates(limits.requests_per_actor)
        self._client = parse_rates(limits.requests_per_client)

    @property
    def counted(self) -> bool:
        """Whether requests are counted at all."""
        return bool(self._account or self._client)

    async def ask(self, request: Request) -> None:
        """Charge one request. Raises `TooMany`; otherwise the answer tells how many are left."""
        if request.actor.id is not None:
            await self._take("requests per account", self._account, str(request.actor.id), request)
        else:
            await self._take("requests per client", self._client, request.network, request)

    async def act(self, action: str, rates: tuple[Rate, ...], request: Request) -> None:
        """Charge one call of an action. Raises `TooMany`; otherwise the answer tells how many are left."""
        await self._take(action, rates, request.network if request.actor.id is None else str(request.actor.id), request)

    async def _take(self, purpose: str, rates: tuple[Rate, ...], subject: str, request: Request) -> None:
        if rates:
            left, rate = min(zip(await self._rates.take(purpose, rates, subject), rates, strict=True), key=_scarcest)
            told = rate_headers(purpose, rate, left, rate.seconds)
            request.told = [(name.lower().encode(), value.encode()) for name, value in told.items()]


def _scarcest(budget: tuple[int, Rate]) -> int:
    return budget[0]
