"""Whether one condition lets through no more than another: what can be shown, and that nothing false ever is."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from backstay import App, Many, Model, Rules, User, anyone, many, nobody, one_of
from backstay.model.evaluate import Circumstances, holds
from backstay.model.predicate import (
    Brought,
    Compare,
    Condition,
    HasRole,
    IsNull,
    Me,
    Not,
    Path,
    Quantified,
    SignedIn,
    Value,
    both,
    either,
    normal,
)
from backstay.model.symbol import condition
from backstay.review import notation
from backstay.review.implication import MOST_ROLES, Standing, implies, judge, standings

A, B, C = (Compare("eq", Path((name,)), Value(f"str '{name}'")) for name in ("a", "b", "c"))
ONE_OF = [Compare("in", Path(("a",)), Value(("str 'a'", "str 'z'"))), Compare("in", Path(("a",)), Value(("str 'z'",)))]
LINES = Path(("lines",))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (A, A),
        (condition(nobody), A),
        (A, condition(anyone)),
        (both(A, B), A),
        (A, either(A, B)),
        (both(A, B, C), both(C, A)),
        (either(both(A, B), C), either(A, C)),
        (both(A, either(B, C)), either(both(A, B), A)),
        (A, ONE_OF[0]),
        (ONE_OF[1], ONE_OF[0]),
        (Not(ONE_OF[0]), Not(A)),
        (Quantified("some", LINES, both(A, B)), Quantified("some", LINES, A)),
        (Quantified("none", LINES, A), Quantified("none", LINES, both(A, B))),
    ],
)
def test_what_can_be_shown(a: Condition, b: Condition) -> None:
    assert implies(a, b)
    assert a == b or not implies(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (A, B),
        (A, Not(A)),
        (Not(A), Not(ONE_OF[0])),
        (ONE_OF[0], A),
        (either(A, B), A),
        (Quantified("some", LINES, A), Quantified("some", Path(("others",)), A)),
        (Quantified("some", LINES, A), Quantified("none", LINES, A)),
        (Compare("eq", Path(("a",)), Value("int 1")), Compare("eq", Path(("a",)), Value("bool True"))),
        (Compare("lt", Path(("a",)), Value("int 1")), Compare("in", Path(("a",)), Value(("int 1",)))),
    ],
)
def test_what_is_not_so_is_not_shown(a: Condition, b: Condition) -> None:
    assert not implies(a, b)


def test_a_rule_is_judged_for_everybody() -> None:
    staff, boss = HasRole("staff"), HasRole("boss")
    rules = frozenset(("staff", "boss"))
    assert judge(staff, staff, rules).verdict == "same"
    assert judge(staff, both(staff, SignedIn()), rules).verdict == "reworded"
    assert judge(either(A, staff), A, rules).verdict == "narrowed"
    assert judge(condition(nobody), A, rules).wider_for == ("anonymous", "signed in")
    assert judge(A, condition(anyone), rules) == judge(A, either(A, B), rules)
    assert judge(A, condition(anyone), rules).verdict == "widened"
    assert judge(A, B, rules).verdict == "incomparable"
    found = judge(staff, either(staff, boss), rules)
    assert (found.verdict, found.wider_for) == ("widened", ("boss",))
    assert judge(condition(nobody), both(staff, boss), rules).wider_for == ("boss and staff",)  # in no cell of a matrix
    assert judge(staff, A, rules).verdict == "widened"  # less for the staff, and more for others
    assert judge(A, B, rules, by_row=False).verdict == "reworded"  # nobody could call either
    many = frozenset(map(str, range(MOST_ROLES + 1)))
    assert judge(either(A, B), A, many).verdict == "incomparable"


def test_nobody_is_forgotten() -> None:
    found = list(standings(frozenset("ab")))
    assert found == [
        Standing(False), Standing(True), Standing(True, frozenset("a")), Standing(True, frozenset("b")),
        Standing(True, frozenset("ab")),
    ]  # fmt: skip


def test_a_right_by_a_secret_is_a_right_more() -> None:
    secret = Compare("eq", Path(("a",)), Brought("x-token"))
    assert judge(A, either(A, secret), frozenset()).wider_for == ("anonymous with x-token",)
    assert judge(either(A, secret), A, frozenset()).verdict == "narrowed"
    assert judge(A, both(A, secret), frozenset()).verdict == "narrowed"


# Nothing false is ever shown: random rules, answered for every row and everybody.


class _Records:
    def find(self, entity: Any, key: Any) -> Any:
        return None

    def children(self, entity: Any, via: str, key: Any) -> Any:
        return [{"id": str(n), "thing": key, "size": n} for n in range(len(str(key)) - 1)]


class Part(Model):
    thing: Thing
    size: int


class Thing(Model):
    owner: User
    state: str | None
    public: bool
    parts: Many[Part] = many()

    def rules(self, me: User) -> Rules:
        return Rules(read=one_of(self.state, "x", "y") & (self.parts.count() > 1))


SCHEMA = App("things", models=[Thing, Part]).schema


def _atom(dice: random.Random, depth: int) -> Condition:
    size = Compare("eq", Path(("size",), 1), Value(dice.choice([0, 1])))
    atoms: list[Condition] = [
        Compare("eq", Path(("owner",)), Me()), HasRole(dice.choice("ab")), SignedIn(), IsNull(Path(("state",))),
        Compare("eq", Path(("state",)), Value(dice.choice("xyz"))),
        Compare("in", Path(("state",)), Value(dice.sample("xyz", 2))),
        Compare("eq", Path(("public",)), Value(dice.choice([True, False]))),
        Quantified(dice.choice(["some", "none", "every"]), Path(("parts",)),
                   both(size, Compare("eq", Path(("owner",)), Me())) if dice.random() < 0.4 else size),
    ]  # fmt: skip
    return dice.choice(atoms)


def _rule(dice: random.Random, depth: int = 0) -> Condition:
    if depth > 2 or dice.random() < 0.3:
        return _atom(dice, depth)
    parts = [_rule(dice, depth + 1) for _ in range(2)]
    return dice.choice([both, either, lambda *some: Not(both(*some))])(*parts)


def _changed(dice: random.Random, rule: Condition) -> Condition:
    extra = _rule(dice, 2)
    return dice.choice([both(rule, extra), either(rule, extra), Not(rule), _rule(dice)])


def test_nothing_false_is_ever_shown() -> None:
    dice = random.Random(20261125)
    thing, user = SCHEMA.entities["Thing"], SCHEMA.user
    rows = [
        {"id": key, "owner": owner, "state": state, "public": public}
        for key in ("1", "12", "123") for owner in ("me", "other") for state in (None, "x", "y", "z")
        for public in (True, False)
    ]  # fmt: skip
    now = datetime(2026, 1, 1, tzinfo=UTC)
    everybody = [(None, frozenset[str]())] + [("me", frozenset(some)) for some in ("", "a", "b", "ab")]
    counted = dict.fromkeys(("same", "reworded", "narrowed", "widened", "incomparable"), 0)
    for _ in range(700):
        old = normal(_rule(dice))
        new = normal(_changed(dice, old))
        read = [notation.read(notation.written(rule, thing, user)) for rule in (old, new)]
        found = judge(read[0], read[1], frozenset("ab"))
        counted[found.verdict] += 1
        if found.verdict == "incomparable":
            continue
        for me, roles in everybody:
            who = Circumstances(user, _Records(), now, me, roles)
            for row in rows:
                before, after = (holds(rule, thing, row, who) for rule in (old, new))
                assert found.widens or before or not after, (old, new)
                assert found.verdict in ("narrowed", "widened") or after or not before, (old, new)
    assert min(counted[verdict] for verdict in ("reworded", "narrowed", "widened", "incomparable")) > 10, counted
