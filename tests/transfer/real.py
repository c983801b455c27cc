"""`make import-real`: what a real shop sold in a month, brought into the example shop, timed, killed and asked about.

    RETAIL_DATA=/path/to/online-retail python -m tests.transfer.real

On SQLite and on PostgreSQL in turn: a load by hand without any check (`baseline.py`), the import by
`examples/shop/retail/mapping.toml`, the same import killed three times with `kill -9` and resumed, and the answers of
the API. It fails where a count is not that of the files, or where the killed import left anything else than the other.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from tests.servers import Postgres

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "shop" / "shop.py"
MAPPING = ROOT / "examples" / "shop" / "retail" / "mapping.toml"
DATA = Path(os.environ.get("RETAIL_DATA", ROOT.parent / "shared" / "data" / "online-retail"))
STATED = {"lines": 42_481, "invoices": 2_025, "cancelled": 326, "codes": 2_822, "customers": 948, "guests": 15_631,
          "free": 273, "undescribed": 125, "negative": 798}  # fmt: skip
"""What the data set says of itself."""
AT_MOST = 4.0
"""How many times the load by hand the import may take."""
ROUNDS = int(os.environ.get("RETAIL_ROUNDS", "3"))


def naive(files: list[Path]) -> dict[str, int]:
    """The same numbers, counted from the files without Backstay."""
    lines: list[dict[str, str]] = []
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            lines += csv.DictReader(file)
    invoices = {line["InvoiceNo"] for line in lines}
    return {
        "lines": len(lines), "invoices": len(invoices),
        "cancelled": sum(one.startswith("C") for one in invoices), "codes": len({line["StockCode"] for line in lines}),
        "customers": len({line["CustomerID"] for line in lines if line["CustomerID"]}),
        "guests": sum(not line["CustomerID"] for line in lines),
        "free": sum(float(line["UnitPrice"]) <= 0 for line in lines),
        "undescribed": sum(not line["Description"].strip() for line in lines),
        "negative": sum(int(line["Quantity"]) < 0 for line in lines),
        "revenue": sum(round(float(line["UnitPrice"]) * 100) * int(line["Quantity"]) for line in lines),
    }  # fmt: skip


class Place:
    """Databases of one kind in a folder of their own."""

    def __init__(self, kind: str, folder: Path, server: Postgres | None) -> None:
        self.kind = kind
        self.folder = folder
        self._server = server

    def database(self, name: str) -> str:
        """The address of a new database with the tables of the shop, and somebody of the staff in it."""
        url = self._server.create(name) if self._server else f"sqlite:///{self.folder / name}.db"
        self.run(url, "user", "create", str(SHOP), "staff@example.com", "--role", "staff")
        return url

    def environment(self, url: str) -> dict[str, str]:
        """The environment of a command."""
        return os.environ | {
            "DATABASE_URL": url, "SHOP_CURRENCY": "GBP", "BACKSTAY_DATA": str(self.folder / "data"),
            "BACKSTAY_PASSWORD": "correct horse battery", "LOG_LEVEL": "error", "BACKSTAY_ENV": "development",
        }  # fmt: skip

    def run(self, url: str, *words: str) -> str:
        """What a command of `backstay` prints."""
        done = subprocess.run(
            self.command(*words),
            env=self.environment(url),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=600,
        )
        if done.returncode:
            raise SystemExit(f"backstay {words[0]} failed: {done.stdout}{done.stderr}")
        return done.stdout

    def command(self, *words: str) -> list[str]:
        """The command line of a command."""
        return [str(Path(sys.executable).with_name("backstay")), *words]


def import_words(files: list[Path]) -> list[str]:
    """The import, as it is called."""
    return ["import", str(SHOP), *map(str, files), "--map", str(MAPPING), "--json"]


def load_by_hand(place: Place, files: list[Path], name: str) -> float:
    """How many seconds the load by hand took, as a process."""
    url = place.database(name)
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "tests.transfer.baseline", url, *map(str, files)], cwd=ROOT, check=True, timeout=600,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return time.monotonic() - began


def imported(place: Place, files: list[Path], name: str) -> tuple[str, float, dict[str, Any]]:
    """The database, how many seconds it took as a process, and what it said."""
    url = place.database(name)
    began = time.monotonic()
    said = place.run(url, *import_words(files))
    return url, time.monotonic() - began, json.loads(said)


def killed(place: Place, files: list[Path]) -> tuple[str, list[int], dict[str, Any]]:
    """The same, killed three times on the way; at which rows it went on."""
    url, went_on = place.database("killed"), []
    for target in (10_000, 20_000, 30_000):
        process = subprocess.Popen(
            place.command(*import_words(files)), env=place.environment(url), cwd=place.folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while process.poll() is None and rows_done(place, url) < target:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        went_on.append(rows_done(place, url))
    return url, went_on, json.loads(place.run(url, *import_words(files)))


def rows_done(place: Place, url: str) -> int:
    """How many rows of the import are in the database."""
    found = select(url, 'SELECT "place" FROM "_imports"')
    return int(found[0][0]) if found else 0


def select(url: str, text: str) -> list[Any]:
    """The rows of a statement, past Backstay."""
    if url.startswith("sqlite"):
        import apsw

        connection = apsw.Connection(url.removeprefix("sqlite:///"))
        connection.set_busy_timeout(10_000)
        try:
            return connection.execute(text).fetchall()
        finally:
            connection.close()
    import asyncio

    import asyncpg

    async def ask() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(text)]
        finally:
            await connection.close()

    return asyncio.run(ask())


def content(url: str) -> dict[str, Any]:
    """All that the import has made, without ids and moments: to be compared."""
    order = "o.status || '/' || o.number || '/' || o.total || '/' || coalesce(u.email, '-') || '/' || o.created_at"
    lines = (
        "SELECT o.number, p.sku, i.quantity, i.price, count(*) FROM order_items i JOIN orders o ON o.id = i.order_id "
        "JOIN products p ON p.id = i.product_id GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
    )
    return {
        "orders": select(
            url, f"SELECT {order} FROM orders o LEFT JOIN users u ON u.id = o.customer_id ORDER BY o.number"
        ),
        "lines": select(url, lines),
        "products": select(url, "SELECT sku, name, slug, price FROM products ORDER BY sku"),
        "users": select(url, "SELECT email, name FROM users ORDER BY email"),
        "changes": select(
            url,
            "SELECT model, count(DISTINCT record) FROM _changes WHERE action = 'create' GROUP BY model ORDER BY model",
        ),
    }


def check(told: dict[str, int], said: dict[str, Any], url: str) -> None:
    """Every count is that of the files."""
    counted = said["counted"]
    real = {
        "lines": said["rows"], "invoices": said["created"]["Order"], "codes": said["created"]["Product"],
        "customers": said["created"]["User"], "guests": counted["no customer: the order of a guest"],
        "free": counted["a price of zero: sold for nothing"],
        "undescribed": counted["no description: named by another line, or by its code"],
        "negative": sum(number for reason, number in counted.items() if reason.startswith("negative")),
        "cancelled": select(url, "SELECT count(*) FROM orders WHERE status = 'cancelled'")[0][0],
        "revenue": int(select(url, "SELECT sum(total) FROM orders")[0][0]),
    }  # fmt: skip
    assert real == told, (real, told)
    assert {name: told[name] for name in STATED} == STATED, told
    assert said["created"]["OrderItem"] == select(url, "SELECT count(*) FROM order_items")[0][0] == told["lines"]
    changes = dict(select(url, "SELECT model, count(*) FROM _changes WHERE action = 'create' GROUP BY model"))
    changes["User"] -= 1  # the staff
    assert changes == said["created"], (changes, said["created"])


class Api:
    """The served shop, as the staff asks it."""

    def __init__(self, place: Place, url: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.base = f"http://127.0.0.1:{free.getsockname()[1]}"
        port = self.base.rpartition(":")[2]
        self.process = subprocess.Popen(
            place.command("dev", str(SHOP), "--no-reload", "--port", port), env=place.environment(url),
            cwd=place.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + 60
        while True:
            try:
                urlopen(f"{self.base}/healthz", timeout=5)
                break
            except OSError:
                if time.monotonic() > until:
                    self.stop()
                    raise
                time.sleep(0.2)
        body = json.dumps({"email": "staff@example.com", "password": "correct horse battery"}).encode()
        request = Request(f"{self.base}/api/auth/login", body, {"Content-Type": "application/json"})
        self.token = json.load(urlopen(request, timeout=30))["access_token"]

    def get(self, path: str, **query: str) -> Any:
        """An answer."""
        asked = f"{self.base}{path}?{urlencode(query, quote_via=quote)}"
        request = Request(asked, headers={"Authorization": f"Bearer {self.token}"})
        return json.load(urlopen(request, timeout=30))

    def stop(self) -> None:
        """Stop serving."""
        self.process.terminate()
        self.process.wait(30)


def ask(api: Api, told: dict[str, int], lanterns: int) -> None:
    """The answers that the issue of a shop begins with."""
    days = api.get("/api/orders/aggregate", group_by="created_at.day", sum="total.amount", count="*", limit="40")[
        "data"
    ]
    print("\nRevenue per day, returns taken off (GET /api/orders/aggregate?group_by=created_at.day&sum=total.amount)")
    for day in days:
        print(f"  {day['created_at']['day']}  {day['count']:>5,} orders  £{amount(day['sum']) / 100:>12,.2f}")
    assert sum(amount(day["sum"]) for day in days) == told["revenue"]
    print("\nThe twenty best sellers (GET /api/order_items/aggregate?group_by=product.name&sum=quantity)")
    best = api.get(
        "/api/order_items/aggregate", group_by="product.sku,product.name", sum="quantity", sort="-sum.quantity",
        limit="20", where='{"product":{"category":{"slug":"gifts"}},"order":{"status":"fulfilled"}}',
    )["data"]  # fmt: skip
    for one in best:
        print(f"  {one['sum']['quantity']:>6,}  {one['product']['sku']:8} {one['product']['name']}")
    assert len(best) == 20
    print("\nOne customer's orders (GET /api/orders?customer.email=…&expand=customer,items.product)")
    orders = api.get(
        "/api/orders", **{"customer.email": "customer-17850@customers.invalid", "expand": "customer,items.product",
                          "expand[items][limit]": "3", "sort": "number", "limit": "3"},
    )["data"]  # fmt: skip
    for order in orders:
        total = order["total"]["amount"] / 100
        print(f"  {order['number']}  {order['created_at'][:16]}  {order['customer']['name']}  £{total:.2f}")
        for item in order["items"]:
            print(f"    {item['quantity']:>4} × {item['product']['name']}  £{item['price']['amount'] / 100:.2f}")
    assert orders
    assert orders[0]["items"][0]["product"]["name"]
    print('\nSearch "lantern" (GET /api/products?search=lantern)')
    found = api.get("/api/products", search="lantern", limit="5", count="exact")
    for one in found["data"]:
        print(f"  {one['sku']:8} {one['name']}")
    print(f"  … {found['meta']['total']} in all")
    assert found["meta"]["total"] == lanterns > 0


def amount(sums: dict[str, Any]) -> int:
    """The sum of a group in minor units."""
    total = sums["total"]
    return int(total["amount"] if isinstance(total, dict) else total)


def carry_out(place: Place, files: list[Path], told: dict[str, int]) -> bool:
    """All of it on one kind of database; whether it was fast enough."""
    print(f"\n== {place.kind}")
    ratios, best = [], (0.0, 0.0)
    for round_ in range(ROUNDS):
        by_hand = load_by_hand(place, files, f"hand{round_}")
        url, took, said = imported(place, files, f"whole{round_}")
        check(told, said, url)
        ratios.append(took / by_hand)
        best = (by_hand, took) if took / by_hand == min(ratios) else best
        print(f"load by hand {by_hand:.2f} s, import {took:.2f} s: {took / by_hand:.2f} times")
    print("What became of every kind of dirt")
    for reason, number in sorted(said["counted"].items(), key=lambda one: -one[1]):
        print(f"  {number:>7,}  {reason}")
    print(f"  {sum(said['skipped'].values()):>7,}  skipped\n  {sum(said['rejected'].values()):>7,}  rejected")
    made = ", ".join(f"{number:,} {model}" for model, number in said["created"].items())
    print(f"Made: {made}; counts as in the files")
    again, went_on, resumed = killed(place, files)
    check(told, resumed, again)
    assert went_on[0] < went_on[1] < went_on[2] < told["lines"], f"it was not killed on its way: {went_on}"
    assert content(again) == content(url)
    print(f"Killed at rows {', '.join(f'{row:,}' for row in went_on)}, resumed: nothing lost, nothing doubled")
    api = Api(place, again)
    try:
        (lanterns,) = select(again, "SELECT count(*) FROM products WHERE lower(name) LIKE '%lantern%'")[0]
        ask(api, told, lanterns)
    finally:
        api.stop()
    return sorted(ratios)[len(ratios) // 2] <= AT_MOST


def main() -> None:
    """Both databases."""
    files = sorted(DATA.glob("*.csv"))
    if not files:
        print(f"There is no data at {DATA}: put the Online Retail data set there, one file a day, or set RETAIL_DATA.")
        return
    told = naive(files)
    print(f"{len(files)} files, " + ", ".join(f"{number:,} {name}" for name, number in told.items()))
    folder = Path(tempfile.mkdtemp(prefix="backstay-real-"))
    fast = True
    try:
        fast = carry_out(Place("SQLite", folder, None), files, told)
        server = Postgres()
        try:
            fast = carry_out(Place("PostgreSQL", folder, server), files, told) and fast
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not fast:
        raise SystemExit(f"The import took more than {AT_MOST} times the load by hand.")


if __name__ == "__main__":
    main()
