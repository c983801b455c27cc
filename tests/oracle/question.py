"""Random questions: asks of every form over what an actor sees, and now and then over what it does not."""

from dataclasses import fields, is_dataclass, replace
from random import Random
from typing import Any

from backstay.model.field import Entity, Field
from backstay.model.predicate import ANYONE, Condition, Path, Slot, lift
from backstay.model.value import Kind
from backstay.plan.actor import Actor
from backstay.plan.ask import Aggregate, Ask, Listing, Measure, Nested, One, Root, Selection, Sort
from tests.oracle.conditions import NEEDLES, Conditions, every_name
from tests.oracle.naive import Naive
from tests.oracle.world import World

SUMMABLE = ("integer", "big_integer", "float", "decimal", "money", "duration")


class Questions:
    """Makes one question for one actor."""

    def __init__(self, rng: Random, world: World, actor: Actor) -> None:
        self.rng = rng
        self.world = world
        self.values: list[Any] = []
        self.naive = Naive(world, actor)
        self.careless = rng.random() < 0.12
        self.conditions = Conditions(rng, world.schema.user, self.names_of, False, True, rng.random() < 0.35)

    def names_of(self, entity: Entity) -> list[str]:
        """The names a question uses: those that its actor has, or all of them where it is careless."""
        return every_name(entity) if self.careless else self.naive.names(entity)

    def ask(self) -> Ask:
        """The question; its values are lifted out of it."""
        roots = tuple(self.root(f"r{i}") for i in range(2 if self.rng.random() < 0.15 else 1))
        return Ask(roots, tuple(self.values))

    def slot(self, value: Any) -> Slot:
        """A value's place."""
        self.values.append(value)
        return Slot(len(self.values) - 1)

    def where(self, entity: Entity) -> Condition:
        """A condition, often none."""
        if self.rng.random() < 0.35:
            return ANYONE
        return lift(self.conditions.condition([entity], self.rng.choice((0, 1, 2))), self.values)

    def root(self, alias: str) -> Root:
        """One root of any form."""
        rng = self.rng
        served = [entity for entity in self.world.schema.entities.values() if not entity.hidden]
        seen = [entity for entity in served if not self.naive.closed(entity)]
        entity = rng.choice(seen if seen and not self.careless else served)
        roll = rng.random()
        if roll < 0.15:
            return self._one(entity, alias)
        if roll < 0.35:
            return self._aggregate(entity, alias)
        search = None
        if entity.search and rng.random() < 0.35:
            search = self.slot(rng.choice(NEEDLES))
        return Listing(
            entity.name, self.selection(entity, 0), self.where(entity), self.sort(entity), search,
            self.slot(rng.choice((1, 2, 3, 5))) if rng.random() < 0.6 else None,
            self.slot(rng.choice((0, 1, 4))) if rng.random() < 0.15 else None,
            None, rng.random() < 0.15, rng.choice(("none", "none", "exact", "estimated")), alias,
        )  # fmt: skip

    def _one(self, entity: Entity, alias: str) -> One:
        rng = self.rng
        keys = [row["id"] for row in self.world.rows[entity.name]] or [self.world.rows["Person"][0]["id"]]
        key = rng.choice(keys) if rng.random() < 0.95 else self.world.rows["Person"][0]["id"]
        where = self.where(entity) if rng.random() < 0.2 else ANYONE
        return One(entity.name, self.slot(key), self.selection(entity, 0), where, alias)

    def selection(self, entity: Entity, depth: int) -> Selection:
        """What is wanted of a record."""
        rng = self.rng
        names = [name for name in self.names_of(entity) if name not in entity.to_many]
        everything = rng.random() < 0.5 or not names
        chosen = () if everything else tuple(
            (name if rng.random() < 0.8 else f"x_{name}", name) for name in rng.sample(names, min(3, len(names)))
        )  # fmt: skip
        nested: list[Nested] = []
        if depth < 3 and rng.random() < (0.6, 0.35, 0.2)[depth]:
            related = [name for name in self.names_of(entity) if self._target(entity, name) is not None]
            related = [name for name in related if self.careless or not self.naive.closed(self._known(entity, name))]
            for name in rng.sample(related, min(len(related), rng.choice((1, 1, 2)))):
                alias = name if rng.random() < 0.8 else f"n_{name}"
                nested.append(self._nested(entity, name, alias, depth))
        return Selection(everything, chosen, tuple(nested))

    def _target(self, entity: Entity, name: str) -> Entity | None:
        if name in entity.to_many:
            return entity.to_many[name].target
        return entity.fields[name].target if name in entity.fields else None

    def _known(self, entity: Entity, name: str) -> Entity:
        target = self._target(entity, name)
        assert target is not None
        return target

    def _nested(self, entity: Entity, name: str, alias: str, depth: int) -> Nested:
        rng = self.rng
        target = self._known(entity, name)
        selection = self.selection(target, depth + 1)
        if name not in entity.to_many:
            return Nested(alias, name, selection)
        return Nested(
            alias, name, selection, self.where(target), self.sort(target),
            self.slot(rng.choice((1, 2, 3))) if rng.random() < 0.5 else None,
            self.slot(rng.choice((0, 1))) if rng.random() < 0.15 else None,
        )  # fmt: skip

    def sort(self, entity: Entity) -> tuple[Sort, ...]:
        """Up to three keys, none twice."""
        rng = self.rng
        found: dict[tuple[str, ...], Sort] = {}
        for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
            path, kind = self._path(entity)
            if kind.name not in ("list", "json"):
                found.setdefault(path, Sort(path, rng.random() < 0.45))
        return tuple(found.values())

    def _path(self, entity: Entity) -> tuple[tuple[str, ...], Kind]:
        names, kind, _ = self.conditions._way(entity, 2)
        if len(names) > 1 and names[-1] == "id":
            names = names[:-1]  # the relation is its id
        return names, kind

    def _aggregate(self, entity: Entity, alias: str) -> Aggregate:
        rng = self.rng
        groups: list[tuple[str, ...]] = []
        for _ in range(rng.choice((0, 1, 1, 2))):
            path, kind = self._path(entity)
            clash = any(path[: len(one)] == one or one[: len(path)] == path for one in groups)
            if kind.name not in ("list", "json") and not clash and not (kind.name == "money" and not kind.currency):
                groups.append(path)
        measures = [Measure("n", "count")] if rng.random() < 0.6 else []
        for number in range(rng.choice((1, 2, 3))):
            path, kind, last = self.conditions._way(entity, 2)
            functions = ["count", "count_distinct", "min", "max"]
            functions += ["sum", "sum", "avg"] if kind.name in SUMMABLE else []
            whole = path[:-1] if path[-1] == "amount" else path
            open_money = last.kind.name == "money" and not last.kind.currency and path[-1] != "currency"
            if open_money and (*whole, "currency") not in groups:  # two currencies are not added up or compared
                functions = ["count", "count_distinct"]
            if kind.name == "money" and open_money and "sum" not in functions:
                functions = ["count"]
            fn: Any = rng.choice(functions)
            if kind.name in ("list", "json") or (fn in ("min", "max") and kind.name == "boolean"):
                continue
            measures.append(Measure(f"{fn}.m{number}", fn, path))
        if not measures:
            measures = [Measure("n", "count")]
        labels = [*groups, *(tuple(each.alias.split(".")) for each in measures)]
        sort = tuple(Sort(label, rng.random() < 0.5) for label in rng.sample(labels, rng.choice((0, 0, 1))))
        search = self.slot(rng.choice(NEEDLES)) if entity.search and rng.random() < 0.15 else None
        limit = self.slot(rng.choice((1, 3, 10))) if rng.random() < 0.2 else None
        return Aggregate(
            entity.name, tuple(groups), tuple(measures), self.where(entity), search, sort, limit,
            self.slot(rng.choice((0, 1))) if rng.random() < 0.1 else None, alias,
        )  # fmt: skip


def renamed(node: Any, old: str, new: str) -> Any:
    """The same question with one name written otherwise wherever a path or a selection names it."""
    if isinstance(node, tuple):
        return tuple(renamed(part, old, new) for part in node)
    if isinstance(node, str):
        return new if node == old else node
    if isinstance(node, Slot) or not is_dataclass(node) or isinstance(node, type):
        return node
    kept = {"model", "fn", "alias", "op", "kind", "count", "value", "values"}
    changed = {
        one.name: renamed(getattr(node, one.name), old, new) for one in fields(node) if one.name not in kept
    }  # fmt: skip
    return replace(node, **changed)


__all__ = ["Field", "Path", "Questions", "renamed"]
