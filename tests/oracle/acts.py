"""Random writes: of every kind, mostly of what their actor may do, and now and then of what it may not or cannot know.

An act is made of the same values for the naive writer, which knows what they mean, and for the server, which is sent
them as JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal
from uuid import UUID

from backstay.model.field import Action, Entity, Field, ToMany
from backstay.model.predicate import Arithmetic, Operand, Path, Value
from backstay.plan.actor import Actor
from tests.oracle.conditions import Conditions
from tests.oracle.naive import Naive, json_of
from tests.oracle.naive_writer import Op, Said, Values
from tests.oracle.world import Row, World, value_for

ABSENT = "01890a5d-ac96-774b-bcce-b302099a8057"
METHODS: dict[str, Action] = {"POST": "create", "PATCH": "update", "DELETE": "delete", "PUT": "update"}


@dataclass(frozen=True)
class Act:
    """One request, or one transaction of the application's own code (`guarded`)."""

    kind: Literal["one", "many", "batch", "guarded"]
    ops: tuple[Op, ...]


class Acts:
    """Makes one act for one actor."""

    def __init__(self, rng: Random, world: World, actor: Actor) -> None:
        self.rng = rng
        self.world = world
        self.actor = actor
        self.naive = Naive(world, actor)
        self.careless = rng.random() < 0.15
        self.eager = 0.1
        self.served = [entity for entity in world.schema.entities.values() if not entity.hidden]

    def act(self) -> Act:
        """One act."""
        roll = self.rng.random()
        if roll < 0.35 and (op := self._nested()) is not None:
            return Act("one", (op,))
        if roll < 0.62:
            return Act("one", (self._op(alone=True),))
        if roll < 0.72:
            return Act("guarded", (self._guarded(),))
        if roll < 0.84:
            entity = self._entity("create")
            items = [self._values(entity, creating=True) for _ in range(self.rng.choice((1, 2, 3)))]
            return Act("many", tuple(Op("POST", entity.name, item) for item in items))
        return Act("batch", tuple(self._op() for _ in range(self.rng.choice((1, 2, 3, 4)))))

    def _op(self, *, alone: bool = False) -> Op:
        rng = self.rng
        method = rng.choice(("POST", "POST", "PATCH", "PATCH", "PATCH", "PUT", "PUT", "DELETE"))
        entity = self._entity(METHODS[method] if method != "PUT" else rng.choice(("create", "update")))
        if method == "POST":
            return Op(method, entity.name, self._values(entity, creating=True))
        key = self._key(entity, 0.45 if method == "PUT" else 0.06)
        values: Values = {}
        if method != "DELETE":
            values = self._values(entity, creating=method == "PUT")
        match = rng.random() if alone else 1
        version = rng.choice((1, 1, 2)) if match < 0.25 else None
        there = version is not None or (method == "PUT" and match < 0.3)
        absent = method == "PUT" and not there and match < 0.4
        return Op(method, entity.name, values, key, version, there, absent)

    def _nested(self) -> Op | None:
        """A new record with others inside it, where there is a model that the actor may make so."""
        able = [entity for entity in self.served if self._able(entity)]
        self.eager = 0.5
        self.rng.shuffle(able)
        for entity in able:
            values = self._values(entity, creating=True)
            if any(said.inside for said in values.values()):
                key = str(UUID(int=self.rng.getrandbits(128))) if self.rng.random() < 0.2 else ""
                self.eager = 0.1
                return Op("PUT" if key else "POST", entity.name, values, key)
        self.eager = 0.1
        return None

    def _guarded(self) -> Op:
        rng = self.rng
        guard = Conditions(rng, self.world.schema.user, me=False).condition([entity := self._entity("update")], 1)
        if rng.random() < 0.2:
            entity = self._entity("delete")
            return Op("DELETE", entity.name, {}, self._key(entity, 0.05))
        sets: dict[str, Operand] = {}
        for name in ("stock",):
            if name in entity.fields and rng.random() < 0.6:
                sets[name] = Arithmetic(rng.choice(("add", "subtract")), (Path((name,)), Value(rng.choice((1, 1, 3)))))
        values = {} if sets and rng.random() < 0.5 else self._values(entity, creating=False)
        values = {name: said for name, said in values.items() if name not in sets}
        return Op(
            "PATCH",
            entity.name,
            values,
            self._key(entity, 0.05),
            guard=guard if rng.random() < 0.6 else None,
            sets=sets,
        )

    # Parts.

    def _entity(self, action: Action) -> Entity:
        """A model, mostly one of which the actor may do this to some record and sees all that it takes."""
        fit = self.served
        if not self.careless:
            able = [entity for entity in fit if self.naive.possible(entity.rules[action]) is not False]
            fit = [entity for entity in able if self._in_reach(entity, action)] or able or fit
        return self.rng.choice(fit)

    def _in_reach(self, entity: Entity, action: Action, via: str = "", *, tied: bool = True) -> bool:
        if action != "create":
            return self._sees(entity)
        needed = [one for one in entity.fields.values() if one.required and one.name != via]
        sent = all(one in self._open(entity) for one in [*needed, *([entity.fields[via]] if via and tied else [])])
        return sent and all(one.target is None or self._sees(one.target) for one in needed)

    def _sees(self, entity: Entity) -> bool:
        return any(self.naive.may_read(entity, row) for row in self.world.rows[entity.name])

    def _key(self, entity: Entity, absent: float) -> str:
        rows = self.world.rows[entity.name]
        seen = [row for row in rows if self.naive.may_read(entity, row)]
        if self.rng.random() < absent or not rows:
            return str(UUID(int=self.rng.getrandbits(128)))
        key: str = self.rng.choice(seen if seen and self.rng.random() < 0.92 else rows)["id"]
        return key

    def _values(self, entity: Entity, *, creating: bool, depth: int = 0, via: str = "") -> Values:
        rng = self.rng
        known, open_ = self.naive.names(entity), self._open(entity)
        lists = [one for one in entity.to_many.values() if one.as_list and one.name in known and not self._closed(one)]
        chosen: list[Field | ToMany] = []
        if creating:
            chosen += [one for one in open_ if one.name != via and (one.required or rng.random() < 0.45)]
        else:
            chosen += rng.sample(open_, min(len(open_), rng.choice((1, 1, 2, 3))))
        chosen += [one for one in lists if rng.random() < 0.5]
        if self.careless and rng.random() < 0.5:
            chosen.append(rng.choice([*entity.fields.values(), *entity.to_many.values()]))
        if self.careless and rng.random() < 0.2 and chosen:
            chosen.pop(rng.randrange(len(chosen)))
        values = {one.name: self._many(one) if isinstance(one, ToMany) else self._said(one) for one in chosen}
        if (creating or self.careless) and depth < 3:
            values |= self._inside(entity, values, known, depth)
        if self.careless and rng.random() < 0.1:
            values[rng.choice(("nothing", *entity.computed))] = Said(1, 1)
        return values or {"label": Said("x", "x")}

    def _inside(self, entity: Entity, values: Values, known: Sequence[str], depth: int) -> Values:
        """New records inside a new one, where the actor may make some."""
        rng = self.rng
        found: dict[str, Said] = {}
        for name in values:
            one = entity.fields.get(name)
            if one is None or one.target is None or rng.random() > self.eager / 2:
                continue
            if self._able(one.target):
                inside = self._values(one.target, creating=True, depth=depth + 1)
                found[name] = Said(json_values(inside), inside=inside)
        for name, many in entity.to_many.items():
            if many.through is not None or name not in known or rng.random() > self.eager:
                continue
            if not self._able(many.target, many.via, tied=rng.random() < 0.8):
                continue
            several = [
                self._values(many.target, creating=True, depth=depth + 1, via=many.via)
                for _ in range(rng.choice((0, 1, 1, 2)))
            ]  # fmt: skip
            found[name] = Said([json_values(each) for each in several], inside=several)
            if self.careless and rng.random() < 0.1:
                found[name] = Said({"x": 1}, fits=False, inside=[])
        return found

    def _able(self, entity: Entity, via: str = "", *, tied: bool = True) -> bool:
        """Whether the actor may make a record of the entity, as far as that is the same for all.

        `tied` says whether it has to be one whose relation `via` the actor may set.
        """
        if self.careless:
            return self.rng.random() < 0.3
        able = self.actor.system or self.naive.possible(entity.rules["create"]) is not False
        return able and self._in_reach(entity, "create", via, tied=tied)

    def _open(self, entity: Entity) -> list[Field]:
        """The fields that the actor may send, as far as that is the same for all records."""
        known = self.naive.names(entity)
        return [
            one for one in entity.fields.values()
            if (self.actor.system or one.write_only or one.name in known) and not self._closed(one)
        ]  # fmt: skip

    def _closed(self, one: Field | ToMany) -> bool:
        by_server = isinstance(one, Field) and (
            one.name == "id" or one.read_only or (one.default is not None and one.default.by_server)
        )
        if self.actor.system:
            return by_server
        return by_server or self.naive.possible(one.write) is False

    def _said(self, one: Field) -> Said:
        rng = self.rng
        if self.careless and rng.random() < 0.1 and one.kind.name != "json":
            return Said(5, None, False) if one.kind.name in ("text", "uuid") else Said({"x": 1}, None, False)
        if self.careless and rng.random() < 0.1:
            return Said(None)
        if one.kind.ge is not None and rng.random() < 0.06:
            return Said(one.kind.ge - 1, None, False)
        if one.target is not None:
            return self._link(one)
        value = value_for(rng, one, self.world.rows, rng.randrange(100, 200))
        return Said(json_of(one.kind, value), value)

    def _link(self, one: Field) -> Said:
        assert one.target is not None
        if one.nullable and self.rng.random() < 0.2:
            return Said(None)
        key = self._one_of(one.target)
        return Said(key, key)

    def _one_of(self, target: Entity) -> str:
        rows = self.world.rows[target.name]
        seen: list[Row] = [row for row in rows if self.naive.may_read(target, row)]
        roll = self.rng.random()
        if not rows or roll < 0.015:
            return ABSENT
        key: str = self.rng.choice(seen if seen and roll < 0.96 else rows)["id"]
        return key

    def _many(self, one: ToMany) -> Said:
        if self.careless and self.rng.random() < 0.1:
            return Said(5, (), False)
        keys = [self._one_of(one.target) for _ in range(self.rng.choice((0, 1, 1, 2, 3)))]
        return Said(keys, keys, one.as_list or not keys)  # ids are no new records


def json_values(values: Values) -> dict[str, Any]:
    """Values as they are sent."""
    return {name: said.json for name, said in values.items()}
