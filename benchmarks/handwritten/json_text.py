"""The JSON of each row as an SQL expression: escaped parts glued together by one `concat`, the fastest form on both."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where the two databases differ: a column's text as a JSON string, and an instant as RFC 3339 without quotes."""

    quote: Callable[[str], str]
    instant: Callable[[str], str]

    def product(self, category: str | None = None) -> str:
        """A product `p`, with its category's id or with the category itself."""
        return _object(
            *("id", _quoted("p.id"), "name", self.quote("p.name"), "slug", self.quote("p.slug")),
            *("description", self.quote("p.description"), "price", _money("p.price")),
            *("category", category or _quoted("p.category_id"), "stock", "p.stock"),
            *self._instants("p"),
        )

    def category(self) -> str:
        """A category `c`."""
        return _object(
            *("id", _quoted("c.id"), "name", self.quote("c.name"), "slug", self.quote("c.slug")), *self._instants("c")
        )

    def item(self) -> str:
        """An item `i` with its product and that product's category."""
        return _object(
            *("id", _quoted("i.id"), "order", _quoted("i.order_id"), "product", self.product(self.category())),
            *("quantity", "i.quantity", "price", _money("i.price")),
            *self._instants("i"),
        )

    def order(self) -> str:
        """An order `o` with its items, all three levels."""
        items = f"""(SELECT string_agg(line, ',') FROM (
            SELECT {_concat(self.item())} AS line FROM item i JOIN product p ON p.id = i.product_id
            JOIN category c ON c.id = p.category_id WHERE i.order_id = o.id ORDER BY i.id) AS lines)"""
        return _object(
            *("id", _quoted("o.id"), "customer", _quoted("o.customer_id"), "status", self.quote("o.status")),
            *("total", _money("o.total"), "items", f"'[', {items}, ']'"),
            *self._instants("o"),
        )

    def review(self) -> str:
        """A review, as the statement that inserts it returns it."""
        return _object(
            *("id", _quoted("id"), "author", _quoted("author_id"), "product", _quoted("product_id")),
            *("stars", "stars", "text", self.quote("text")),
            *self._instants(),
        )

    def purchase(self) -> str:
        """An order without its items, as the statement that inserts it returns it."""
        return _object(
            *("id", _quoted("id"), "customer", _quoted("customer_id"), "status", self.quote("status")),
            *("total", _money("total")),
            *self._instants(),
        )

    def text(self, parts: str) -> str:
        """The parts as one expression."""
        return _concat(parts)

    def _instants(self, table: str = "") -> tuple[str, ...]:
        of = f"{table}." if table else ""
        return tuple(
            part
            for column in ("created_at", "updated_at")
            for part in (column, f"""'"', {self.instant(f"{of}{column}")}, '"'""")
        )


def _object(*names_and_values: str) -> str:
    pairs = zip(names_and_values[::2], names_and_values[1::2], strict=True)
    members = ", ',', ".join(f"""'"{name}":', {value}""" for name, value in pairs)
    return f"""'{{', {members}, '}}'"""


def _money(column: str) -> str:
    return f"""'{{"amount":', {column}, ',"currency":"EUR"}}'"""


def _quoted(column: str) -> str:
    return f"""'"', {column}, '"'"""


def _concat(parts: str) -> str:
    """Neighbouring literals become one, so that the database glues as few parts as possible."""
    glued = parts.replace("', '", "")
    return f"concat({glued})"
