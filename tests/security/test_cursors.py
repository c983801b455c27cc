"""A cursor leads on in the question that it was made for, for whoever asked it, and nowhere else."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest

from backstay.testing import Person, Trial
from tests.security.conftest import Board, Diary

QUERY = "limit=1&sort=text&likes=1"


async def first(t: Trial, as_: Person | None = None) -> str:
    """The cursor behind the first of two records."""
    async with t.transaction() as tx:
        for text in "ab":
            await tx.create(Board(text=text, likes=1))
    found = (await t.get(f"/api/boards?{QUERY}", as_=as_)).ok().json["meta"]["next_cursor"]
    assert isinstance(found, str)
    return found


async def test_a_cursor_fits_its_question_and_its_asker_alone(t: Trial) -> None:
    ada, eve = await t.user("ada@example.com"), await t.user("eve@example.com")
    cursor = await first(t, ada)
    assert [
        one["text"] for one in (await t.get(f"/api/boards?{QUERY}&cursor={cursor}", as_=ada)).ok().json["data"]
    ] == ["b"]
    for as_, query in ((eve, QUERY), (None, QUERY), (ada, "sort=text"), (ada, "sort=-text&likes=1"), (ada, "likes=1"),
                       (ada, "sort=text&likes=2"), (ada, f"{QUERY}&text[ne]=x")):  # fmt: skip
        (await t.get(f"/api/boards?{query}&cursor={cursor}", as_=as_)).refused("invalid_cursor")
    (await t.get(f"/api/diaries?cursor={cursor}", as_=ada)).refused("invalid_cursor")
    async with t.transaction() as tx:
        assert await tx.count(Diary) == 0
    await t.app.running.accounts.set_roles("ada@example.com", ["staff"])
    (await t.get(f"/api/boards?{QUERY}&cursor={cursor}", as_=ada)).refused("invalid_cursor")


async def test_no_changed_cursor_is_opened(t: Trial) -> None:
    cursor = await first(t)
    raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    changed = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(len(raw))]
    changed += [raw[:12], raw[12:], b"", raw + b" ", raw[:12] + b'["a"]', raw[:12] + b"9999999", b"\0" * 40]
    for one in changed:
        sent = urlsafe_b64encode(one).decode().rstrip("=") or "="
        (await t.get(f"/api/boards?{QUERY}&cursor={sent}")).refused("invalid_cursor")
    for sent in ("%00", "é", "a" * 5_000, "null", "../..", "{}"):
        assert (await t.get(f"/api/boards?{QUERY}&cursor={sent}")).code == "invalid_cursor"


@pytest.mark.parametrize("other", ["only for tests, known to nobody", "x" * 32])
async def test_a_cursor_of_another_secret_is_not_opened(t: Trial, other: str) -> None:
    from backstay.api.cursor import Cursors
    from backstay.plan.actor import ANONYMOUS

    await first(t)
    pairs = [("limit", "1"), ("sort", "text"), ("likes", "1")]
    sealed = Cursors(other.encode()).seal("Board", pairs, ANONYMOUS, ["a", "01a20603-d2e4-7000-b5b5-3f12c022c0ce"])
    (await t.get(f"/api/boards?{QUERY}&cursor={sealed}")).refused("invalid_cursor")
