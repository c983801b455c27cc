"""Plans and statements as text that a person can read and a version control can compare.

Invariant: two plans that differ in anything but their aliases print differently. Values are printed as they were
bound, so that two spellings of a question are seen to bring the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from backstay.model.predicate import describe
from backstay.model.value import Money
from backstay.plan.tree import (
    All,
    Any_,
    Behind,
    Calc,
    Case,
    Column,
    Constant,
    DatePart,
    Decision,
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
    Order,
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
)

_SIGNS = {"eq": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_CALC = {"add": " + ", "subtract": " - ", "multiply": " * ", "concat": " || "}
_STEP = "  "


def print_plan(plan: ReadPlan, bound: Sequence[Any], *, aliases: bool = True) -> str:
    """The plan with the values it was bound to; without `aliases` the keys of the answer are left out."""
    printer = _Printer(aliases)
    lines = [line for root in plan.roots for line in printer.root(root)]
    if plan.params:
        lines.append("parameters")
        pairs = enumerate(zip(plan.params, bound, strict=True))
        lines += [f"{_STEP}${i} {_spec(spec)} = {_value(spec, value)}" for i, (spec, value) in pairs]
    if plan.decisions:
        lines.append("decisions")
        lines += [_STEP + _decision(decision) for decision in plan.decisions]
    lines.append("models: " + (", ".join(sorted(plan.models)) or "none"))
    if plan.windows:
        lines.append("rows at most: " + ", ".join(" x ".join(f"${i}" for i in window) for window in plan.windows))
    return "\n".join(lines) + "\n"


def print_statement(text: str) -> str:
    """The text of a statement, broken into lines; joined by spaces again they are the statement."""
    lines: list[str] = []
    depth = start = here = 0
    indent = 0
    for found in _TOKENS.finditer(text):
        token = found[0]
        if token == "(":
            depth += 1
        elif token == ")":
            depth -= 1
        elif token[0] == " " and found.start() > start:
            here = found.start()
            lines.append(_STEP * indent + text[start:here])
            start, indent = here + 1, depth
    lines.append(_STEP * indent + text[start:])
    return "\n".join(lines) + "\n"


_TOKENS = re.compile(
    r"""'(?:[^']|'')*'|"[^"]*"|[()]"""
    r"""|(?<!LEFT)[ ](?=(?:SELECT|FROM|LEFT[ ]JOIN|JOIN|WHERE|AND|OR|GROUP[ ]BY|ORDER[ ]BY|LIMIT|UNION[ ]ALL)[ ])""",
    re.VERBOSE,
)


def joined(lines: str) -> str:
    """The statement that `print_statement` made these lines of."""
    return " ".join(line.lstrip(" ") for line in lines.splitlines())


class _Printer:
    """Prints the parts of one plan, each as a list of lines."""

    def __init__(self, aliases: bool) -> None:
        self._aliases = aliases

    def root(self, root: RootPlan) -> Iterator[str]:
        match root:
            case OneRoot(rows):
                yield f"one {_table(rows.source)}"
                yield from _indented(self.rows(rows))
            case ListRoot(rows, _, count_of, cap, backwards):
                yield f"list {_table(rows.source)}{' backwards' if backwards else ''}"
                yield from _indented(self.rows(rows))
                if count_of is not None:
                    yield f"{_STEP}count {_table(count_of)}{f' up to {cap}' if cap is not None else ''}"
                    yield from _indented(_indented(self.source(count_of)))
            case GroupRoot(source, groups, measures, order, limit, offset):
                yield f"groups of {_table(source)}"
                yield from _indented(self.source(source))
                for names, leaf in groups:
                    yield f"{_STEP}by {'.'.join(names)}: {self.output(leaf)[0]}"
                for measure in measures:
                    of = "*" if measure.value is None else self.expr(measure.value)
                    yield f"{_STEP}{measure.alias}: {measure.fn}({of}) as {measure.kind.name}"
                yield from _indented(
                    f"order {'group' if at < len(groups) else 'number'} {at}{' descending' * down}"
                    for at, down in order
                )
                yield from _indented(_window(limit, offset))

    def rows(self, rows: Rows) -> Iterator[str]:
        for join in rows.joins:
            yield f"with {join.entity.table} t{join.scope} by {self.expr(join.key)}"
            if join.where != Constant(True):
                yield from _indented(["where", *_indented(self.predicate(join.where))])
        yield from self.source(rows.source)
        yield from (self.order(order) for order in rows.order)
        yield from _window(rows.limit, rows.offset)
        if rows.keys:
            yield "cursor " + ", ".join(self.expr(key) for key in rows.keys)
        yield from self.output(rows.output)

    def source(self, source: Source) -> Iterator[str]:
        if (through := source.through) is not None:
            yield (
                f"through {through.entity.table} t{through.scope} where t{through.scope}.{through.link.column}"
                f" = {self.expr(through.link.outer)}, onward by {through.onward}"
            )
            if through.where != Constant(True):
                yield from _indented(self.predicate(through.where))
        if source.link is not None:
            yield f"tied t{source.scope}.{source.link.column} = {self.expr(source.link.outer)}"
        if source.where != Constant(True):
            yield "where"
            yield from _indented(self.predicate(source.where))

    def order(self, order: Order) -> str:
        return f"order {self.expr(order.by)}{' descending' * order.descending}"

    def output(self, output: Output) -> list[str]:
        match output:
            case Leaf(value, kind, currency):
                beside = f" with {self.expr(currency)}" if currency is not None else ""
                return [f"{self.expr(value)}{beside} as {_kind_name(kind)}"]
            case Said(text):
                return [f"the text {text}"]
            case Record(items, present):
                there = f"t{present.scope}" if isinstance(present, Column) else "it"
                lines = [f"record{f' where {there} is there' if present is not None else ''}"]
                for name, part in items:
                    first, *rest = self.output(part)
                    lines += [f"{_STEP}{f'{name}: ' if self._aliases else ''}{first}", *_indented(rest)]
                return lines
            case Records(rows):
                return [f"records {_table(rows.source)}", *_indented(self.rows(rows))]

    # Predicates: one line each, but for those that hold others.

    def predicate(self, predicate: Predicate) -> list[str]:
        match predicate:
            case Constant(value):
                return ["always" if value else "never"]
            case All(parts):
                return ["all of", *_indented(line for part in parts for line in self.predicate(part))]
            case Any_(parts):
                return ["any of", *_indented(line for part in parts for line in self.predicate(part))]
            case Test(op, left, right, negated):
                sign = _SIGNS.get(op, op)
                return [f"{_not(negated)}{self.expr(left)} {sign} {self.expr(right)}"]
            case Null(of, negated):
                return [f"{self.expr(of)} is {_not(negated)}null"]
            case Within(key, source, negated):
                lines = [f"{self.expr(key)} {_not(negated)}in the ids of {_table(source)}"]
                return [*lines, *_indented(self.source(source))]
            case Exists(source, negated):
                return [f"{'no' if negated else 'some'} {_table(source)}", *_indented(self.source(source))]
            case Matches(_, scope, needle, negated):
                return [f"{_not(negated)}words of t{scope} match {self.expr(needle)}"]
            case Behind(keys, values, descending):
                here, there = (", ".join(map(self.expr, side)) for side in (keys, values))
                return [f"({here}) {'before' if descending else 'behind'} ({there})"]

    # Expressions: always one line.

    def expr(self, expr: Expr) -> str:
        match expr:
            case Param(position, _, many):
                return f"${position}{'[]' * many}"
            case Column(scope, name):
                return f"t{scope}.{name}"
            case Lookup(entity, scope, key, where, value):
                rule = f" where {self.line(where)}" if where != Constant(True) else ""
                return f"<{self.expr(value)} of {entity.table} t{scope} by {self.expr(key)}{rule}>"
            case Guarded(when, value):
                return f"<{self.expr(value)} only where {self.line(when)}>"
            case Case(when, then, otherwise):
                return f"<{self.expr(then)} where {self.line(when)} else {self.expr(otherwise)}>"
            case Calc("coalesce", args):
                return f"coalesce({', '.join(map(self.expr, args))})"
            case Calc(op, args):
                return f"({_CALC[op].join(map(self.expr, args))})"
            case TotalOf(fn, source, value):
                of = "*" if value is None else self.expr(value)
                return f"<{fn}({of}) of {_table(source)} {'; '.join(map(str.strip, self.source(source)))}>"
            case Truth(predicate):
                return f"<whether {self.line(predicate)}>"
            case DatePart(of, part):
                return f"{part}({self.expr(of)})"
            case Rank(scope, needle):
                return f"rank(t{scope}, {self.expr(needle)})"

    def line(self, predicate: Predicate) -> str:
        match predicate:
            case All(parts):
                return "(" + " and ".join(map(self.line, parts)) + ")"
            case Any_(parts):
                return "(" + " or ".join(map(self.line, parts)) + ")"
            case _:
                first, *rest = self.predicate(predicate)
                return f"{first} [{'; '.join(line.strip() for line in rest)}]" if rest else first


def _indented(lines: Any) -> Iterator[str]:
    return (_STEP + line for line in lines)


def _table(source: Source) -> str:
    return f"{source.entity.table} t{source.scope}"


def _window(limit: Param | None, offset: Param | None) -> Iterator[str]:
    if limit is not None:
        yield f"limit ${limit.index}"
    if offset is not None:
        yield f"offset ${offset.index}"


def _not(negated: bool) -> str:
    return "not " if negated else ""


def _kind_name(kind: Any) -> str:
    return f"{kind.name} {kind.currency}".rstrip() if kind.name == "money" else str(kind.name)


def _spec(spec: ParamSpec) -> str:
    part = f" {spec.part}" if spec.part else ""
    return f"{spec.source} {spec.kind.name}{'[]' * spec.many}{part}"


def _value(spec: ParamSpec, value: Any) -> str:
    if spec.source == "key":
        return "from the cursor"  # in the form of each database
    if isinstance(value, list):
        return f"[{', '.join(_value(spec, item) for item in value)}]"
    if isinstance(value, Money):
        return f"{value.amount} {value.currency}"
    if isinstance(value, timedelta):
        return f"{value.total_seconds()} seconds"
    return repr(value) if isinstance(value, str) else str(value)


def _decision(decision: Decision) -> str:
    verdict = decision.verdict.replace("_", " ")
    return f"{decision.action} {decision.entity}: {verdict}, {describe(decision.clause)}"
