"""The mailbox of development: every message lies in a folder as the bytes that would have been sent.

Invariant: nothing leaves the machine, and nothing is left out: what is redelivered lies there twice. Several processes
may write to one folder, each message appears whole, and a name from outside names a message or nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.policy import default as READING
from email.utils import parseaddr
from pathlib import Path
from secrets import token_hex
from time import time_ns
from typing import Any

from backstay.mail.envelope import as_bytes
from backstay.mail.port import Accepted, Message, Outcome

_NAME = re.compile(r"[0-9]{19}-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Mail:
    """One message in the mailbox, as it would be received."""

    id: str
    to: str
    subject: str
    text: str
    html: str
    message_id: str
    language: str
    at: datetime
    headers: tuple[tuple[str, str], ...]
    raw: bytes


class Mailbox:
    """Keeps messages in `folder`, and in memory where there is none. The newest has the greatest id."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._held: dict[str, bytes] = {}

    async def send(self, message: Message) -> Outcome:
        """Keep one message."""
        name, raw = f"{time_ns():019}-{token_hex(16)}", as_bytes(message)
        if self.folder is None:
            self._held[name] = raw
            return Accepted()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        half = self.folder / f"{name}.half"
        with os.fdopen(os.open(half, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(raw)
        half.rename(self.folder / f"{name}.eml")
        return Accepted()

    async def close(self) -> None:
        """Nothing is held."""

    def ids(self) -> Sequence[str]:
        """The ids of all messages, the oldest first."""
        if self.folder is None:
            return list(self._held)
        return sorted(path.stem for path in self.folder.glob("*.eml"))

    def get(self, id: str) -> Mail | None:
        """A message by its id; nothing where there is none."""
        if not _NAME.fullmatch(id):
            return None
        if self.folder is None:
            raw = self._held.get(id)
        else:
            path = self.folder / f"{id}.eml"
            raw = path.read_bytes() if path.is_file() else None
        return None if raw is None else read(id, raw)

    def all(self, *, newest: int | None = None) -> list[Mail]:
        """All messages, the oldest first; only the `newest` ones where that is said."""
        ids = self.ids()
        found = [self.get(id) for id in (ids if newest is None else ids[-newest:])]
        return [mail for mail in found if mail is not None]


def read(id: str, raw: bytes) -> Mail:
    """A message from its bytes."""
    parsed = message_from_bytes(raw, policy=READING)
    html, text = parsed.get_body(("html",)), parsed.get_body(("plain",))
    return Mail(
        id, parseaddr(str(parsed["To"]))[1], str(parsed["Subject"]),
        _body(text), _body(html),
        str(parsed["Message-ID"]).strip("<>"), str(parsed["Content-Language"] or ""), parsed["Date"].datetime,
        tuple((name, str(value)) for name, value in parsed.items()), raw,
    )  # fmt: skip


def _body(part: Any) -> str:
    return "" if part is None else str(part.get_content()).replace("\r\n", "\n")
