"""A `ReadPlan` becomes one statement: the part of it that all SQL databases share.

The statement's rows have a fixed form whatever was asked: JSON text first, then the version of a single record
or the keys a cursor is made of. Several roots, and counts, are further branches of one UNION ALL, each row with
the number of its branch in front. Invariant: every atom is two-valued; what may be null is compiled so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from backstay.model.field import Entity
from backstay.model.value import Kind
from backstay.plan.bind import Binder
from backstay.plan.tree import (
    All,
    Any_,
    Behind,
    Calc,
    Case,
    Check,
    Column,
    Constant,
    DatePart,
    Exists,
    Expr,
    GroupRoot,
    Guarded,
    Leaf,
    ListRoot,
    Lookup,
    Matches,
    Null,
    OneRoot,
    Output,
    Param,
    ParamSpec,
    Predicate,
    Rank,
    ReadPlan,
    Record,
    Records,
    RootPlan,
    Rows,
    Said,
    Source,
    Test,
    TotalOf,
    Truth,
    Within,
    kind_of,
    nullable,
)
from backstay.store.dialect import QUOTE, Dialect, Pieces, Text, concat, named, quoted, unless_null
from backstay.store.json_text import written

if TYPE_CHECKING:
    from backstay.store.sealing import Marks

SEPARATOR = b"\x1e"
"""Between the rows of a gathered list: a control character, which JSON text never holds as it is."""
SEPARATOR_SQL = "chr(30)"
_SIGNS = {"eq": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_CALC = {"add": " + ", "subtract": " - ", "multiply": " * ", "concat": " || "}


Encoders: TypeAlias = tuple[tuple[int, Callable[[Any], Any] | None], ...]
"""The parameters that a text uses, in its order: the place of each in the plan, and how it is encoded."""


@dataclass(slots=True)
class Statement:
    """A compiled plan: text, how each parameter is handed to the driver, and how to take its rows apart."""

    text: str
    plan: ReadPlan
    encoders: Encoders
    branches: tuple[tuple[int, str], ...] = ()
    """For several branches: the root each belongs to, and `rows` or `total`."""
    gathered: bool = False
    """Whether all rows of a list arrive as one text, with how many there are and the keys of the last one."""
    apart: int = 0
    """How many more times it is run where it blocks nobody, because it was too long."""
    binders: tuple[Binder, ...] = ()
    as_bound: bool = False
    """Whether the driver takes the bound values as they are, in their order."""
    timed: bool = True
    sealed: tuple[Marks, ...] = ()
    """For each root where its encrypted values stand; empty where the question reads none."""

    def encode(self, bound: Sequence[Any]) -> Sequence[Any]:
        """The parameters as the driver takes them."""
        return bound if self.as_bound else encode(self.encoders, bound)


def encode(encoders: Encoders, values: Sequence[Any]) -> list[Any]:
    """Canonical values as the driver takes them."""
    return [
        values[index] if encoder is None or values[index] is None else encoder(values[index])
        for index, encoder in encoders
    ]


def compile_read(plan: ReadPlan, dialect: Dialect) -> Statement:
    """The one statement of a plan."""
    compiler = Compiler(dialect, plan.params)
    if len(plan.roots) == 1:
        root = plan.roots[0]
        if isinstance(root, ListRoot) and dialect.gathers and not root.keyed:
            return Statement(compiler.gathered(root), plan, compiler.encoders, gathered=True)
        counted = isinstance(root, ListRoot) and root.count_of is not None
        if not counted or (isinstance(root, ListRoot) and not root.behind):
            columns, rest = compiler.root(root)
            if isinstance(root, ListRoot) and root.count_of is not None:
                columns.append(compiler.count(root.count_of, root.count_cap))
            return Statement(f"SELECT {', '.join(columns)} {rest}", plan, compiler.encoders)
    branches: list[tuple[int, str, list[str], str]] = []
    for number, root in enumerate(plan.roots):
        if isinstance(root, ListRoot) and root.count_of is not None:
            branches.append((number, "total", [compiler.count(root.count_of, root.count_cap)], ""))
        branches.append((number, "rows", *compiler.root(root)))
    widest = max(len(columns) for _, _, columns, _ in branches)
    text = " UNION ALL ".join(
        compiler.branch(position, columns, rest, widest) for position, (_, _, columns, rest) in enumerate(branches)
    )
    return Statement(text, plan, compiler.encoders, tuple((number, kind) for number, kind, _, _ in branches))


class Compiler:
    """Writes the text of one plan. Parameters that it turns out not to need are left out."""

    def __init__(
        self, dialect: Dialect, params: Sequence[ParamSpec], *, bare: bool = False, first: int = 0
    ) -> None:  # fmt: skip
        self.dialect = dialect
        self.params = params
        self.first = first
        """How many parameters of the statement stand before those of this text."""
        self.bare = bare
        """Whether columns stand without their table, as RETURNING wants them."""
        self._used: dict[int, int] = {}

    @property
    def encoders(self) -> Encoders:
        """How the parameters that were used are handed to the driver."""
        return tuple((index, self.dialect.encoder(self.params[index])) for index in self._used)

    # Roots.

    def root(self, root: RootPlan) -> tuple[list[str], str]:
        """The columns of a root and everything behind them."""
        match root:
            case OneRoot(rows, _, content):
                told = content is not None and content.items == rows.output.items  # the record is its own version
                version = "NULL" if told else self.version(rows.source, content)
                return [self.record(rows.output), version], self.tail(rows)
            case ListRoot(rows):
                keys = [self.dialect.key(self.sorted(key)) for key in rows.keys]
                return [self.record(rows.output), *keys], self.tail(rows)
            case GroupRoot():
                return self.groups(root)

    def version(self, source: Source, content: Record | None) -> str:
        """What tells one state of a row from another: the column that counts its changes, or what it holds."""
        if content is not None:
            return self.record(content)
        return f"{alias(source.scope)}.{quoted(source.entity.version)}"

    def gathered(self, root: ListRoot) -> str:
        """A list as one row: its texts joined, how many there are, the keys of the last one kept, and the total."""
        columns, rest = self.root(root)
        assert root.rows.limit is not None
        limit = self.expr(root.rows.limit)  # one more than is kept
        names = [f"k{i}" for i in range(len(columns) - 1)]
        named = ", ".join(f"{column} AS {name}" for column, name in zip(columns, ["j", *names], strict=True))
        outer = [f"string_agg(j, {SEPARATOR_SQL}) FILTER (WHERE n < {limit})", "count(*)"]
        outer += [f"max({name}) FILTER (WHERE n = {limit} - 1)" for name in names]
        if root.count_of is not None:
            outer.append(self.count(root.count_of, root.count_cap))
        numbered = f"SELECT *, row_number() OVER () AS n FROM (SELECT {named} {rest}) AS page"
        return f"SELECT {', '.join(outer)} FROM ({numbered}) AS numbered"

    def branch(self, position: int, columns: Sequence[str], rest: str, widest: int) -> str:
        """One branch of a UNION ALL: its number in front, shorter rows filled with nulls."""
        named = ", ".join(f"{column} AS c{i}" for i, column in enumerate(columns))
        filled = [self.dialect.key(f"c{i}") for i in range(len(columns))] + ["NULL"] * (widest - len(columns))
        return f"SELECT {position}, {', '.join(filled)} FROM (SELECT {named} {rest}) AS b{position}"

    def count(self, source: Source, cap: int | None) -> str:
        """How many rows a source has, counted up to one more than the cap."""
        where = self.where(source)
        table = f"{named(source.entity)} AS {alias(source.scope)}"
        if cap is None:
            return f"(SELECT count(*) FROM {table}{where})"
        return f"(SELECT count(*) FROM (SELECT 1 FROM {table}{where} LIMIT {cap + 1}) AS capped)"

    def groups(self, root: GroupRoot) -> tuple[list[str], str]:
        """Groups: the inner select computes, the outer one orders and writes JSON."""
        inner, tree = [], dict[str, Any]()
        for position, (names, leaf) in enumerate(root.groups):
            inner.append(f"{self.expr(leaf.value)} AS g{position}")
            _plant(tree, names, self.dialect.leaf(f"x.g{position}", leaf.kind, None, True))
        for position, measure in enumerate(root.measures):
            if measure.value is None:
                inner.append(f"count(*) AS m{position}")
            else:
                of = kind_of(measure.value)
                inner.append(
                    f"{self.dialect.measure(measure.fn, self.expr(measure.value), measure.kind, of)} AS m{position}"
                )
            _plant(tree, tuple(measure.alias.split(".")), self.dialect.leaf(f"x.m{position}", measure.kind, None, True))
        source = root.source
        select = f"SELECT {', '.join(inner)} FROM {self.table(source)}{self.where(source)}"
        if root.groups:
            select += " GROUP BY " + ", ".join(str(i + 1) for i in range(len(root.groups)))
        outer = [f"x.g{i}" for i in range(len(root.groups))] + [f"x.m{i}" for i in range(len(root.measures))]
        order = ", ".join(self.dialect.order(outer[position], descending, True) for position, descending in root.order)
        rest = f"FROM ({select}) AS x" + (f" ORDER BY {order}" if order else "")
        return [concat(self._tree(tree))], rest + self.window(root.limit, root.offset)

    def _tree(self, tree: dict[str, Any]) -> Pieces:
        return self.object((name, self._tree(part) if isinstance(part, dict) else part) for name, part in tree.items())

    def object(self, items: Iterable[tuple[str, Pieces]]) -> Pieces:
        """The JSON text of an object, in pieces; an object inside it is not joined before it is."""
        pieces: list[Text | str] = [Text("{")]
        for position, (name, part) in enumerate(items):
            pieces += [Text(f'{"," if position else ""}"{name}":'), *part]
        return (*pieces, Text("}"))

    # Rows.

    def tail(self, rows: Rows) -> str:
        """Everything behind the columns of a SELECT."""
        order = ", ".join(self.dialect.order(self.sorted(o.by), o.descending, nullable(o.by)) for o in rows.order)
        text = f"FROM {self.table(rows.source)}"
        for join in rows.joins:
            on = self.identity(join.entity, join.scope, join.key)
            if not isinstance(join.where, Constant) or not join.where.value:
                on += f" AND {self.predicate(join.where)}"
            text += f" LEFT JOIN {named(join.entity)} AS {alias(join.scope)} ON {on}"
        text += self.where(rows.source)
        if order:
            text += f" ORDER BY {order}"
        return text + self.window(rows.limit, rows.offset)

    def table(self, source: Source) -> str:
        """The tables of a source: its own, and the joining one where the relation goes through another model."""
        text = f"{named(source.entity)} AS {alias(source.scope)}"
        if (through := source.through) is not None:
            joined = alias(through.scope)
            on = f"{alias(source.scope)}.{quoted(source.entity.key.column)} = {joined}.{quoted(through.onward)}"
            text = f"{named(through.entity)} AS {joined} JOIN {text} ON {on}"
        return text

    def where(self, source: Source) -> str:
        """The WHERE of a source: its tie to the row outside, and its predicate with the rules."""
        parts = []
        if source.link is not None:
            parts.append(self.tied(source.scope, source.link.column, source.link.kind, source.link.outer))
        if (through := source.through) is not None:
            parts.append(self.tied(through.scope, through.link.column, through.link.kind, through.link.outer))
            if through.where != Constant(True):
                parts.append(self.predicate(through.where))
        if source.where != Constant(True):
            parts.append(self.predicate(source.where))
        return f" WHERE {' AND '.join(parts)}" if parts else ""

    def tied(self, scope: int, name: str, kind: Kind, outer: Expr) -> str:
        """A column holds a key from outside; both as they are stored, where they are stored alike."""
        column = self.at(scope, name)
        if kind.stored is None:
            return f"{column} = {self.expr(outer)}"
        if isinstance(outer, Column) and outer.kind.stored == kind.stored:
            return f"{column} = {self.plain(outer)}"
        if self.dialect.alike(kind, "eq"):
            return f"{column} = {self.dialect.lowered(self.expr(outer), kind)}"
        return f"{self.dialect.lifted(column, kind)} = {self.expr(outer)}"

    def identity(self, entity: Entity, scope: int, key: Expr) -> str:
        """The condition that a row is the one with this key."""
        return self.tied(scope, entity.key.column, entity.key.kind, key)

    def window(self, limit: Param | None, offset: Param | None) -> str:
        """LIMIT and OFFSET."""
        text = f" LIMIT {self.expr(limit)}" if limit is not None else ""
        return text + (f" OFFSET {self.expr(offset)}" if offset is not None else "")

    def record(self, record: Record) -> str:
        """The JSON text of a record."""
        return concat(self.pieces(record))

    def pieces(self, record: Record) -> Pieces:
        """The JSON text of a record, in pieces; null where its joined row may be absent and is."""
        pieces = self.object((name, self.output(part)) for name, part in record.items)
        if record.present is None:
            return pieces
        present = self.plain(record.present) if isinstance(record.present, Column) else self.expr(record.present)
        return (f"CASE WHEN {present} IS NULL THEN 'null' ELSE {concat(pieces)} END",)

    def output(self, output: Output) -> Pieces:
        """One part of a record."""
        match output:
            case Leaf(value, kind, currency, sealed):
                text = self.expr(value)
                if sealed is not None:  # with the id of its record, to which it is bound
                    return unless_null(text, nullable(value), (QUOTE, self.expr(sealed.key), Text(":"), text, QUOTE))
                money = self.expr(currency) if currency is not None else None
                return self.dialect.leaf(text, kind, money, nullable(value))
            case Said(text):
                return (Text(msgspec.json.encode(text).decode()),)
            case Record():
                return self.pieces(output)
            case Records(rows):
                return (self.dialect.array(f"SELECT {self.record(rows.output)} AS j {self.tail(rows)}"),)

    # Expressions.

    def expr(self, expr: Expr) -> str:
        """A value."""
        match expr:
            case Param(index):
                position = self._used.setdefault(index, len(self._used))
                return self.dialect.param(self.first + position, self.params[index])
            case Column(kind=kind):
                return self.plain(expr) if kind.stored is None else self.dialect.lifted(self.plain(expr), kind)
            case Lookup(entity, scope, key, where, value):
                rule = f" AND {self.predicate(where)}" if where != Constant(True) else ""
                return (
                    f"(SELECT {self.expr(value)} FROM {named(entity)} AS {alias(scope)} "
                    f"WHERE {self.identity(entity, scope, key)}{rule})"
                )
            case Guarded(when, value):
                return f"CASE WHEN {self.predicate(when)} THEN {self.expr(value)} END"
            case Case(when, then, otherwise):
                return f"CASE WHEN {self.predicate(when)} THEN {self.expr(then)} ELSE {self.expr(otherwise)} END"
            case Calc("coalesce", args, kind):
                return f"coalesce({', '.join(self._scaled(arg, kind) for arg in args)})"
            case Calc("fold", (of,)):
                return self.dialect.folded(self.plain(of) if isinstance(of, Column) else self.expr(of))
            case Calc("multiply", args):
                return f"({_CALC['multiply'].join(self.expr(arg) for arg in args)})"
            case Calc(op, args, kind):
                return f"({_CALC[op].join(self._scaled(arg, kind) for arg in args)})"
            case TotalOf(fn, source, value, kind):
                return self._total(fn, source, value, kind)
            case Truth(predicate):
                return f"CASE WHEN {self.predicate(predicate)} THEN {self.dialect.true} ELSE {self.dialect.false} END"
            case DatePart(of, part):
                return self.dialect.date_part(self.expr(of), part, kind_of(of))
            case Rank(scope, needle):
                return self.dialect.rank(alias(scope), self.expr(needle))

    def stored(self, expr: Expr, kind: Kind) -> str:
        """A value as a column of this kind stores it."""
        return self.expr(expr) if kind.stored is None else self.dialect.lowered(self.expr(expr), kind)

    def plain(self, column: Column) -> str:
        """A column as it is stored."""
        return self.at(column.scope, column.name)

    def at(self, scope: int, name: str) -> str:
        """A column of a table instance; by its name alone in what a write returns."""
        return quoted(name) if self.bare else f"{alias(scope)}.{quoted(name)}"

    def sorted(self, expr: Expr) -> str:
        """A value to sort by, and to continue from: as it is stored, where that sorts alike."""
        if isinstance(expr, Column) and expr.kind.stored is not None and self.dialect.alike(expr.kind, "lt"):
            return self.plain(expr)
        return self.expr(expr)

    def _scaled(self, expr: Expr, kind: Kind) -> str:
        """A value with as many digits after the point as `kind` has, where it is a decimal."""
        mine = kind_of(expr)
        number = kind.name == "decimal" and mine.name in ("decimal", "integer", "big_integer")
        missing = kind.scale - mine.scale if number else 0
        return self.dialect.scaled(self.expr(expr), missing) if missing > 0 else self.expr(expr)

    def _total(self, fn: str, source: Source, value: Expr | None, kind: Kind) -> str:
        rows = f"{self.table(source)}{self.where(source)}"
        if value is None:
            return f"(SELECT count(*) FROM {rows})"
        inner = self.expr(value)
        if not isinstance(value, Column) or value.scope != source.scope:
            # SQL counts an aggregate of values from outside as one of the query outside.
            rows, inner = f"(SELECT {inner} AS v FROM {rows}) AS s", "s.v"
        return f"(SELECT {self.dialect.measure(fn, inner, kind, kind_of(value))} FROM {rows})"

    # Predicates.

    def predicate(self, predicate: Predicate) -> str:
        """A condition that stands where null counts as false; negated atoms are never null."""
        match predicate:
            case Constant(value):
                return "1 = 1" if value else "1 = 0"
            case All(parts):
                return "(" + " AND ".join(self.predicate(part) for part in parts) + ")"
            case Any_(parts):
                return "(" + " OR ".join(self.predicate(part) for part in parts) + ")"
            case Test(op, left, right, negated):
                unsure = nullable(left) or nullable(right)
                if negated and op == "eq" and not unsure and kind_of(left).stored is None:
                    return f"{self.expr(left)} <> {self.expr(right)}"
                return self._negated(self._test(op, left, right), negated, unsure)
            case Null(of, negated):
                return f"{self.expr(of)} IS {'NOT ' if negated else ''}NULL"
            case Within(key, source, negated):
                own = source.entity.key
                column, text = f"{alias(source.scope)}.{quoted(own.column)}", self.expr(key)
                if isinstance(key, Column) and key.kind.stored == own.kind.stored:
                    text = self.plain(key)
                elif own.kind.stored is not None:
                    column = self.dialect.lifted(column, own.kind)
                select = f"SELECT {column} FROM {self.table(source)}{self.where(source)}"
                return self._negated(f"{text} IN ({select})", negated, nullable(key))
            case Exists(source, negated):
                select = f"SELECT 1 FROM {self.table(source)}{self.where(source)}"
                return f"{'NOT ' if negated else ''}EXISTS ({select})"
            case Matches(entity, scope, needle, negated):
                text = self.dialect.matches(entity.table, alias(scope), self.expr(needle))
                return self._negated(text, negated, True)
            case Behind(keys, values, descending):
                here = _row([self.sorted(key) for key in keys])
                there = _row([self.expr(value) for value in values])
                return f"{here} {'<' if descending else '>'} {there}"

    def _negated(self, text: str, negated: bool, unsure: bool) -> str:
        if not negated:
            return text
        return f"NOT coalesce({text}, {self.dialect.false})" if unsure else f"NOT ({text})"

    def _test(self, op: str, left: Expr, right: Expr) -> str:
        if op == "has":
            return self.dialect.has(self.expr(left), self._entry(right, kind_of(left)))
        if isinstance(left, Column) and left.kind.stored is not None and isinstance(right, Param):
            if self.params[right.index].source == "key":  # it came from there as it is sorted by
                return f"{self.sorted(left)} {_SIGNS[op]} {self.expr(right)}"
            if self.dialect.alike(left.kind, op):
                return self._said(op, self.plain(left), self.expr(right), left.kind)
        return self._said(op, self._scaled(left, kind_of(right)), self._scaled(right, kind_of(left)), None)

    def _entry(self, of: Expr, several: Kind) -> str:
        """A value in the form in which it stands in the JSON of a list; parameters are handed over in it."""
        assert several.item is not None
        if (isinstance(of, Param) and self.params[of.index].part == "entry") or not written(several.item):
            return self.expr(of)
        return self.dialect.parsed(concat(self.dialect.leaf(self.expr(of), several.item, None, nullable(of))))

    def _said(self, op: str, a: str, b: str, stored: Kind | None) -> str:
        """A comparison; with `stored` the left side is a column of that kind, as it is stored."""
        match op:
            case "in":
                return self.dialect.one_of(a, b, stored)
            case "contains" | "icontains":
                return self.dialect.contains(a, b)
            case "starts_with":
                return self.dialect.starts_with(a, b)
            case _:
                return f"{a} {_SIGNS[op]} {self.dialect.lowered(b, stored) if stored is not None else b}"


def compile_check(check: Check, dialect: Dialect, more: Sequence[str] = ()) -> tuple[str, Encoders]:
    """The statement that finds the row of a check: its version, its fields as JSON, what is kept of it, its guard.

    Their names, for a statement around it, are v, j, o0 and on, and g; `more` columns stand behind them.
    """
    compiler = Compiler(dialect, check.params)
    source = check.source
    output = compiler.record(check.output) if check.output is not None else "NULL"
    captured = [f"{compiler.expr(expr)} AS o{at}" for at, expr in enumerate(check.captured)]
    version = compiler.version(source, check.content) if check.versioned else "NULL"
    columns = [f"{version} AS v", f"{output} AS j", *captured]
    if check.guard is not None:
        columns.append(f"CASE WHEN {compiler.predicate(check.guard)} THEN 1 ELSE 0 END AS g")
    columns += more
    where = compiler.where(source)
    identity = compiler.identity(source.entity, source.scope, check.key)
    text = f"SELECT {', '.join(columns)} FROM {compiler.table(source)}{where} {'AND' if where else 'WHERE'} {identity}"
    if check.lock:
        text += dialect.lock(alias(source.scope), ends=check.ends)
    return text, compiler.encoders


def _row(parts: Sequence[str]) -> str:
    """A row value."""
    return f"({', '.join(parts)})" if len(parts) > 1 else parts[0]


def alias(scope: int) -> str:
    """The name of a table instance."""
    return f"t{scope}"


def _plant(tree: dict[str, Any], names: tuple[str, ...], pieces: Pieces) -> None:
    for name in names[:-1]:
        tree = tree.setdefault(name, {})
    tree[names[-1]] = pieces
