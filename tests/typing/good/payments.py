"""The providers keep the port, as the type checkers see it."""

from backstay.commerce.payments.play_money import PlayMoney
from backstay.commerce.payments.port import ActionNeeded, Authorized, Declined, Intent, Provider, Unknown
from backstay.model.value import Money

PROVIDERS: list[Provider] = [PlayMoney()]


async def outcome(provider: Provider) -> str:
    """Every answer is one of four, and nothing else has to be thought of."""
    match await provider.authorize(Intent("p1", Money(1999, "EUR"), "1001", "ada@example.com")):
        case Authorized(reference=reference):
            return reference
        case Declined(reason=reason):
            return reason
        case ActionNeeded(approve_url=url):
            return url
        case Unknown(why=why):
            return why
