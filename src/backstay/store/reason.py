"""Why somebody may do something with a record, or may not: each clause of its rule, answered by itself.

Invariant: a clause is answered as the compiled rule answers it, by the database and for the same actor, so that the
parts never say something else than the whole. What the actor is told in production is not decided here, and none of it
is for anybody but the developer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from backstay.errors import Problem
from backstay.model.field import Action, Entity
from backstay.model.predicate import Always, And, Condition, Operand, Or, Path, describe, fold, normal, rebuild
from backstay.plan.actor import Actor
from backstay.store.engine import Engine

Verdict: TypeAlias = Literal["allowed", "denied", "depends"]
_MARKS = {True: "✓", False: "✗", None: "·"}


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a rule in the words of the declaration. `holds` is nothing where it depends on what is written."""

    said: str
    holds: bool | None
    parts: tuple[Clause, ...] = ()
    joined: Literal["", "and", "or", "not"] = ""

    def lines(self, depth: int = 0) -> Iterator[str]:
        """The clause and its parts, one line each."""
        yield f"{'  ' * depth}{_MARKS[self.holds]} {self.said}"
        for part in self.parts:
            yield from part.lines(depth + 1)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: the rule with its clauses, and whether the record is there at all (nothing for one that is to be made).

    `visible` says whether the actor may read the record: who may not is not told that it exists. `hidden` are the
    fields of it that the actor cannot see.
    """

    who: str
    action: Action
    what: str
    rule: Clause
    found: bool | None = None
    visible: bool | None = None
    hidden: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Whether the actor may."""
        if self.found is False or self.rule.holds is False or (self.visible is False and self.action != "create"):
            return "denied"
        return "allowed" if self.rule.holds else "depends"

    @property
    def said(self) -> str:
        """The verdict as a sentence."""
        if self.found is False:
            return f"There is no {self.what}."
        may = {"allowed": "may", "denied": "may not", "depends": "may, depending on the record,"}[self.verdict]
        return f"{self.who} {may} {self.action} {self.what}."

    @property
    def lines(self) -> list[str]:
        """All of it, for a person to read."""
        lines = [self.said]
        if self.found is not False:
            lines += self.rule.lines(1)
        if self.found and self.visible is False:
            lines.append("Who may not read it is not told that it exists.")
        if self.hidden:
            lines.append(f"Hidden fields: {', '.join(self.hidden)}.")
        return lines


async def reason(engine: Engine, actor: Actor, who: str, action: Action, entity: Entity, key: Any = None) -> Reason:
    """Why an actor may do this with a record, or with a new one where no key is given. A round trip for each clause."""
    asking = _Asking(engine, actor, entity, key)
    what = entity.name if key is None else f"{entity.name} {key}"
    if key is None:
        return Reason(who, action, what, await asking.clause(entity.rules[action]))
    if not await asking.stands(Always(True)):
        return Reason(who, action, what, Clause(describe(entity.rules[action]), None), found=False)
    read = await asking.clause(entity.rules["read"])
    rule = read if action == "read" else await asking.clause(entity.rules[action])
    hidden = []
    if read.holds:
        for name, part in entity.fields.items():
            if part.write_only or (await asking.clause(part.read)).holds is False:
                hidden.append(name)
    return Reason(who, action, what, rule, True, bool(read.holds), tuple(hidden))


@dataclass(frozen=True, slots=True)
class _Asking:
    engine: Engine
    actor: Actor
    entity: Entity
    key: Any

    async def clause(self, condition: Condition) -> Clause:
        """A part of a rule with its answer, taken apart as it was written."""
        said = describe(condition)
        match condition:
            case And(parts):
                found = tuple([await self.clause(part) for part in parts])
                return Clause(said, _all([part.holds for part in found]), found, "and")
            case Or(parts):
                found = tuple([await self.clause(part) for part in parts])
                answers = [None if part.holds is None else not part.holds for part in found]
                return Clause(said, _not(_all(answers)), found, "or")
            case _:
                return Clause(said, await self._answer(condition))

    async def _answer(self, condition: Condition) -> bool | None:
        left = fold(normal(condition), self.actor.id is not None, self.actor.roles)
        if isinstance(left, Always):
            return left.value
        if self.key is None or _of_the_new(left):
            return None
        return await self.stands(left)

    async def stands(self, condition: Condition) -> bool:
        """Whether the record is there and satisfies the condition."""
        guard = self.engine.guard(_now(condition), self.entity, self.actor)
        try:
            values = guard.values((self.key,), self.actor, self.engine.clock())
        except Problem:
            return False  # an id that is none names no record
        return bool(await self.engine.store.run(guard.text, values))


def _all(answers: list[bool | None]) -> bool | None:
    if False in answers:
        return False
    return None if None in answers else True


def _not(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def _of_the_new(condition: Condition) -> bool:
    """Whether it speaks of the row as it will be."""
    found = False

    def look(operand: Operand) -> Operand:
        nonlocal found
        found = found or (isinstance(operand, Path) and operand.when == "new")
        return operand

    rebuild(condition, look)
    return found


def _now(condition: Condition) -> Condition:
    """The same of the row as it stands: what was before a change is what is there now."""
    return rebuild(
        condition,
        lambda operand: (
            Path(operand.names, operand.root) if isinstance(operand, Path) and operand.when == "old" else operand
        ),
    )
