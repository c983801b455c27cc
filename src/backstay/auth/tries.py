"""How often somebody may try: to sign in, to open an account, to refresh, to change a password.

Whatever way a try comes in by, it is charged here, before the work and whether or not there is an account, to the
address that was sent in its one form and to the client that sent it. Invariant: what is charged tells nothing about
who has an account, and nobody chooses what they are counted as.
"""

from __future__ import annotations

from backstay.plan.limits import Limits
from backstay.plan.rate import Rate, parse_rates
from backstay.store.rates import Charge, Rates

PURPOSES = ("login", "signup", "refresh", "password")


class Tries:
    """The budgets of the account routes. `client` is always the network that a request came from."""

    def __init__(self, rates: Rates, limits: Limits) -> None:
        self._rates = rates
        self._per: dict[tuple[str, str], tuple[Rate, ...]] = {
            (purpose, whom): parse_rates(getattr(limits, f"{purpose}_per_{whom}", ""))
            for purpose in PURPOSES for whom in ("account", "client")
        }  # fmt: skip

    async def log_in(self, address: str | None, client: str) -> None:
        """Charge a try to sign in. Raises `TooMany`. One transaction, like the others."""
        await self._charge("login", address, client)

    async def sign_up(self, address: str, client: str) -> None:
        """Charge a sign-up. Raises `TooMany`."""
        await self._charge("signup", address, client)

    async def refresh(self, client: str) -> None:
        """Charge a refresh. Raises `TooMany`."""
        await self._charge("refresh", None, client)

    async def change_password(self, user: str) -> None:
        """Charge a change of password, or the try of one. Raises `TooMany`."""
        await self._charge("password", user, None)

    async def _charge(self, purpose: str, account: str | None, client: str | None) -> None:
        charges = [
            Charge(f"{purpose} per {whom}", rate, subject)
            for whom, subject in (("account", account), ("client", client)) if subject is not None
            for rate in self._per[purpose, whom]
        ]  # fmt: skip
        if charges:
            await self._rates.charge(*charges)
