"""The provider of development and tests keeps the contract and its books, and owes messages until they are taken."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import msgspec
import pytest

from backstay import Money
from backstay.commerce.payments.play_deliveries import MOST_ATTEMPTS, Mischief
from backstay.commerce.payments.play_money import METHODS, SIGNATURE, PlayMoney
from backstay.commerce.payments.play_page import PLAY_CSP, Waiting, play_page
from backstay.commerce.payments.port import (
    ActionNeeded,
    Authorized,
    Declined,
    Done,
    Intent,
    NotGenuine,
    Refused,
    State,
    Unknown,
)  # fmt: skip
from backstay.commerce.payments.signature import sign
from backstay.net.fake import FakeServices
from backstay.net.http import HTTP
from backstay.net.permit import Permit
from backstay.settings import Settings
from backstay.testing import Clock
from tests.commerce.payments.contract import Message, PaymentContract, Stand, euros

SECRET = "whsec_known_to_the_tests"
INTENT = Intent("p1", euros(1999), "1001", "ada@example.com", "pm_ok", "https://shop.example.com/thanks")


def settings(folder: Path, env: str = "development", database: str = "") -> Settings:
    return Settings(env=env, data=str(folder), secret_key="only for tests, known to everybody", database_url=database)


def http() -> HTTP:
    return HTTP(Permit(""), wire=FakeServices(Permit("")))


class Opened(AsyncExitStack):
    """Providers that are open until the end of a test."""

    async def provider(self, folder: Path, clock: Clock, **arguments: object) -> PlayMoney:
        made = PlayMoney(**{"webhook_secret": SECRET, "pause": _no_pause, **arguments})  # type: ignore[arg-type]
        await self.enter_async_context(made.open(settings(folder), http(), clock))
        return made


async def _no_pause(seconds: int) -> None:
    await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    async with Opened() as stack:
        yield stack


@pytest.fixture
async def provider(tmp_path: Path, opened: Opened, clock: Clock) -> PlayMoney:
    return await opened.provider(tmp_path, clock)


class TestContract(PaymentContract):
    @pytest.fixture
    async def stand(self, tmp_path: Path, opened: Opened, clock: Clock) -> Stand:
        one, other = [await opened.provider(tmp_path, clock) for _ in range(2)]

        async def act(answer: ActionNeeded, confirm: bool) -> None:
            await one.settle(answer.client_secret, confirm=confirm)

        async def message(type: str, intent: Intent) -> Message:
            said = {"id": "evt_1", "type": type, "created": 0, "data": {"payment": intent.id, "reference": ""}}
            body = msgspec.json.encode(said)
            return body, {SIGNATURE: sign(body, SECRET.encode(), clock())}

        def forge(message: Message) -> Message:
            return message[0], {SIGNATURE: sign(message[0], b"whsec_of_somebody_else", clock())}

        methods = {"ok": "pm_ok", "declined": "pm_declined", "insufficient": "pm_insufficient", "confirm": "pm_3ds",
                   "lost": "pm_lost_answer", "never": "pm_timeout"}  # fmt: skip
        amounts = [Money(1, "JPY"), Money(1_234_567, "KWD"), euros(99_999_999)]
        return Stand(one, other, clock, methods, False, amounts, act, message, forge)


# Where it is.


async def test_it_does_not_open_in_production(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(ValueError, match="for development and tests"):
        async with PlayMoney().open(settings(tmp_path, "production"), http(), clock):
            pass
    assert list(tmp_path.iterdir()) == []


async def test_it_does_not_open_with_an_empty_secret(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(ValueError, match="webhook_secret"):
        async with PlayMoney(webhook_secret="").open(settings(tmp_path), http(), clock):
            pass


async def test_without_a_secret_of_its_own_it_has_one_from_the_application(tmp_path: Path, clock: Clock) -> None:
    async with Opened() as opened:
        one, other = [await opened.provider(tmp_path, clock, webhook_secret=None) for _ in range(2)]
        await one.authorize(INTENT)
        taken: list[str] = []

        async def sink(body: bytes, headers: Mapping[str, str]) -> int:
            taken.append((await other.read_event(body, headers)).payment)
            return 200

        assert await one.deliver(sink) == 1
        assert taken == ["p1"]
        for guessed in (b"", settings(tmp_path).secret_key.encode()):
            forged = sign(b"{}", guessed, clock()) if guessed else "t=1893456000,v1=" + "0" * 64
            with pytest.raises(NotGenuine):
                await one.read_event(b"{}", {SIGNATURE: forged})


async def test_before_it_is_opened_and_after_it_is_closed_nothing_is_answered(tmp_path: Path, clock: Clock) -> None:
    provider = PlayMoney()
    async with provider.open(settings(tmp_path), http(), clock):
        assert isinstance(await provider.authorize(INTENT), Authorized)
    with pytest.raises(RuntimeError, match="has not been opened"):
        await provider.authorize(INTENT)


async def test_its_books_are_beside_the_database_or_in_memory_with_it(tmp_path: Path, clock: Clock) -> None:
    async with PlayMoney().open(settings(tmp_path / "new"), http(), clock):
        assert (tmp_path / "new" / "play-money.db").read_bytes()[18:20] == b"\x02\x02"  # with a write-ahead log
    async with PlayMoney().open(settings(tmp_path / "none", database="sqlite://"), http(), clock):
        assert not (tmp_path / "none").exists()


async def test_its_books_outlive_it(tmp_path: Path, clock: Clock) -> None:
    async with Opened() as opened:
        first = await (await opened.provider(tmp_path, clock)).authorize(INTENT)
    async with Opened() as opened:
        again = await opened.provider(tmp_path, clock)
        assert await again.authorize(INTENT) == first
        assert [state.payment for state in await again.books()] == ["p1"]


# What its methods do.


async def test_no_method_is_the_page_and_an_unknown_one_is_declined(provider: PlayMoney) -> None:
    assert isinstance(await provider.authorize(replace(INTENT, method="")), ActionNeeded)
    answer = await provider.authorize(replace(INTENT, id="p2", method="pm_of_nobody"))
    assert answer == Declined("declined", detail="no_such_test_method")
    assert set(METHODS) == {"pm_ok", "pm_declined", "pm_3ds", "pm_insufficient", "pm_lost_answer", "pm_timeout",
                            "pm_slow"}  # fmt: skip


async def test_a_slow_one_waits_before_it_does_anything(tmp_path: Path, opened: Opened, clock: Clock) -> None:
    waited: list[int] = []
    seen: list[int] = []

    async def pause(seconds: int) -> None:
        waited.append(seconds)
        seen.append(len(await provider.books()))

    provider = await opened.provider(tmp_path, clock, pause=pause, slow=7)
    assert isinstance(await provider.authorize(replace(INTENT, method="pm_slow")), Authorized)
    assert (waited, seen) == ([7], [0])


async def test_a_lost_answer_to_a_void_is_lost_once(provider: PlayMoney) -> None:
    intent = replace(INTENT, method="pm_lost_answer")
    assert [type(await provider.authorize(intent)) for _ in range(2)] == [Unknown, Authorized]
    assert [type(await provider.void(intent, "v")) for _ in range(2)] == [Unknown, Done]


async def test_an_authorization_ends_by_itself_after_a_week(provider: PlayMoney, clock: Clock) -> None:
    answer = await provider.authorize(INTENT)
    assert isinstance(answer, Authorized)
    assert answer.until == clock() + timedelta(days=7)
    clock.advance(days=7, seconds=1)
    assert await provider.capture(INTENT, "c", INTENT.amount) == Refused("ended")


async def test_who_declines_and_who_confirms_too_late_is_declined(provider: PlayMoney) -> None:
    for number, answers in enumerate(([False, True], [None, True])):
        intent = replace(INTENT, id=f"p{number}", method="pm_3ds")
        asked = await provider.authorize(intent)
        assert isinstance(asked, ActionNeeded)
        for confirm in answers:
            if confirm is None:
                assert isinstance(await provider.void(intent, "v"), Done)
            else:
                await provider.settle(asked.client_secret, confirm=confirm)
        reason = "not_confirmed" if number == 0 else "ended"
        assert await provider.authorize(intent) == Declined(reason, asked.reference)
    assert [state.status for state in await provider.books()] == ["declined", "voided"]


async def test_after_a_void_nothing_begins_any_more(provider: PlayMoney) -> None:
    for method in ("pm_ok", "pm_3ds", "pm_timeout", "pm_lost_answer"):
        intent = replace(INTENT, id=method, method=method)
        while isinstance(await provider.void(intent, f"v{method}"), Unknown):
            pass
        answers = [await provider.authorize(intent) for _ in range(2)]
        assert isinstance(answers[-1], Declined)
        assert answers[-1].reason == "ended"
    assert {state.status for state in await provider.books()} == {"voided"}


async def test_another_address_to_come_back_to_is_the_same_payment(provider: PlayMoney) -> None:
    answer = await provider.authorize(INTENT)
    assert await provider.authorize(replace(INTENT, return_url="https://new.example.com")) == answer


async def test_every_refusal_says_why(provider: PlayMoney) -> None:
    await live(provider)
    asked = replace(INTENT, id="p2", method="pm_3ds")
    await provider.authorize(asked)
    declined = replace(INTENT, id="p3", method="pm_declined")
    await provider.authorize(declined)
    assert [await provider.capture(one, f"x{one.id}", one.amount) for one in (INTENT, asked, declined)] == [
        Refused("already_captured"), Refused("not_authorized"), Refused("not_authorized"),
    ]  # fmt: skip
    assert isinstance(await provider.void(declined, "v"), Done)  # nothing is held: that is what was asked for
    assert [state.status for state in await provider.books()] == ["captured", "action_needed", "declined"]


# Its page.


async def test_its_page_shows_what_is_paid_and_runs_nothing(provider: PlayMoney) -> None:
    intent = replace(INTENT, method="pm_3ds", order="<script>alert(1)</script>", return_url='https://x.de/"><b>')
    answer = await provider.authorize(intent)
    assert isinstance(answer, ActionNeeded)
    assert answer.approve_url == f"http://localhost:8000/dev/pay/{answer.client_secret}"
    waiting = await provider.waiting(answer.client_secret)
    assert waiting == Waiting(euros(1999), "<script>alert(1)</script>", 'https://x.de/"><b>', True)
    page = play_page(waiting, '/dev/pay/"x').decode()
    assert "19.99 EUR" in page
    assert "<script" not in page
    assert "<b>" not in page
    assert not re.search(r"""\son\w+=|style=|javascript:|src=|["']https?://(?!x\.de)""", page)
    assert 'action="/dev/pay/&quot;x"' in page
    assert "script-src" not in PLAY_CSP
    assert "unsafe" not in PLAY_CSP
    assert await provider.settle(answer.client_secret, confirm=True)
    assert not await provider.settle(answer.client_secret, confirm=False)
    settled = await provider.waiting(answer.client_secret)
    assert settled is not None
    assert b"<form" not in play_page(settled, "/")
    assert (await provider.waiting("secret_of_nobody"), await provider.settle("", confirm=True)) == (None, False)


def test_the_style_of_the_page_is_the_one_that_its_policy_names() -> None:
    from base64 import b64encode
    from hashlib import sha256

    page = play_page(Waiting(euros(1), "1", "", True), "/")
    style = page.partition(b"<style>")[2].partition(b"</style>")[0]
    assert f"'sha256-{b64encode(sha256(style).digest()).decode()}'" in PLAY_CSP


# Its messages.


class Sink:
    """Takes messages; answers with the statuses given, then with 200."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.taken: list[str] = []

    async def __call__(self, body: bytes, headers: Mapping[str, str]) -> int:
        self.taken.append(msgspec.json.decode(body)["type"])
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            raise ConnectionError("nobody listens")
        return status


async def live(provider: PlayMoney, intent: Intent = INTENT) -> None:
    await provider.authorize(intent)
    await provider.capture(intent, f"c{intent.id}", intent.amount)
    await provider.refund(intent, f"r{intent.id}", euros(5))
    await provider.refund(intent, f"s{intent.id}", euros(6))


HISTORY = ["payment.authorized", "payment.captured", "payment.refunded", "payment.refunded"]


async def test_every_change_is_told_once_and_in_order(provider: PlayMoney) -> None:
    for _ in range(2):
        await live(provider)
    sink = Sink()
    assert await provider.deliver(sink) == 4
    assert (sink.taken, await provider.owed()) == (HISTORY, 0)
    assert await provider.deliver(sink) == 0


async def test_what_is_refused_is_told_to_nobody(provider: PlayMoney) -> None:
    await provider.authorize(replace(INTENT, method="pm_timeout"))
    await provider.authorize(INTENT)
    await provider.capture(INTENT, "c", euros(2000))
    assert await provider.owed() == 1


async def test_a_message_is_owed_until_it_is_answered_with_success(provider: PlayMoney, clock: Clock) -> None:
    await provider.authorize(INTENT)
    sink = Sink(500, 0, 302)
    for pause in (2, 4, 8):
        assert await provider.deliver(sink) == 0
        clock.advance(seconds=pause - 1)
        assert await provider.deliver(sink) == 0
        clock.advance(seconds=1)
    assert await provider.deliver(sink) == 1
    assert (len(sink.taken), await provider.owed()) == (4, 0)


async def test_a_message_that_nobody_takes_is_given_up(provider: PlayMoney, clock: Clock) -> None:
    await provider.authorize(INTENT)
    sink = Sink(*[500] * 100)
    for _ in range(MOST_ATTEMPTS + 5):
        await provider.deliver(sink)
        clock.advance(hours=2)
    assert (len(sink.taken), await provider.owed()) == (MOST_ATTEMPTS, 0)


async def test_two_processes_deliver_each_message_once(tmp_path: Path, opened: Opened, clock: Clock) -> None:
    one, other = [await opened.provider(tmp_path, clock) for _ in range(2)]
    for number in range(20):
        await one.authorize(replace(INTENT, id=f"p{number}"))
    sink = Sink()
    assert sum(await asyncio.gather(one.deliver(sink), other.deliver(sink))) == 20
    assert len(sink.taken) == 20


async def test_what_a_process_took_and_did_not_deliver_is_taken_by_another(
    tmp_path: Path, opened: Opened, clock: Clock
) -> None:
    one, other = [await opened.provider(tmp_path, clock) for _ in range(2)]
    await one.authorize(INTENT)
    reached = asyncio.Event()

    async def stuck(body: bytes, headers: Mapping[str, str]) -> int:
        reached.set()
        await asyncio.Event().wait()
        return 200

    task = asyncio.create_task(one.deliver(stuck))
    await reached.wait()
    sink = Sink()
    assert await other.deliver(sink) == 0
    clock.advance(minutes=1)
    assert await other.deliver(sink) == 1
    task.cancel()


async def test_a_thousand_orders_of_one_history_read_three_times_change_nothing(
    tmp_path: Path, opened: Opened, clock: Clock
) -> None:
    """Six messages about two payments, each three times, in any order: all are genuine, and what is true stays true."""
    provider = await opened.provider(tmp_path, clock)
    await live(provider)
    other = replace(INTENT, id="p2", method="pm_3ds")
    asked = await provider.authorize(other)
    assert isinstance(asked, ActionNeeded)
    await provider.settle(asked.client_secret, confirm=False)
    history: list[tuple[bytes, Mapping[str, str]]] = []

    async def sink(body: bytes, headers: Mapping[str, str]) -> int:
        history.append((body, headers))
        return 200

    await provider.deliver(sink)
    assert len(history) == 6
    before, chance, seen = await provider.books(), Random(1), set()
    for _ in range(1000):
        messages = history * 3
        chance.shuffle(messages)
        seen |= {(await provider.read_event(*message)).id for message in messages}
    assert (len(seen), await provider.books()) == (6, before)


async def test_mischief_doubles_delays_moves_and_drops(tmp_path: Path, opened: Opened, clock: Clock) -> None:
    async def told(**mischief: int) -> tuple[list[str], list[str]]:
        folder = tmp_path / "-".join(map(str, mischief.items()))
        provider = await opened.provider(folder, clock, mischief=Mischief(seed="7", **mischief))
        await live(provider)
        at_once, later = Sink(), Sink()
        await provider.deliver(at_once)
        clock.advance(minutes=1)
        await provider.deliver(later)
        assert await provider.owed() == 0
        return at_once.taken, later.taken

    assert await told(duplicate=100) == ([one for one in HISTORY for _ in range(2)], [])
    assert await told(drop=100) == ([], [])
    at_once, late = await told(delay=100)
    assert (at_once, sorted(late)) == ([], HISTORY)
    at_once, late = await told(reorder=100)
    assert (at_once, sorted(late)) == ([], HISTORY)
    assert late != HISTORY


def test_mischief_is_the_same_for_the_same_seed_and_as_frequent_as_asked() -> None:
    made = Mischief(seed="1", duplicate=30, delay=20, drop=10)
    fates = [made.fate(f"payment.captured p{number}") for number in range(2000)]
    assert fates == [made.fate(f"payment.captured p{number}") for number in range(2000)]
    assert fates != [replace(made, seed="2").fate(f"payment.captured p{number}") for number in range(2000)]
    dropped, doubled = [sum(len(fate) == copies for fate in fates) for copies in (0, 2)]
    assert 150 < dropped < 250
    assert 480 < doubled < 600
    assert all(0 <= late <= 30_000 for fate in fates for late in fate)
    with pytest.raises(ValueError, match="0 to 100"):
        Mischief(drop=101)


# Several processes, really.

RACER = """
import asyncio, sys
from backstay import Money
from backstay.commerce.payments.play_money import PlayMoney
from backstay.commerce.payments.port import Intent
from backstay.settings import Settings
from backstay.testing import Clock

async def main():
    provider, clock = PlayMoney(), Clock()
    settings = Settings(env="development", data=sys.argv[1], secret_key="only for tests, known to everybody")
    print("ready", flush=True)
    sys.stdin.readline()
    async with provider.open(settings, None, clock):
        for number in range(40):
            intent = Intent(f"p{number}", Money(1000, "EUR"), "1", "ada@example.com", "pm_ok")
            answer = await provider.authorize(intent)
            taken = await provider.capture(intent, f"c{number}", intent.amount)
            back = await provider.refund(intent, f"r{number}", Money(700, "EUR"))
            more = await provider.refund(intent, f"{sys.argv[2]}{number}", Money(200, "EUR"))
            print(answer.reference, taken.reference, back.reference, type(more).__name__, flush=True)

asyncio.run(main())
"""


async def test_processes_that_race_on_the_same_keys_charge_once(tmp_path: Path, opened: Opened, clock: Clock) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("x", "y")
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.communicate(timeout=60)[0].splitlines() for racer in racers]
    one, other = [[line.rsplit(" ", 1)[0] for line in lines] for lines in said]
    assert (len(one), one) == (40, other)
    refused = [line.rsplit(" ", 1)[1] for lines in said for line in lines].count("Refused")
    books = await (await opened.provider(tmp_path, clock)).books()
    assert {(state.authorized, state.captured, state.refunded) for state in books} == {(1000, 1000, 900)}
    assert (len(books), refused) == (40, 40)  # 700 fits once, 200 fits once beside it
    assert all(isinstance(state, State) for state in books)


VICTIM = """
import asyncio, sys
from backstay import Money
from backstay.commerce.payments.play_money import PlayMoney
from backstay.commerce.payments.port import Intent
from backstay.settings import Settings
from backstay.testing import Clock

async def main():
    provider, clock = PlayMoney(), Clock()
    settings = Settings(env="development", data=sys.argv[1], secret_key="only for tests, known to everybody")
    async with provider.open(settings, None, clock):
        for number in range(1_000_000):
            intent = Intent(f"{sys.argv[2]}-{number}", Money(1000, "EUR"), "1", "ada@example.com", "pm_ok")
            await provider.authorize(intent)
            await provider.capture(intent, f"c{intent.id}", intent.amount)
            await provider.refund(intent, f"r{intent.id}", Money(400, "EUR"))
            print(intent.id, flush=True)

asyncio.run(main())
"""


async def test_a_process_that_is_killed_takes_nothing_with_it(tmp_path: Path, opened: Opened, clock: Clock) -> None:
    acknowledged: list[str] = []
    for victim in ("a", "b", "c"):
        process = subprocess.Popen(
            [sys.executable, "-c", VICTIM, str(tmp_path), victim], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        acknowledged += [process.stdout.readline().strip() for _ in range(20)]
        process.kill()
        process.communicate()
    provider = await opened.provider(tmp_path, clock)
    books = {state.payment: state for state in await provider.books()}
    for id in acknowledged:
        assert (books[id].captured, books[id].refunded, len(books[id].movements)) == (1000, 400, 2)
    told: list[str] = []

    async def sink(body: bytes, headers: Mapping[str, str]) -> int:
        told.append(msgspec.json.decode(body)["data"]["payment"])
        return 200

    await provider.deliver(sink)
    # Whatever was done is told: a message is put down with what it is about.
    for id, state in books.items():
        assert told.count(id) == 1 + len(state.movements)


async def test_the_tables_themselves_refuse_more_than_was_captured(provider: PlayMoney) -> None:
    import apsw

    await live(provider)
    for sets in ("refunded = captured + 1", "captured = authorized + 1", "authorized = amount + 1", "refunded = -1"):
        with pytest.raises(apsw.ConstraintError):
            await provider._do(lambda: provider._ledger.raw.execute(f"UPDATE payments SET {sets}"))  # noqa: B023
    assert [state.refunded for state in await provider.books()] == [11]


@pytest.mark.parametrize("key", ["", "x" * 65, "a b", "ä", "a\n"])
async def test_what_is_no_key_is_not_sent(provider: PlayMoney, key: str) -> None:
    with pytest.raises(ValueError, match="is no key"):
        replace(INTENT, id=key)
    for asked in (provider.capture(INTENT, key, euros(1)), provider.refund(INTENT, key, euros(1)),
                  provider.void(INTENT, key)):  # fmt: skip
        with pytest.raises(ValueError, match="is no key"):
            await asked


def test_amounts_are_of_the_payment_that_was_asked_for() -> None:
    state = State("p1", "pay_1", "authorized", Money(1999, "USD"), 1999)
    assert state.disagreements(INTENT) == ("currency: USD, not EUR",)
    assert state.disagreements(replace(INTENT, id="p2", reference="pay_2", amount=euros(5))) == (
        "payment: p1, not p2", "reference: pay_1, not pay_2", "amount: 1999, not 5", "currency: USD, not EUR",
    )  # fmt: skip
