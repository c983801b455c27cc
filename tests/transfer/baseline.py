"""What `make import-real` is measured against: a load written by hand, with csv and executemany, without any check.

    python -m tests.transfer.baseline DATABASE_URL FILE...

It fills the same tables of the example shop with the same records, and nothing else: no validation, no change log, no
search words, no place kept, one transaction.
"""

from __future__ import annotations

import asyncio
import csv
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from backstay.store.identity import uuid7_maker

NOW = datetime.now(UTC)
NO_GOODS = {"POST", "D", "M", "m", "C2", "DOT", "S", "BANK CHARGES", "AMAZONFEE"}


def records(files: list[Path]) -> dict[str, list[list[Any]]]:
    """The rows of each table, with ids and instants as Python has them."""
    new_id = uuid7_maker()
    categories: dict[str, str] = {}
    products: dict[str, str] = {}
    users: dict[str, str] = {}
    orders: dict[str, list[Any]] = {}
    made: dict[str, list[list[Any]]] = {
        name: [] for name in ("categories", "products", "users", "orders", "order_items")
    }
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                code, number = row["StockCode"], row["CustomerID"]
                shelf = "Fees" if code in NO_GOODS else "Vouchers" if code.startswith("gift") else "Gifts"
                if shelf not in categories:
                    categories[shelf] = new_id()
                    made["categories"].append(
                        [categories[shelf], NOW, NOW, shelf, shelf.lower(), shelf.lower(), "", ""]
                    )
                price = round(float(row["UnitPrice"]) * 100)
                if code not in products:
                    products[code] = new_id()
                    name = row["Description"].strip() or code
                    made["products"].append(
                        [products[code], NOW, NOW, name, name.lower(), f"p{len(products)}", code, code.lower(), "", "",
                         price, 0, categories[shelf], 0]
                    )  # fmt: skip
                if number and number not in users:
                    users[number] = new_id()
                    email = f"customer-{number.split('.')[0]}@customers.invalid"
                    name = f"Customer {number.split('.')[0]}"
                    made["users"].append([users[number], NOW, NOW, email, email, name, name.lower(), "[]", False])
                invoice, quantity = row["InvoiceNo"], int(row["Quantity"])
                at = datetime.fromisoformat(row["InvoiceDate"]).replace(tzinfo=UTC)
                if (order := orders.get(invoice)) is None:
                    status = "cancelled" if invoice[0] == "C" else "fulfilled"
                    order = orders[invoice] = [
                        new_id(),
                        at,
                        NOW,
                        int(invoice.lstrip("C")),
                        users.get(number),
                        status,
                        0,
                    ]
                    made["orders"].append(order)
                order[6] += price * quantity
                made["order_items"].append([new_id(), at, NOW, order[0], products[code], quantity, price])
    return made


COLUMNS = {
    "categories": "id created_at updated_at name name__folded slug description description__folded",
    "products": "id created_at updated_at name name__folded slug sku sku__folded description description__folded price "
    "cost category_id stock",
    "users": "id created_at updated_at email email__folded name name__folded roles disabled",
    "orders": "id created_at updated_at number customer_id status total",
    "order_items": "id created_at updated_at order_id product_id quantity price",
}


def sqlite(path: str, made: dict[str, list[list[Any]]]) -> None:
    """Into a SQLite file, as durable as Backstay writes."""
    import apsw

    connection = apsw.Connection(path)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return int(value) if isinstance(value, bool) else value

    with connection:
        for table, names in COLUMNS.items():
            columns = names.split()
            text = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
            connection.executemany(text, ([plain(value) for value in row] for row in made[table]))
    connection.close()


async def postgres(url: str, made: dict[str, list[list[Any]]]) -> None:
    """Into PostgreSQL."""
    import asyncpg

    connection = await asyncpg.connect(url)
    async with connection.transaction():
        for table, names in COLUMNS.items():
            columns = names.split()
            slots = ", ".join(f"${n + 1}" for n in range(len(columns)))
            keys = [n for n, name in enumerate(columns) if name == "id" or name.endswith("_id")]
            rows = [[UUID(v) if n in keys and v else v for n, v in enumerate(row)] for row in made[table]]
            await connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({slots})", rows)
    await connection.close()


if __name__ == "__main__":
    began = time.monotonic()
    url, *files = sys.argv[1:]
    made = records([Path(file) for file in files])
    if url.startswith("sqlite"):
        sqlite(url.removeprefix("sqlite:///"), made)
    else:
        asyncio.run(postgres(url, made))
    print(f"{time.monotonic() - began:.3f}")
