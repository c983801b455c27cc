"""The page of an order, for a customer who comes back from a payment or from a mail, where a shop has none of its own.

Invariant: every text from outside is escaped, and the page needs no script: its policy allows none, and nothing of
another host. What it shows is read by the rules of whoever asks.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape

from backstay.commerce.currency import written
from backstay.commerce.letters import lines_of
from backstay.commerce.order import Order

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 3rem auto; padding: 0 1rem; color: #1c2430; }
table { width: 100%; border-collapse: collapse; margin: 1.5rem 0; }
td { padding: .4rem 0; border-bottom: 1px solid #e3e7ee; vertical-align: top; }
td:last-child { text-align: right; white-space: nowrap; }
tr.total td { font-weight: 600; border-bottom: 0; }
p.state { font-size: 1.2rem; }
a.pay { display: inline-block; padding: .6rem 1.2rem; border-radius: .4rem; background: #1c2430; color: #fff; }
li { color: #5b6675; }
@media (prefers-color-scheme: dark) { body { background: #14181f; color: #e8ecf3; } td { border-color: #2c3440; } }
"""
PAGE_CSP = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy to send with the page."""
_STATES = {
    "pending": "We are waiting for your payment.",
    "authorized": "Your payment is being taken.",
    "paid": "Thank you: your payment has arrived.",
    "fulfilled": "Your order is on its way.",
    "cancelled": "This order was cancelled.",
    "refunded": "This order was paid back.",
    "partially_refunded": "A part of this order was paid back.",
    "failed": "This order was not paid, and its goods are not kept any more.",
}


def order_page(order: Order) -> bytes:
    """The page, as HTML, of an order whose items, payment and events are loaded."""
    rows = "".join(
        f"<tr><td>{item.quantity} × {escape(item.name)}</td><td>{escape(written(item.price * item.quantity))}</td></tr>"
        for item in order.items
    )
    for name, amount, sign in (("Discount", order.discount, "−"), ("Shipping", order.shipping, "")):
        if amount.amount:
            rows += f"<tr><td>{name}</td><td>{sign}{escape(written(amount))}</td></tr>"
    rows += f'<tr class="total"><td>Total</td><td>{escape(written(order.total))}</td></tr>'
    pay = ""
    if order.payment.approve_url:
        pay = f'<p><a class="pay" href="{escape(order.payment.approve_url)}">Confirm the payment</a></p>'
    address = "<br>".join(escape(line) for line in lines_of(order.shipping_address))
    events = "".join(
        f"<li>{event.created_at:%Y-%m-%d %H:%M} {escape(event.kind.replace('_', ' '))}</li>" for event in order.events
    )
    tracking = f"<p>Tracking: {escape(order.tracking)}</p>" if order.tracking else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">'
        f"<title>Order {order.number}</title><style>{_STYLE}</style></head><body><h1>Order {order.number}</h1>"
        f'<p class="state">{escape(_STATES[order.status])}</p>{pay}<table>{rows}</table>{tracking}'
        f"<p>{address}</p><ul>{events}</ul></body></html>"
    ).encode()
