"""The console as people use it, in a browser: a day in a shop, from signing in to a refund."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium
from tests.docs.served import Program

FILE = """
from backstay import App, Context, Permanent, anyone
from backstay.admin import Admin
from backstay.commerce import Shop
from backstay.commerce.payments.play_money import PlayMoney

app = App("tea-house", use=[Shop(payments=[PlayMoney("{books}")]), Admin()])


@app.seed
async def seed(ctx: Context) -> None:
    await ctx.accounts.create_user("boss@example.com", "{password}", ["staff", "admin"])
    await ctx.accounts.create_user("ada@example.com", "{password}", [])


@app.job()
async def ring(ctx: Context) -> None:
    raise Permanent("The rope is torn.")


@app.action("POST /api/ring", allow=anyone)
async def ask(ctx: Context) -> str:
    return await ctx.enqueue(ring)
"""
PASSWORD = "a harbour at night"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The console in a browser, with nothing that goes wrong in it."""
    folder = tmp_path_factory.mktemp("console")
    file = folder / "tea_house.py"
    file.write_text(FILE.replace("{books}", str(folder / "books.db")).replace("{password}", PASSWORD))
    server = Program(file, {"DATABASE_URL": f"sqlite:///{folder}/shop.db", "BACKSTAY_DATA": str(folder)})
    try:
        with chromium() as browser:
            address = f"http://localhost:{server.port}"
            context = browser.new_context(base_url=address, locale="en-GB", viewport={"width": 1280, "height": 800})
            page = context.new_page()
            page.set_default_timeout(10_000)
            wrong: list[str] = []
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
            yield page
            assert wrong == []
    finally:
        server.stop()


def sign_in(page: Any, email: str) -> None:
    page.goto("/admin")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def buy(page: Any, sku: str, quantity: int) -> Any:
    """What a guest's front end does."""
    return page.evaluate(
        """async ([sku, quantity]) => {
            const ask = async (path, body, headers = {}) => {
                const answer = await fetch(path, {method: "POST", credentials: "omit", body: JSON.stringify(body),
                    headers: {"content-type": "application/json", "idempotency-key": crypto.randomUUID(), ...headers}})
                if (!answer.ok) throw new Error(await answer.text())
                return answer.json()
            }
            const found = await (await fetch(`/api/variants?sku=${sku}`, {credentials: "omit"})).json()
            const cart = await ask("/api/carts", {})
            const mine = {"x-cart-token": cart.token}
            await ask(`/api/carts/${cart.id}/items`, {variant: found.data[0].id, quantity}, mine)
            return ask(`/api/carts/${cart.id}/checkout`, {email: "guest@example.com",
                shipping_address: {name: "Ada Byron", line1: "Teeweg 1", city: "Hamburg", country: "DE",
                    postal_code: "20095"}, payment: {provider: "test", method: "pm_ok"}}, mine)
        }""",
        [sku, quantity],
    )


def test_a_day_in_a_shop(page: Any, tmp_path: Path) -> None:
    # Whoever runs nothing here is told what to do about it.
    sign_in(page, "ada@example.com")
    page.get_by_text("ada@example.com runs nothing here").wait_for()
    page.get_by_role("button", name="Sign out").click()

    # A wrong password keeps what was typed.
    page.get_by_label("Email").fill("boss@example.com")
    page.get_by_label("Password").fill("not it at all")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").get_by_text("The email address or the password is wrong.").wait_for()
    sign_in(page, "boss@example.com")

    # The first product, with a variant and goods.
    page.get_by_role("link", name="Products").click()
    page.get_by_role("button", name="New product").click()
    page.get_by_label("Name").fill("Assam")
    page.get_by_label("Published").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="New variant").click()
    page.get_by_label("Number (SKU)").fill("ASSAM-100")
    page.get_by_label("Price").fill("7,9")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.get_by_role("cell", name="7.90 EUR").wait_for()
    page.get_by_role("button", name="Stock").click()
    page.get_by_label("How many").fill("12")
    page.get_by_role("button", name="Write it down").click()
    page.get_by_role("cell", name="12", exact=True).wait_for()

    # An order appears by itself.
    page.get_by_role("link", name="Orders").click()
    page.get_by_text("No orders here.").wait_for()
    order = buy(page, "ASSAM-100", 3)
    row = page.get_by_role("row").filter(has_text="guest@example.com")
    row.get_by_text("paid").wait_for()
    page.screenshot(path=str(tmp_path / "orders.png"))
    row.click()
    page.get_by_role("heading", name=f"#{order['number']}").wait_for()
    assert "23.70 EUR" in page.locator("tfoot .total").inner_text()

    # One of three comes back, then the rest is sent.
    page.get_by_role("button", name="Refund").click()
    page.get_by_label("Assam (at most 3)").fill("1")
    page.get_by_label("Reason").fill("a torn bag")
    page.get_by_role("button", name="Give money back").click()
    page.get_by_text("partially refunded", exact=True).first.wait_for()
    page.get_by_text("a torn bag").first.wait_for()
    page.get_by_role("button", name="Mark as sent").click()
    page.get_by_label("Tracking number").fill("TRACK-1")
    page.get_by_role("dialog").get_by_role("button", name="Mark as sent").click()
    page.get_by_text("Sent under TRACK-1").wait_for()
    assert page.get_by_role("button", name="Cancel order").count() == 0
    page.screenshot(path=str(tmp_path / "order.png"), full_page=True)

    # More than can be given back is refused, and what was typed stays.
    page.get_by_role("button", name="Refund").click()
    page.get_by_label("Amount in EUR").fill("99.99")
    page.get_by_role("button", name="Give money back").click()
    page.get_by_role("dialog").get_by_text("over_refunded").wait_for()
    assert page.get_by_label("Amount in EUR").input_value() == "99.99"
    page.get_by_role("button", name="Back", exact=True).click()


def test_what_needs_a_person(page: Any) -> None:
    page.get_by_role("link", name="Jobs").click()
    page.get_by_text("Nothing needs you.").wait_for()
    page.evaluate('fetch("/api/ring", {method: "POST", credentials: "omit"})')
    row = page.get_by_role("row").filter(has_text="The rope is torn.")
    for _ in range(100):
        if row.count():
            break
        page.get_by_role("button", name="Look again").click()
        page.wait_for_timeout(100)
    row.click()
    page.get_by_role("button", name="Try again now").click()
    page.get_by_role("button", name="Try again", exact=True).click()
    page.get_by_role("button", name="Try again now").wait_for()  # it fails as before
    page.get_by_role("button", name="End it").click()
    page.get_by_label("Reason").fill("a new rope is ordered")
    page.get_by_role("dialog").get_by_role("button", name="End it").click()
    page.get_by_text("cancelled", exact=True).wait_for()
    page.get_by_text("a new rope is ordered").wait_for()
