"""Whether one condition lets through no record that another one does not: a test by form, which may only err to no.

Invariant: where `implies(a, b)` is true, every record that `a` holds for is one that `b` holds for. Both are normal
conditions with everything about the actor decided (`predicate.fold`), so that an atom is true or false of a record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias

from backstay.model.predicate import (
    ANYONE,
    NOBODY,
    And,
    Compare,
    Condition,
    Not,
    Or,
    Quantified,
    Value,
    fold,
    headers_of,
)

Verdict: TypeAlias = Literal["same", "reworded", "narrowed", "widened", "incomparable"]
MOST_ROLES = 8
"""How many roles two rules may name together and be compared: every set of them is somebody."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Somebody with all of these roles, or nobody who is signed in; and whose secrets they bring."""

    signed_in: bool
    roles: frozenset[str] = frozenset()
    brought: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What a person would call them."""
        who = " and ".join(sorted(self.roles)) or ("signed in" if self.signed_in else "anonymous")
        return f"{who} with {' and '.join(sorted(self.brought))}" if self.brought else who

    def covers(self, other: Standing) -> bool:
        """Whether all that is said of them holds for the other as well."""
        return (
            (other.signed_in if self.signed_in else bool(self.brought))
            and self.roles <= other.roles and self.brought <= other.brought
        )  # fmt: skip

    def fold(self, condition: Condition) -> Condition:
        """A rule with all that is known of them decided."""
        return fold(condition, self.signed_in, self.roles, self.brought)


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a rule differs from what it was, and for whom it may let more through: the fewest roles that show it."""

    verdict: Verdict
    wider_for: tuple[str, ...] = ()

    @property
    def widens(self) -> bool:
        """Whether it has to be named: it lets more through, or nothing shows that it does not."""
        return self.verdict in ("widened", "incomparable")


def standings(roles: frozenset[str], headers: frozenset[str] = frozenset()) -> Iterator[Standing]:
    """Everybody whom rules with these roles and headers can tell apart, those with the fewest first."""
    for brought in dict.fromkeys((frozenset[str](), headers)):
        yield Standing(False, brought=brought)
        for many in range(len(roles) + 1):
            for some in combinations(sorted(roles), many):
                yield Standing(True, frozenset(some), brought)


def columns(roles: frozenset[str], headers: frozenset[str]) -> list[Standing]:
    """The kinds of viewers of a table: nobody, somebody, somebody with each role, and whoever brings each secret."""
    return [
        Standing(False), Standing(True), *(Standing(True, frozenset((role,))) for role in sorted(roles)),
        *(Standing(False, brought=frozenset((header,))) for header in sorted(headers)),
    ]  # fmt: skip


def judge(old: Condition, new: Condition, roles: frozenset[str], *, by_row: bool = True) -> Judgement:
    """How a normal rule differs from what it was, for everybody. A rule that knows no row is all or nothing."""
    if old == new:
        return Judgement("same")
    if len(roles) > MOST_ROLES:
        return Judgement("incomparable", ("whoever has these roles",))
    wider: list[Standing] = []
    narrower = unclear = False
    for standing in standings(roles, headers_of(old, new)):
        before, after = (standing.fold(rule) for rule in (old, new))
        if not by_row:
            before, after = (rule if rule == ANYONE else NOBODY for rule in (before, after))
        less, more = not implies(before, after), not implies(after, before)
        narrower = narrower or less
        if more:
            unclear = unclear or less
            if not any(known.covers(standing) for known in wider):
                wider.append(standing)
    names = tuple(standing.name for standing in wider)
    if names:
        return Judgement("incomparable" if unclear else "widened", names)
    return Judgement("narrowed" if narrower else "reworded")


def implies(a: Condition, b: Condition) -> bool:
    """Whether the form of two conditions shows that every record of `a` is one of `b`."""
    if a in (b, NOBODY) or b == ANYONE:
        return True
    if isinstance(a, Or):
        return all(implies(part, b) for part in a.parts)
    if isinstance(b, And):
        return all(implies(a, part) for part in b.parts)
    if isinstance(a, And) and any(implies(part, b) for part in a.parts):
        return True
    if isinstance(b, Or) and any(implies(a, part) for part in b.parts):
        return True
    match a, b:
        case Not(inner), Not(outer):
            return implies(outer, inner)
        case Quantified("some", one, inner), Quantified("some", other, outer) if one == other:
            return implies(inner, outer)
        case Quantified("none", one, inner), Quantified("none", other, outer) if one == other:
            return implies(outer, inner)
        case Compare(left=left), Compare(left=other) if left == other:
            few, many = _choices(a), _choices(b)
            return few is not None and many is not None and few <= many
        case _:
            return False


def _choices(atom: Compare) -> frozenset[object] | None:
    """The constants that an operand is compared with, where it must be one of them."""
    if not isinstance(atom.right, Value) or atom.op not in ("eq", "in"):
        return None
    return frozenset(atom.right.value if atom.op == "in" else (atom.right.value,))
