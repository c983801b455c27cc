"""The page on which a customer of play money confirms a payment or refuses it.

Invariant: every text from outside is escaped, and the page needs no script: its policy allows none, and nothing of
another host. The style is named by its hash.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from html import escape

from backstay.commerce.currency import written
from backstay.model.value import Money

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 24rem; margin: 4rem auto; padding: 0 1rem; color: #1c2430; }
p.note { color: #5b6675; }
strong { font-size: 1.5rem; }
button { font: inherit; padding: .6rem 1.2rem; margin-right: .5rem; border: 1px solid #1c2430; border-radius: .4rem;
  background: #fff; cursor: pointer; }
button[value=confirm] { background: #1c2430; color: #fff; }
"""
PLAY_CSP = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""The Content-Security-Policy to send with the page."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A payment as its customer sees it. `open` is whether it still waits for them; they go back to `return_url`."""

    amount: Money
    order: str
    return_url: str
    open: bool


def play_page(waiting: Waiting, action: str) -> bytes:
    """The page, as HTML. Its form sends `answer=confirm` or `answer=decline` to `action` by POST.

    >>> b'value="confirm"' in play_page(Waiting(Money(1999, "EUR"), "1001", "", True), "/dev/pay/secret_1")
    True
    """
    amount, order = escape(written(waiting.amount)), escape(waiting.order)
    asked = (
        f'<form method="post" action="{escape(action)}">'
        '<button name="answer" value="confirm">Confirm</button>'
        '<button name="answer" value="decline">Decline</button></form>'
        if waiting.open
        else "<p>This payment waits for nothing any more.</p>"
    )
    back = f'<p><a href="{escape(waiting.return_url)}">Back to the shop</a></p>' if waiting.return_url else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">'
        f"<title>Confirm a payment</title><style>{_STYLE}</style></head><body>"
        f"<h1>Confirm a payment</h1><p>Order {order}<br><strong>{amount}</strong></p>{asked}{back}"
        '<p class="note">Play money, for development and tests: nobody is charged.</p></body></html>'
    ).encode()
