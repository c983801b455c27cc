"""The one language of conditions: rules, `where` in every protocol, queries in Python and computed fields.

A condition is a tree of frozen values that name fields by text and nothing else. It is *raw*: nobody has looked
yet whether the names exist or whether this actor may use them. `plan/planner.py` resolves it for SQL and
`model/evaluate.py` answers it in memory; both keep two-valued logic: a comparison with null is false and its
negation is true, and for an anonymous actor every comparison that names `me` is false in both polarities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal, TypeAlias

Operator = Literal["eq", "lt", "lte", "gt", "gte", "in", "contains", "icontains", "starts_with"]
Quantifier = Literal["some", "none", "every"]

OPERATORS = (
    "eq", "ne", "lt", "lte", "gt", "gte", "in", "not_in", "contains", "icontains", "starts_with", "is_null", "search",
)  # fmt: skip
QUANTIFIERS = ("some", "none", "every")


# Operands: what stands on either side of a comparison.


@dataclass(frozen=True, slots=True)
class Path:
    """A field reached from a record: `("product", "category", "slug")`. `root` counts the quantifiers around it."""

    names: tuple[str, ...]
    root: int = 0
    when: Literal["", "old", "new"] = ""


@dataclass(frozen=True, slots=True)
class Value:
    """A constant of a rule, or a value that has not been lifted out of its condition yet."""

    value: Any = field(hash=False)
    place: str = field(default="", compare=False)
    """Where it was said, for errors about it."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a value that was lifted out, so that all questions of one shape share one statement."""

    index: int
    place: str = field(default="", compare=False)
    from_text: bool = False


@dataclass(frozen=True, slots=True)
class Me:
    """The actor's id, or with names a field of the actor's own record."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Brought:
    """The hash of a secret that the request brings in a header. Where it brings none, no comparison with it holds."""

    header: str


@dataclass(frozen=True, slots=True)
class Now:
    """The instant of the request, moved by a fixed offset."""

    offset: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`add`, `subtract`, `multiply` of numbers, `concat` of texts, `coalesce` of anything."""

    op: Literal["add", "subtract", "multiply", "concat", "coalesce"]
    args: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Total:
    """A number over a to-many relation: how many records, or the sum, least or greatest of a value of each."""

    fn: Literal["count", "sum", "min", "max"]
    path: Path
    of: Operand | None
    where: Condition


@dataclass(frozen=True, slots=True)
class Choice:
    """`then` where the condition holds, else `otherwise`."""

    when: Condition
    then: Operand
    otherwise: Operand


Operand: TypeAlias = Path | Value | Slot | Me | Brought | Now | Arithmetic | Total | Choice


# Conditions: what is true or false of a record.


@dataclass(frozen=True, slots=True)
class Always:
    """True of every record (`anyone`) or of none (`nobody`)."""

    value: bool


@dataclass(frozen=True, slots=True)
class Compare:
    """One comparison. `in` has a list on its right; the text operators compare by code point."""

    op: Operator
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class IsNull:
    """True where the operand has no value."""

    operand: Operand


@dataclass(frozen=True, slots=True)
class Search:
    """True where the record's search text has every word of the needle, the last one as a beginning."""

    needle: Operand
    root: int = 0


@dataclass(frozen=True, slots=True)
class Quantified:
    """`some`, `none` or `every` record of a to-many relation satisfies the body."""

    kind: Quantifier
    path: Path
    body: Condition


@dataclass(frozen=True, slots=True)
class HasRole:
    """True when the actor has the role."""

    role: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """True when somebody is signed in; the one atom about `me` that is known for the anonymous too."""


@dataclass(frozen=True, slots=True)
class And:
    """True where every part is."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True where at least one part is."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True where the part is false."""

    part: Condition


Condition: TypeAlias = Always | Compare | IsNull | Search | Quantified | HasRole | SignedIn | And | Or | Not

ANYONE = Always(True)
NOBODY = Always(False)


def both(*parts: Condition) -> Condition:
    """The conjunction, flat and without what is always true."""
    flat: list[Condition] = []
    for part in parts:
        if part == NOBODY:
            return NOBODY
        if isinstance(part, And):
            flat.extend(part.parts)
        elif part != ANYONE:
            flat.append(part)
    return ANYONE if not flat else flat[0] if len(flat) == 1 else And(tuple(flat))


def either(*parts: Condition) -> Condition:
    """The disjunction, flat and without what is never true."""
    flat: list[Condition] = []
    for part in parts:
        if part == ANYONE:
            return ANYONE
        if isinstance(part, Or):
            flat.extend(part.parts)
        elif part != NOBODY:
            flat.append(part)
    return NOBODY if not flat else flat[0] if len(flat) == 1 else Or(tuple(flat))


def negate(condition: Condition) -> Condition:
    """The negation, pushed down so that `Not` stands on atoms only; `every` becomes `none` of the opposite."""
    match condition:
        case Always(value):
            return Always(not value)
        case Not(part):
            return normal(part)
        case And(parts):
            return either(*(negate(part) for part in parts))
        case Or(parts):
            return both(*(negate(part) for part in parts))
        case Quantified("some", path, body):
            return Quantified("none", path, normal(body))
        case Quantified("none", path, body):
            return Quantified("some", path, normal(body))
        case Quantified(_, path, body):
            return Quantified("some", path, negate(body))
        case _:
            return Not(condition)


def normal(condition: Condition) -> Condition:
    """The condition with every negation pushed to its atoms, and `every` written as `none` of the opposite."""
    match condition:
        case Not(part):
            return negate(part)
        case And(parts):
            return both(*(normal(part) for part in parts))
        case Or(parts):
            return either(*(normal(part) for part in parts))
        case Quantified("every", path, body):
            return Quantified("none", path, negate(body))
        case Quantified(kind, path, body):
            return Quantified(kind, path, normal(body))
        case _:
            return condition


def operands(condition: Condition) -> tuple[Operand, ...]:
    """The operands of an atom; nothing for what is no atom."""
    match condition:
        case Compare(_, left, right):
            return left, right
        case IsNull(operand):
            return (operand,)
        case Search(needle, _):
            return (needle,)
        case _:
            return ()


def leaves(node: Condition | Operand) -> Iterator[Condition | Operand]:
    """What a condition is made of in the end: what it compares, and what it asks of the actor."""
    match node:
        case Arithmetic(_, args):
            inside: tuple[Condition | Operand | None, ...] = args
        case Choice(when, then, otherwise):
            inside = (when, then, otherwise)
        case Total(_, _, of, where):
            inside = (where, of)
        case And(parts) | Or(parts):
            inside = parts
        case Not(part):
            inside = (part,)
        case Quantified(_, _, body):
            inside = (body,)
        case Compare() | IsNull() | Search():
            inside = operands(node)
        case _:
            yield node
            return
    for each in inside:
        if each is not None:
            yield from leaves(each)


def headers_of(*nodes: Condition | Operand) -> frozenset[str]:
    """The headers whose secrets are named anywhere inside."""
    return frozenset(leaf.header for node in nodes for leaf in leaves(node) if isinstance(leaf, Brought))


def names_nobody(node: Condition | Operand, signed_in: bool, brought: frozenset[str]) -> bool:
    """Whether it asks of the actor what nobody can say: who they are, where nobody is signed in, or their secret."""
    return any(
        leaf.header not in brought
        if isinstance(leaf, Brought)
        else not signed_in and isinstance(leaf, (Me, HasRole, SignedIn))
        for leaf in leaves(node)
    )


def fold(
    condition: Condition, signed_in: bool, roles: frozenset[str], brought: frozenset[str] = frozenset()
) -> Condition:
    """A normal condition with all that is known of the actor decided; what is left is about the record.

    For the anonymous every atom that names `me` is false in both polarities, and so is `none` of a body that
    names `me`: nothing opens because nobody is asking. The same holds for a secret that is not among the headers
    `brought`.
    """
    match condition:
        case SignedIn():
            return Always(signed_in)
        case Not(SignedIn()):
            return Always(not signed_in)
        case HasRole(role):
            return Always(role in roles)
        case Not(HasRole(role)):
            return Always(signed_in and role not in roles)
        case And(parts):
            return both(*(fold(part, signed_in, roles, brought) for part in parts))
        case Or(parts):
            return either(*(fold(part, signed_in, roles, brought) for part in parts))
        case Quantified(kind, path, body):
            if kind == "none" and names_nobody(body, signed_in, brought):
                return NOBODY
            body = fold(body, signed_in, roles, brought)
            return Always(kind == "none") if body == NOBODY else Quantified(kind, path, body)
        case _:
            return NOBODY if names_nobody(condition, signed_in, brought) else condition


def rebuild(condition: Condition, operand: Callable[[Operand], Operand]) -> Condition:
    """The same condition with every operand replaced by what `operand` makes of it."""

    def inside(value: Operand) -> Operand:
        match value:
            case Arithmetic(op, args):
                value = Arithmetic(op, tuple(inside(arg) for arg in args))
            case Total(fn, path, of, where):
                value = Total(fn, path, inside(of) if of is not None else None, rebuild(where, operand))
            case Choice(when, then, otherwise):
                value = Choice(rebuild(when, operand), inside(then), inside(otherwise))
        return operand(value)

    match condition:
        case Compare(op, left, right):
            return Compare(op, inside(left), inside(right))
        case IsNull(value):
            return IsNull(inside(value))
        case Search(needle, root):
            return Search(inside(needle), root)
        case Quantified(kind, path, body):
            return Quantified(kind, path, rebuild(body, operand))
        case And(parts):
            return And(tuple(rebuild(part, operand) for part in parts))
        case Or(parts):
            return Or(tuple(rebuild(part, operand) for part in parts))
        case Not(part):
            return Not(rebuild(part, operand))
        case _:
            return condition


def lift(condition: Condition, values: list[Any], *, from_text: bool = False) -> Condition:
    """The shape of a condition: every `Value` moved to the end of `values` and replaced by its `Slot`."""

    def slot(operand: Operand) -> Operand:
        if isinstance(operand, Value):
            values.append(operand.value)
            return Slot(len(values) - 1, operand.place, from_text)
        return operand

    return rebuild(condition, slot)


def at(condition: Condition, when: Literal["old", "new"]) -> Condition:
    """The condition with every path of the record itself marked as meaning the old or the new row."""

    def mark(operand: Operand) -> Operand:
        if isinstance(operand, Path) and operand.root == 0 and not operand.when:
            return replace(operand, when=when)
        return operand

    return rebuild(condition, mark)


_SIGNS = {"eq": "==", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_ARITHMETIC = {"add": "+", "subtract": "-", "multiply": "*"}


def describe(node: Condition | Operand) -> str:
    """The condition as a person would write it in Python; used to explain decisions and in documentation."""
    match node:
        case Always(value):
            return "anyone" if value else "nobody"
        case And(parts):
            return " & ".join(_bracketed(part) for part in parts)
        case Or(parts):
            return " | ".join(_bracketed(part) for part in parts)
        case Not(part):
            return f"~{_bracketed(part)}"
        case Compare("in", left, right):
            return f"one_of({describe(left)}, {describe(right)})"
        case Compare(op, left, right) if op in _SIGNS:
            return f"{describe(left)} {_SIGNS[op]} {describe(right)}"
        case Compare(op, left, right):
            return f"{op}({describe(left)}, {describe(right)})"
        case IsNull(operand):
            return f"is_null({describe(operand)})"
        case Search(needle, _):
            return f"search({describe(needle)})"
        case Quantified(kind, path, body):
            return f"{describe(path)}.{kind}({describe(body)})"
        case HasRole(role):
            return f"me.has_role({role!r})"
        case SignedIn():
            return "me.signed_in"
        case Path(names, root, when):
            spelled = ".".join((("self" if root == 0 else f"it{root}"), *names))
            return f"{when}({spelled})" if when else spelled
        case Value(value):
            return repr(value)
        case Slot(index):
            return f"${index}"
        case Me(names):
            return ".".join(("me", *names))
        case Brought(header):
            return f"me.brings({header!r})"
        case Now(offset):
            return f"now() + {offset}" if offset else "now()"
        case Arithmetic(op, args) if op in _ARITHMETIC:
            return f" {_ARITHMETIC[op]} ".join(describe(arg) for arg in args)
        case Arithmetic(op, args):
            return f"{op}({', '.join(describe(arg) for arg in args)})"
        case Total(fn, path, of, _):
            return f"{describe(path)}.{fn}({describe(of) if of else ''})"
        case Choice(when, then, otherwise):
            return f"choose({describe(when)}, {describe(then)}, {describe(otherwise)})"


def _bracketed(part: Condition) -> str:
    return f"({describe(part)})" if isinstance(part, (And, Or, Compare)) else describe(part)
