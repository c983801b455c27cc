"""The mailbox of development at `/dev/mail`: every message as it will look, and as it is.

Invariant: a message is shown as what it is, somebody's text: its HTML stands in a frame without scripts, forms, links
to other windows and requests to anybody, and everything else is escaped. Nothing of this is served in production.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import msgspec

from backstay.api.http import Handler, Request, Response, Router
from backstay.api.render import JSON_HEADERS
from backstay.errors import NotFound
from backstay.mail.mailbox import Mail, Mailbox

SHOWN = 200
PAGE_CSP = (
    "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
MAIL_CSP = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
"""For the HTML of a message: its own styles and nothing else, wherever it is opened."""
_STYLE = b"""
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 960px; padding: 24px 20px; }
h1 { font-size: 20px; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: 8px 12px 8px 0; border-bottom: 1px solid #8884; vertical-align: top; }
td.when { white-space: nowrap; font-variant-numeric: tabular-nums; }
iframe { width: 100%; height: 640px; border: 1px solid #8886; border-radius: 6px; background: #fff; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #8886; border-radius: 6px; padding: 12px; }
summary { cursor: pointer; padding: 8px 0; font-weight: 600; }
"""


def serve_mailbox(router: Router, mailbox: Mailbox) -> None:
    """Serve the list, each message, and its parts."""

    async def all_of_it(request: Request) -> Response:
        mails = mailbox.all(newest=SHOWN)[::-1]
        if b"application/json" in (request.header(b"accept") or b""):
            return Response(200, msgspec.json.encode({"data": [_told(mail) for mail in mails]}), JSON_HEADERS)
        return _page("Mail", _list(request.root, mails), request.root)

    async def style(request: Request) -> Response:
        return _answer(_STYLE, "text/css; charset=utf-8")

    def of(show: Callable[[str, Mail], Response]) -> Handler:
        async def handler(request: Request) -> Response:
            mail = mailbox.get(request.params["id"])
            if mail is None:
                raise NotFound("There is no such message.")
            return show(request.root, mail)

        return handler

    router.add("/dev/mail", GET=all_of_it)
    router.add("/dev/mail/style.css", GET=style)
    router.add("/dev/mail/{id}", GET=of(_one))
    router.add("/dev/mail/{id}/html", GET=of(_html))
    router.add("/dev/mail/{id}/text", GET=of(_text))
    router.add("/dev/mail/{id}/raw", GET=of(_raw))


def _answer(body: bytes, kind: str, csp: str = PAGE_CSP, *more: tuple[bytes, bytes]) -> Response:
    headers = [(b"content-type", kind.encode()), (b"content-security-policy", csp.encode()),
               (b"cache-control", b"no-store"), *more]  # fmt: skip
    return Response(200, body, headers)


def _page(title: str, body: str, root: str = "") -> Response:
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<link rel="stylesheet" href="{escape(root)}/dev/mail/style.css"></head><body>{body}</body></html>'
    )
    return _answer(text.encode(), "text/html; charset=utf-8")


def _list(root: str, mails: list[Mail]) -> str:
    if not mails:
        return "<h1>Mail</h1><p>No mail has been sent yet.</p>"
    rows = "".join(
        f'<tr><td class="when">{mail.at:%Y-%m-%d %H:%M:%S}</td><td>{escape(mail.to)}</td>'
        f'<td><a href="{escape(root)}/dev/mail/{mail.id}">{escape(mail.subject)}</a></td></tr>'
        for mail in mails
    )
    return f"<h1>Mail</h1><table><tr><th>Written (UTC)</th><th>To</th><th>Subject</th></tr>{rows}</table>"


def _one(root: str, mail: Mail) -> Response:
    place = f"{escape(root)}/dev/mail/{mail.id}"
    headers = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in mail.headers)
    return _page(
        mail.subject,
        f'<p><a href="{escape(root)}/dev/mail">All mail</a></p><h1>{escape(mail.subject)}</h1>'
        f"<p>To {escape(mail.to)}, {mail.at:%Y-%m-%d %H:%M:%S} UTC</p>"
        f'<iframe sandbox title="The message as HTML" src="{place}/html"></iframe>'
        f"<details open><summary>Text</summary><pre>{escape(mail.text)}</pre></details>"
        f"<details><summary>Headers</summary><table>{headers}</table></details>"
        f'<p><a href="{place}/html">HTML alone</a> · <a href="{place}/text">Text alone</a> · '
        f'<a href="{place}/raw">As it is sent</a></p>',
        root,
    )


def _html(root: str, mail: Mail) -> Response:
    framed = (b"x-frame-options", b"SAMEORIGIN")
    return _answer(mail.html.encode(), "text/html; charset=utf-8", MAIL_CSP, framed)


def _text(root: str, mail: Mail) -> Response:
    return _answer(mail.text.encode(), "text/plain; charset=utf-8", MAIL_CSP)


def _raw(root: str, mail: Mail) -> Response:
    return _answer(mail.raw, "text/plain; charset=utf-8", MAIL_CSP)


class _Told(msgspec.Struct, frozen=True):
    id: str
    at: str
    to: str
    subject: str
    text: str
    message_id: str


def _told(mail: Mail) -> _Told:
    return _Told(mail.id, mail.at.isoformat(), mail.to, mail.subject, mail.text, mail.message_id)
