"""W3 by GraphQL against the same read by REST, in one process and one run: `python -m benchmarks.graphql`.

The twenty newest orders of the signed-in customer with their items, each item's product and its category, asked of the
example shop through the whole HTTP front, with no socket in between. Rounds of both take turns, so that whatever else
the machine does falls on both; the ratio is of the processor's time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from backstay import Money
from backstay.cli.load import load_app
from backstay.testing import Trial

SHOP = Path(__file__).parents[1] / "examples" / "shop" / "shop.py"
ORDERS, ITEMS = 30, 3
REST = "expand=items.product.category&sort=-created_at&limit=20"
DOCUMENT = """
query Newest($first: Int!) {
  orders(orderBy: [{createdAt: DESC}], first: $first) {
    nodes {
      id created_at: createdAt updated_at: updatedAt number customer: customerId status
      total { amount currency }
      items {
        id created_at: createdAt updated_at: updatedAt quantity price { amount currency }
        product {
          id created_at: createdAt updated_at: updatedAt name slug sku description stock available
          price { amount currency }
          category { id created_at: createdAt updated_at: updatedAt name slug description parent: parentId }
        }
      }
    }
  }
}
"""
LIMIT = 1.3
"""So much of the processor's time of the REST read GraphQL may take."""


async def fill(t: Trial) -> str:
    """Orders of one customer; returns a token of theirs."""
    models = {name: entity.model for name, entity in t.app.schema.entities.items()}
    ada = await t.user("ada@example.com", name="Ada")
    async with t.transaction() as tx:
        shelf = await tx.create(models["Category"](name="Tea"))
        products = [
            await tx.create(
                models["Product"](
                    name=f"Tea {number}", price=Money(500 + number, "EUR"), cost=Money(100, "EUR"), category=shelf
                )
            )
            for number in range(20)
        ]
        for number in range(ORDERS):
            order = await tx.create(models["Order"](customer=ada.me, status="paid", total=Money(1500, "EUR")))
            for place in range(ITEMS):
                product = products[(number + place) % len(products)]
                await tx.create(
                    models["OrderItem"](order=order, product=product, quantity=place + 1, price=product.price)
                )
    return ada.token


def asker(t: Trial, method: str, path: str, query: str, body: bytes, token: str) -> Callable[[], Awaitable[bytes]]:
    """What asks one question again and again."""
    headers = [(b"authorization", f"Bearer {token}".encode())]
    if body:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": headers}

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def ask() -> bytes:
        sent: list[Mapping[str, Any]] = []

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message)

        await t.app(dict(scope), receive, send)
        found: bytes = sent[1]["body"]
        return found

    return ask


async def measure(rounds: int, requests: int) -> dict[str, float]:
    """Microseconds of the processor for one request of each kind, and their ratio."""
    async with Trial(load_app(str(SHOP))) as t:
        token = await fill(t)
        t.app.running.front.timing = False
        question = json.dumps({"query": DOCUMENT, "variables": {"first": 20}}).encode()
        ways = {
            "rest": asker(t, "GET", "/api/orders", REST, b"", token),
            "graphql": asker(t, "POST", "/graphql", "", question, token),
        }
        answers = {way: json.loads(await ask()) for way, ask in ways.items()}
        rows, nodes = answers["rest"]["data"], answers["graphql"]["data"]["orders"]["nodes"]
        for row in rows:
            for item in row["items"]:
                del item["order"]  # which it stands in
        if rows != nodes or len(rows) != 20:
            raise SystemExit("The two ways answer differently.")
        spent: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, ask in ways.items():
                started = process_time()
                for _ in range(requests):
                    await ask()
                spent[way].append((process_time() - started) / requests * 1e6)
    middle = {way: median(times) for way, times in spent.items()}
    return {**middle, "ratio": middle["graphql"] / middle["rest"]}


def main() -> int:
    """Print the figures; 1 where GraphQL takes more than it may."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=200)
    args = parser.parse_args()
    figures = asyncio.run(measure(args.rounds, args.requests))
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))
    return 1 if figures["ratio"] > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
